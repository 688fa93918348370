package pipeline

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
)

func body(kind, typ string, count int64, info spool.Info) delivery {
	return delivery{ledger.Task{Kind: kind, Type: typ, Count: count}, &info}
}

func types(pairs ...any) (list []spool.TypeInfo) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, spool.TypeInfo{Type: pairs[i].(string), Lines: int64(pairs[i+1].(int))})
	}
	return list
}

func made(published, superseded int64, sinkNames ...string) map[string]conversion {
	by := map[string]conversion{}
	for _, s := range sinkNames {
		by[s] = conversion{Sink: s, Published: published, Superseded: superseded, Files: []sinks.File{{Rows: published}}}
	}
	return by
}

func n(v int64) *int64 { return &v }

// I3: the sum of every type, and which came whole.
func TestI3Reconcile(t *testing.T) {
	errs := []spool.Issue{{Severity: "error", Code: "processing", Count: 1}}
	warns := []spool.Issue{{Severity: "warning", Code: "processing", Count: 1}}
	tests := []struct {
		name string
		a    account
		want []sinks.TypeCount
	}{
		{"plain", account{
			plan: plan{Types: []string{"Patient", "Device"}}, asked: []string{"Patient", "Device"},
			deliveries:  []delivery{body(kindOutput, "Patient", 3, spool.Info{Lines: 3, Types: types("Patient", 3)})},
			conversions: map[string]map[string]conversion{"Patient": made(2, 1, "a", "b"), "Device": made(0, 0, "a", "b")},
		}, []sinks.TypeCount{
			{Type: "Device", Complete: true, Reason: "none"},
			{Type: "Patient", Declared: n(3), Delivered: 3, Published: 2, Superseded: 1, Complete: true},
		}},
		{"mixed types in a file (F30)", account{
			deliveries: []delivery{
				body(kindOutput, "Patient", -1, spool.Info{Lines: 5, Types: types("Patient", 3, "Device", 2)}),
				body(kindOutput, "Device", 1, spool.Info{Lines: 1, Types: types("Device", 1)}),
			},
			conversions: map[string]map[string]conversion{"Patient": made(3, 0, "a", "b"), "Device": made(3, 0, "a", "b")},
		}, []sinks.TypeCount{
			{Type: "Device", Declared: n(1), Delivered: 3, Published: 3, Complete: true},
			{Type: "Patient", Delivered: 3, Published: 3, Complete: true},
		}},
		{"what is no resource counts for the declared type", account{
			deliveries: []delivery{
				body(kindOutput, "Patient", -1, spool.Info{Lines: 6, Types: types("Patient", 2), Outcomes: 1, Headers: 1, Quarantined: 2, Issues: warns}),
				body(kindOutput, "", -1, spool.Info{Lines: 3, Types: types("Device", 1, "Patient", 1), Outcomes: 1, Issues: warns}),
			},
			conversions: map[string]map[string]conversion{"Patient": made(3, 0, "a", "b"), "Device": made(1, 0, "a", "b")},
		}, []sinks.TypeCount{
			{Type: "Device", Delivered: 1, Published: 1, Complete: true},
			{Type: "Patient", Delivered: 7, Published: 3, Outcomes: 1, Headers: 1, Quarantined: 2, Reason: badLines},
			{Type: untyped, Delivered: 1, Outcomes: 1, Complete: true},
		}},
		{"I2: a bad line may be of any type that its file has", account{
			deliveries: []delivery{
				body(kindOutput, "Patient", -1, spool.Info{Lines: 3, Types: types("Patient", 1, "Device", 1), Quarantined: 1}),
				body(kindOutput, "Claim", -1, spool.Info{Lines: 1, Types: types("Claim", 1)}),
			},
			conversions: map[string]map[string]conversion{"Patient": made(1, 0, "a", "b"), "Device": made(1, 0, "a", "b"), "Claim": made(1, 0, "a", "b")},
		}, []sinks.TypeCount{
			{Type: "Claim", Delivered: 1, Published: 1, Complete: true},
			{Type: "Device", Delivered: 1, Published: 1, Reason: badLines},
			{Type: "Patient", Delivered: 2, Published: 1, Quarantined: 1, Reason: badLines},
		}},
		{"I2: a bad line in a file of no declared type", account{
			plan: plan{Types: []string{"Claim", "Device", "Patient"}}, asked: []string{"Claim", "Device", "Patient"},
			deliveries: []delivery{
				body(kindOutput, "", -1, spool.Info{Lines: 3, Types: types("Device", 1, "Patient", 1), Quarantined: 1}),
			},
			conversions: map[string]map[string]conversion{"Patient": made(1, 0, "a", "b"), "Device": made(1, 0, "a", "b"), "Claim": made(0, 0, "a", "b")},
		}, []sinks.TypeCount{
			{Type: "Claim", Reason: badLines},
			{Type: "Device", Delivered: 1, Published: 1, Reason: badLines},
			{Type: "Patient", Delivered: 1, Published: 1, Reason: badLines},
			{Type: untyped, Delivered: 1, Quarantined: 1, Reason: badLines},
		}},
		{"I2: what is no outcome in the list of errors", account{
			deliveries: []delivery{
				body(kindOutput, "Patient", -1, spool.Info{Lines: 1, Types: types("Patient", 1)}),
				body(kindError, "OperationOutcome", -1, spool.Info{Lines: 1, Types: types("Device", 1)}),
			},
			conversions: map[string]map[string]conversion{"Patient": made(1, 0, "a", "b")},
		}, []sinks.TypeCount{
			{Type: "Patient", Delivered: 1, Published: 1, Reason: failedThere},
		}},
		{"I2: a bad line in the list of errors", account{
			deliveries: []delivery{
				body(kindOutput, "Patient", -1, spool.Info{Lines: 1, Types: types("Patient", 1)}),
				body(kindError, "OperationOutcome", -1, spool.Info{Lines: 1, Quarantined: 1}),
			},
			conversions: map[string]map[string]conversion{"Patient": made(1, 0, "a", "b")},
		}, []sinks.TypeCount{
			{Type: "Patient", Delivered: 1, Published: 1, Reason: badLines},
		}},
		{"I2: an error outcome in a file", account{
			deliveries: []delivery{
				body(kindOutput, "Patient", -1, spool.Info{Lines: 2, Types: types("Patient", 1), Outcomes: 1, Issues: errs}),
				body(kindOutput, "Device", -1, spool.Info{Lines: 1, Types: types("Device", 1)}),
			},
			conversions: map[string]map[string]conversion{"Patient": made(1, 0, "a", "b"), "Device": made(1, 0, "a", "b")},
		}, []sinks.TypeCount{
			{Type: "Device", Delivered: 1, Published: 1, Complete: true},
			{Type: "Patient", Delivered: 2, Published: 1, Outcomes: 1, Reason: "error outcome"},
		}},
		{"I2: an error outcome of no type in particular", account{
			plan: plan{Types: []string{"Patient", "Device"}}, asked: []string{"Patient", "Device"},
			deliveries: []delivery{
				body(kindOutput, "Patient", -1, spool.Info{Lines: 1, Types: types("Patient", 1)}),
				body(kindError, "OperationOutcome", -1, spool.Info{Lines: 1, Outcomes: 1, Issues: []spool.Issue{{Severity: "unknown", Count: 1}}}),
			},
			conversions: map[string]map[string]conversion{"Patient": made(1, 0, "a", "b"), "Device": made(0, 0, "a", "b")},
		}, []sinks.TypeCount{
			{Type: "Device", Reason: "error outcome"},
			{Type: "Patient", Delivered: 1, Published: 1, Reason: "error outcome"},
		}},
		{"F33: a body of two types whose end nothing proves", account{
			plan: plan{Types: []string{"Patient", "Device"}}, asked: []string{"Patient", "Device"},
			deliveries: []delivery{
				body(kindOutput, "Patient", -1, spool.Info{Lines: 2, Unproved: true, Types: types("Patient", 1, "Device", 1)}),
			},
			conversions: map[string]map[string]conversion{"Patient": made(1, 0, "a", "b"), "Device": made(1, 0, "a", "b")},
		}, []sinks.TypeCount{
			{Type: "Device", Delivered: 1, Published: 1, Reason: unproved},
			{Type: "Patient", Delivered: 1, Published: 1, Reason: unproved},
		}},
		{"I2: an error outcome among the deletions", account{
			plan: plan{Types: []string{"Patient"}}, asked: []string{"Patient"},
			deliveries: []delivery{
				body(kindOutput, "Patient", -1, spool.Info{Lines: 1, Types: types("Patient", 1)}),
				body(kindDeleted, "Bundle", -1, spool.Info{Lines: 1, Outcomes: 1, Issues: errs}),
			},
			conversions: map[string]map[string]conversion{"Patient": made(1, 0, "a", "b")},
		}, []sinks.TypeCount{
			{Type: "Patient", Delivered: 1, Published: 1, Reason: "error outcome"},
		}},
		{"F31: not granted is not none", account{
			plan: plan{Types: []string{"Patient"}, NotGranted: []string{"Device"}}, asked: []string{"Patient"},
			conversions: map[string]map[string]conversion{"Patient": made(0, 0, "a", "b"), "Device": made(0, 0, "a", "b")},
		}, []sinks.TypeCount{
			{Type: "Device", Reason: "not granted"},
			{Type: "Patient", Complete: true, Reason: "none"},
		}},
		{"F37: another number than announced", account{
			deliveries: []delivery{
				body(kindOutput, "Patient", 4, spool.Info{Lines: 3, Types: types("Patient", 3)}),
				body(kindOutput, "Device", 1, spool.Info{Lines: 2, Types: types("Device", 1), Outcomes: 1, Issues: warns}),
			},
			conversions: map[string]map[string]conversion{"Patient": made(3, 0, "a", "b"), "Device": made(1, 0, "a", "b")},
		}, []sinks.TypeCount{
			{Type: "Device", Declared: n(1), Delivered: 2, Published: 1, Outcomes: 1, Complete: true},
			{Type: "Patient", Declared: n(4), Delivered: 3, Published: 3, Reason: "count mismatch"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.a.takers = func(string) []string { return []string{"a", "b"} }
			got, err := reconcile(tt.a)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got.types); d != "" {
				t.Errorf("counts (-want +got):\n%s", d)
			}
		})
	}
}

