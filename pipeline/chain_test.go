package pipeline

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/parquet"
)

// I2: where the job names no types, an error that the server reports may be about
// one of which nothing came: no watermark moves but those of what came.
func TestI2ErrorsAndNothingElse(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	w.Job.Export.Types = nil
	w.Job.Policies.OnServerErrors = "warn"
	full := w.run(t, Options{}).Manifest

	s.mu.Lock()
	s.output, s.tx = nil, s.tx.Add(time.Hour)
	s.errors = []exportFile{{typ: "OperationOutcome", name: "errors", count: -1, lines: []string{
		`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"exception"}]}`,
	}}}
	s.mu.Unlock()
	delta := w.run(t, Options{}).Manifest
	if delta.Kind != sinks.Delta {
		t.Fatalf("the second run is %s, want delta", delta.Kind)
	}
	if d := cmp.Diff(full.Watermarks, delta.Watermarks); d != "" {
		t.Errorf("watermarks moved (-before +after):\n%s", d)
	}
}

// A sink that joins a job gets everything first: its deltas would rest on nothing.
func TestSinkThatJoinsAChain(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	w.run(t, Options{})
	r := w.open(t)
	r.Sinks = append(r.Sinks, &parquet.Sink{})
	sum, err := r.Run(t.Context(), Options{})
	must(t, err)
	if sum.Manifest.Kind != sinks.Full {
		t.Errorf("the first run of the sink is %s, want full", sum.Manifest.Kind)
	}
	if sum, err = r.Run(t.Context(), Options{}); err != nil || sum.Manifest.Kind != sinks.Delta {
		t.Errorf("the run after it: %v, want a delta", err)
	}
	must(t, r.Ledger.Close())
}

// A person who asks for a full run gets one, also when all that a dead process left
// undone of a delta was to note that it is published.
func TestFullAfterADeltaThatWasNotNoted(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	w.run(t, Options{})
	r := w.open(t)
	r.probe = func(step string) {
		if step == "visible" {
			_ = r.Ledger.Close() // nothing can be noted any more
		}
	}
	if _, err := r.Run(t.Context(), Options{}); err == nil {
		t.Fatal("the run was noted")
	}
	if m := w.latest(t); m.Kind != sinks.Delta {
		t.Fatalf("a %s is visible, want delta", m.Kind)
	}
	if m := w.run(t, Options{Full: true}).Manifest; m.Kind != sinks.Full {
		t.Errorf("--full gave a %s", m.Kind)
	}
}

// A run that began in the future, by a clock that was put right since, is not taken
// up again: nobody knows how old it is.
func TestRunFromTheFuture(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	s.bad = 1000
	r := w.open(t)
	r.Now = func() time.Time { return time.Now().Add(365 * day) }
	old, err := r.Run(t.Context(), Options{})
	if err == nil || classOf(err) != "" {
		t.Fatalf("run = %v, want a failure that may pass", err)
	}
	must(t, r.Ledger.Close())
	s.mu.Lock()
	s.bad = 0
	s.mu.Unlock()
	if sum := w.run(t, Options{}); sum.Run == old.Run {
		t.Error("it was taken up again")
	}
}

// A delta with nothing in it has an empty list of files, not null: its readers
// walk over it.
func TestEmptyDeltaListsNoFiles(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	w.run(t, Options{})
	s.mu.Lock()
	s.output = nil
	s.mu.Unlock()
	w.run(t, Options{})
	if m := w.latest(t); m.Files == nil || len(m.Files) > 0 {
		t.Errorf("files = %#v, want an empty list", m.Files)
	}
}
