package pipeline

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/store/local"
)

// left lists what runs left that nobody ended: landed files and stagings, of all
// jobs and destinations.
func (w *world) left(t *testing.T) (list []string) {
	t.Helper()
	for _, pattern := range []string{"spool/*", "out*/*/.staging-*"} {
		found, err := filepath.Glob(filepath.Join(w.Dir, pattern))
		must(t, err)
		list = append(list, found...)
	}
	return list
}

func (w *world) elsewhere(path string) sinks.Store { return &local.Store{Path: path} }

// A run of a job that the configuration does not have any more is given up once it
// is old: its landed files, its staging and its export go.
func TestJobIsGone(t *testing.T) {
	for _, tt := range []struct {
		name   string
		after  time.Duration
		change func(t *testing.T, w *world, r *Runner)
		goes   bool
		asked  int // DELETEs
	}{
		{"old", 8 * day, nil, true, 2},
		{"young", 6 * day, nil, false, 1},
		{"of another server", 8 * day, func(_ *testing.T, _ *world, r *Runner) { r.Server.URL += "/" }, true, 1},
		{"configured", 8 * day, func(_ *testing.T, _ *world, r *Runner) { r.Jobs = append(r.Jobs, "nightly") }, false, 1},
		{"not known", 8 * day, func(_ *testing.T, _ *world, r *Runner) { r.Jobs = nil }, false, 1},
		{"running", 8 * day, func(t *testing.T, _ *world, r *Runner) {
			lock, err := r.Ledger.Lock(t.Context(), "nightly")
			must(t, err)
			t.Cleanup(func() { _ = lock.Close() })
		}, false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newExportServer(t)
			s.population(1, 2, "Patient", "Observation")
			w := newWorld(t, s)
			w.Job.Destination.Path = filepath.Join(w.Dir, "out")
			old := w.interrupted(t, Options{}, "converted")
			if len(w.left(t)) != 2 {
				t.Fatalf("left: %v, want the spool and the staging", w.left(t))
			}
			w.Job.Name, w.Job.Destination.Path = "renamed", filepath.Join(w.Dir, "out2")
			r := w.open(t)
			r.Store = w.elsewhere(w.Job.Destination.Path)
			r.Elsewhere, r.Jobs = w.elsewhere, []string{"renamed"}
			r.Now = func() time.Time { return time.Now().Add(tt.after) }
			if tt.change != nil {
				tt.change(t, w, r)
			}
			_, err := r.Run(t.Context(), Options{})
			must(t, err)
			w.sync()
			run := w.state(t, old)
			if got := len(w.left(t)) == 0; got != tt.goes || (run.State == Abandoned) != tt.goes || (run.StatusURL == "") != tt.goes {
				t.Errorf("%v are left, the run is %s; gone is %v, want %v", w.left(t), run.State, got, tt.goes)
			}
			if s.deletes != tt.asked {
				t.Errorf("%d exports were deleted, want %d", s.deletes, tt.asked)
			}
		})
	}
}

// A run that is given up since its job has another destination leaves nothing in the
// old one (I7), and where that is gone, it is not made again.
func TestDestinationChanged(t *testing.T) {
	for _, gone := range []bool{false, true} {
		s := newExportServer(t)
		s.population(1, 2, "Patient", "Observation")
		w := newWorld(t, s)
		before := filepath.Join(w.Dir, "out")
		w.Job.Destination.Path = before
		w.interrupted(t, Options{}, "converted")
		if gone {
			must(t, os.RemoveAll(before))
		}
		w.Job.Destination.Path = filepath.Join(w.Dir, "out2")
		r := w.open(t)
		r.Store, r.Elsewhere = w.elsewhere(w.Job.Destination.Path), w.elsewhere
		_, err := r.Run(t.Context(), Options{})
		must(t, err)
		if left := w.left(t); len(left) > 0 {
			t.Errorf("%v are left", left)
		}
		if _, err := os.Stat(before); gone != os.IsNotExist(err) {
			t.Errorf("the old destination: %v, want it as it was", err)
		}
	}
}

// An old destination that cannot be reached keeps the job from nothing.
func TestStagingThatCannotBeRemoved(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	w.Job.Destination.Path = filepath.Join(w.Dir, "out")
	w.interrupted(t, Options{}, "converted")
	must(t, os.Rename(filepath.Join(w.Dir, "out"), filepath.Join(w.Dir, "moved")))
	must(t, os.WriteFile(filepath.Join(w.Dir, "out"), nil, 0o600)) // no folder any more
	w.Job.Destination.Path = filepath.Join(w.Dir, "out2")
	r := w.open(t)
	r.Store, r.Elsewhere = w.elsewhere(w.Job.Destination.Path), w.elsewhere
	told := false
	r.Observe = func(e Event) { told = told || e.Code == "staging-left" }
	_, err := r.Run(t.Context(), Options{})
	must(t, err)
	if !told {
		t.Error("nobody was told what is left")
	}
}
