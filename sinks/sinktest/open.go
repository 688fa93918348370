package sinktest

import (
	"errors"
	"io"
	"io/fs"
	"testing"
)

// open reads files of published snapshots, and of nothing else (F32).
func (s *storeTest) open(t *testing.T) {
	m, _ := s.publishRun(t, "job", "r1", noon)
	f, err := s.store.Open(t.Context(), "job", m.Name, "ndjson/Patient/part-00000.ndjson")
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	got, err := io.ReadAll(f)
	if cerr := f.Close(); err != nil || cerr != nil || string(got) != "content of r1\n" {
		t.Errorf("the file holds %q: %v, %v", got, err, cerr)
	}
	if _, err := s.store.Open(t.Context(), "job", m.Name, "ndjson/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := s.store.Open(t.Context(), "job", "none", "manifest.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a snapshot that is not there: %v", err)
	}
	for _, path := range []string{"", ".", "..", "../x", "/x", "a/../../x", `a\b`, "a\x00"} {
		if _, err := s.store.Open(t.Context(), "job", m.Name, path); err == nil {
			t.Errorf("Open took the path %q", path)
		}
	}
	for _, name := range []string{"", ".", "..", "../x", ".staging-r2", "a/b"} {
		if _, err := s.store.Open(t.Context(), "job", name, "x"); err == nil {
			t.Errorf("Open took the snapshot %q", name)
		}
		if _, err := s.store.Open(t.Context(), name, m.Name, "x"); err == nil {
			t.Errorf("Open took the job %q", name)
		}
	}
}
