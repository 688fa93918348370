package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/sinks"
)

// TestLosses: the ledger of losses is told where it is not zero, and only there.
func TestLosses(t *testing.T) {
	count := func(typ string, l sinks.Losses) sinks.TypeCount { return sinks.TypeCount{Type: typ, Losses: l} }
	tests := []struct {
		types []sinks.TypeCount
		want  []string
	}{
		{[]sinks.TypeCount{count("Patient", sinks.Losses{})}, nil},
		{
			[]sinks.TypeCount{
				count("Claim", sinks.Losses{Rounded: 1, Overflow: 2}),
				count("Group", sinks.Losses{}),
				count("Patient", sinks.Losses{Unmapped: 1200, Rounded: 4, Contained: 1}),
			},
			[]string{
				"unmapped: no column for 1,200 values, kept in __unmapped (Patient 1,200)",
				"rounded: 5 decimals to six places in a numeric column, the text kept (Claim 1, Patient 4)",
				"overflow: 2 decimals too large for a numeric column, the text kept (Claim 2)",
				"contained: 1 resource kept as JSON text (Patient 1)",
			},
		},
	}
	for _, tt := range tests {
		var got []string
		writeLosses(func(label, text string) { got = append(got, label+": "+text) }, tt.types)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	if got := fewOf(strings.Split("a b c d e f g", " ")); got != "a, b, c, d, e and 2 more types" {
		t.Errorf("got %s", got)
	}
}
