package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/sinks"
)

// What the server said, and what is not known, is told where there is any.
func TestQuality(t *testing.T) {
	for _, tt := range []struct {
		m    sinks.Manifest
		want []string
	}{
		{sinks.Manifest{}, nil},
		{sinks.Manifest{Deletions: &sinks.Deletions{}}, []string{"deletions: the server listed none: unknown until the next full snapshot"}},
		{
			sinks.Manifest{
				Request:   sinks.Request{Unchecked: []string{"_typeFilter"}},
				Outcomes:  []sinks.Outcome{{Severity: "error", Code: "processing", Count: 1200}, {Severity: "warning", Code: "unknown", Count: 1}},
				Deletions: &sinks.Deletions{Known: true, Published: 1},
			},
			[]string{
				"unchecked: whether the server heeded _typeFilter cannot be seen in the data",
				"outcomes: 1,200 error/processing, 1 warning/unknown",
				"deletions: 1 resource that the server deleted",
			},
		},
	} {
		var got []string
		writeQuality(func(label, text string) { got = append(got, label+": "+text) }, &tt.m)
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	}
}
