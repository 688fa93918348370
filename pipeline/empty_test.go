package pipeline

import "testing"

// A search with nothing in it has an empty list of files, not null: its readers
// walk over it.
func TestEmptySearchListsNoFiles(t *testing.T) {
	w := newSearchServer(t, 0, 0).world(t)
	w.Job.Policies.AllowEmpty = true
	w.run(t, Options{})
	if m := w.latest(t); m.Files == nil || len(m.Files) > 0 {
		t.Errorf("files = %#v, want an empty list", m.Files)
	}
}

// A bulk delta with nothing in it has its log and nothing else.
func TestEmptyDeltaListsItsLog(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	w.run(t, Options{})
	s.mu.Lock()
	s.output = nil
	s.mu.Unlock()
	w.run(t, Options{})
	if m := w.latest(t); len(m.Files) != 1 || m.Files[0].Path != logName {
		t.Errorf("files = %#v, want %s", m.Files, logName)
	}
}
