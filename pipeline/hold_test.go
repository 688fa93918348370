package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/sinks"
)

// beside is the same job and destination with a state folder of its own, as
// another user's or a container's.
func (w *world) beside(t *testing.T) *world {
	t.Helper()
	other := *w
	other.Dir = tempDir(t)
	must(t, os.Symlink(filepath.Join(w.Dir, "out"), filepath.Join(other.Dir, "out")))
	return &other
}

// I10: one run of a job at a time in a destination, also by processes that share
// no state folder.
func TestI10TwoStateFolders(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	first := w.run(t, Options{}).Manifest
	other := w.beside(t)
	other.Job.Retention = config.Retention{Keep: 1}
	r := w.open(t)
	tried := false
	r.probe = func(step string) {
		if step != "state landing" && step != "extras recorded" {
			return
		}
		tried = true
		second, err := other.runner()
		must(t, err)
		defer second.Ledger.Close()
		sum, err := second.Run(t.Context(), Options{Full: true})
		if classOf(err) != "held" || hintOf(err) == "" || sum.Error == "" {
			t.Errorf("the other run at %q: %v (class %q)", step, err, classOf(err))
		}
	}
	sum, err := r.Run(t.Context(), Options{})
	must(t, err)
	if !tried || sum.Manifest.Kind != sinks.Delta || sum.Manifest.Base != first.Name {
		t.Errorf("the run ended with a %s on %s", sum.Manifest.Kind, sum.Manifest.Base)
	}
	must(t, r.Ledger.Close())
	w.publishedAll(t, s)
	if m := other.run(t, Options{}).Manifest; m.Base != first.Name || m.Previous != sum.Manifest.Name {
		t.Errorf("the run after it rests on %s and %s", m.Base, m.Previous)
	}
	w.clean(t)
}

// unlocked is a store on a file system that cannot lock.
type unlocked struct{ sinks.Store }

// I10: where the destination cannot be locked, what another run published meanwhile
// is found before publication: no delta rests on a snapshot that it let go.
func TestI10LatestMoved(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	w.run(t, Options{})
	other := w.beside(t)
	other.Job.Retention = config.Retention{Keep: 1}
	r := w.open(t)
	r.Store = unlocked{r.Store}
	var newest string
	r.probe = func(step string) {
		if step == "extras recorded" && newest == "" {
			newest = other.run(t, Options{Full: true}).Manifest.Name
		}
	}
	_, err := r.Run(t.Context(), Options{})
	if err == nil || !strings.Contains(err.Error(), "latest was moved") || classOf(err) != "" || hintOf(err) == "" {
		t.Errorf("run = %v, want that it is not published", err)
	}
	must(t, r.Ledger.Close())
	if m := w.latest(t); m.Name != newest {
		t.Errorf("latest is %s, want %s", m.Name, newest)
	}
	if m := w.run(t, Options{}).Manifest; m.Base != newest || m.Kind != sinks.Delta {
		t.Errorf("the next run published a %s on %q, want a delta on %s", m.Kind, m.Base, newest)
	}
	w.clean(t)
}
