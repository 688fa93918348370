package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// A delta rests on every snapshot of its chain: where one is gone, the next run is
// full, and a delta that was begun before is not taken up again.
func TestChainWithAGap(t *testing.T) {
	t.Parallel() // it waits
	for at, name := range []string{"base", "between"} {
		for _, resumed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s resumed=%t", name, resumed), func(t *testing.T) {
				t.Parallel()
				s := newExportServer(t)
				s.population(1, 2, "Patient", "Observation")
				w := newWorld(t, s)
				chain := []*sinks.Manifest{w.run(t, Options{}).Manifest, w.run(t, Options{}).Manifest, w.run(t, Options{}).Manifest}
				if resumed {
					s.bad = 1000
					w.fails(t, Options{})
					s.mu.Lock()
					s.bad = 0
					s.mu.Unlock()
				}
				must(t, os.RemoveAll(filepath.Join(w.Dir, "out", "nightly", "snapshots", chain[at].Name)))
				r := w.open(t)
				marks, err := r.Watermarks(t.Context())
				if err != nil || !strings.Contains(marks.Next, chain[at].Name) {
					t.Errorf("the next run is %q (%v), want full, and why", marks.Next, err)
				}
				must(t, r.Ledger.Close())
				if m := w.run(t, Options{}).Manifest; m.Kind != sinks.Full || m.Base != "" {
					t.Errorf("a %s was published on %q", m.Kind, m.Base)
				}
				if m := w.run(t, Options{}).Manifest; m.Kind != sinks.Delta {
					t.Errorf("the run after it is %s, want delta", m.Kind)
				}
			})
		}
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
	t.Parallel() // it waits
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

// F33: a body that ends with its connection, and of which nothing else tells where
// its end is, may have been cut. It is published with a warning, and the watermark
// does not move.
func TestF33EndNotProved(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(*exportFile)
		want bool // the type came whole
	}{
		{"nothing tells", func(*exportFile) {}, false},
		{"the manifest counts", func(f *exportFile) { f.count = 0 }, true},
		{"gzip", func(f *exportFile) { f.gzip = true }, true},
		{"the server says where it ends", func(f *exportFile) { f.endless = false }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newExportServer(t)
			s.population(1, 2, "Patient", "Observation")
			for i := range s.output {
				s.output[i].endless, s.output[i].count = true, -1
				test.set(&s.output[i])
			}
			w := newWorld(t, s)
			m := w.run(t, Options{}).Manifest
			w.publishedAll(t, s)
			warned := slices.ContainsFunc(m.Warnings, func(w sinks.Warning) bool { return w.Code == "end-not-proved" })
			if _, moved := m.Watermarks["Patient"]; moved != test.want || warned == test.want {
				t.Errorf("watermark moved: %t, warned: %t, want %t and %t", moved, warned, test.want, !test.want)
			}
		})
	}
}