// I3: what does not add up is never published.
func TestI3ReconcileFindsWhatIsMissing(t *testing.T) {
	good := func() account {
		return account{
			deliveries:  []delivery{body(kindOutput, "Patient", -1, spool.Info{Lines: 4, Types: types("Patient", 3), Quarantined: 1})},
			conversions: map[string]map[string]conversion{"Patient": made(3, 0, "a", "b")},
			takers:      func(string) []string { return []string{"a", "b"} },
		}
	}
	if _, err := reconcile(good()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*account){
		"a sink has fewer rows in its files": func(a *account) {
			v := a.conversions["Patient"]["b"]
			v.Files = []sinks.File{{Rows: 2}}
			a.conversions["Patient"]["b"] = v
		},
		"both sinks were given fewer rows": func(a *account) { a.conversions["Patient"] = made(2, 0, "a", "b") },
		"the sinks were given different rows": func(a *account) {
			a.conversions["Patient"]["b"] = made(2, 1, "b")["b"]
		},
		"a sink is missing":            func(a *account) { delete(a.conversions["Patient"], "b") },
		"the type was not converted":   func(a *account) { delete(a.conversions, "Patient") },
		"a line has no kind":           func(a *account) { a.deliveries[0].info.Lines++ },
		"a quarantined line is forgot": func(a *account) { a.deliveries[0].info.Quarantined-- },
		"more than was delivered":      func(a *account) { a.conversions["Patient"] = made(3, 1, "a", "b") },
	} {
		a := good()
		change(&a)
		_, err := reconcile(a)
		var f *Failure
		if !errors.As(err, &f) || f.Class() != classQuality || !strings.Contains(err.Error(), "nothing is published") {
			t.Errorf("%s: %v, want a failure of class quality", name, err)
		}
	}
}
