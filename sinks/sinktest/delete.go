package sinktest

import (
	"testing"
	"time"

	"github.com/flue-fhir/flue/sinks"
)

func (s *storeTest) list(t *testing.T, job string) []sinks.Snapshot {
	t.Helper()
	list, err := s.store.Snapshots(t.Context(), job)
	if err != nil {
		t.Fatalf("Snapshots: %v", err)
	}
	return list
}

func (s *storeTest) snapshots(t *testing.T) {
	if list := s.list(t, "job"); len(list) > 0 {
		t.Errorf("an empty store has the snapshots %v", list)
	}
	full, _ := s.publishRun(t, "job", "r2", noon)
	s.publishRun(t, "other", "r9", noon)
	write(t, s.stage(t, "job", "r3"), "ndjson/Patient/a", "x") // being written
	delta := &sinks.Manifest{Kind: sinks.Delta, Base: full.Name, Previous: full.Name, Published: noon.Add(time.Hour)}
	if _, err := s.stage(t, "job", "r1").Publish(t.Context(), delta); err != nil {
		t.Fatal(err)
	}
	list := s.list(t, "job")
	want := []sinks.Snapshot{
		{Name: full.Name, Run: "r2", Published: noon, Whole: true},
		{Name: delta.Name, Run: "r1", Base: full.Name, Published: noon.Add(time.Hour), Latest: true},
	}
	if len(list) != 2 || list[0] != want[0] || list[1] != want[1] {
		t.Errorf("Snapshots returned\n%+v\nwant\n%+v", list, want)
	}
	if m, err := s.store.Snapshot(t.Context(), "job", delta.Name); err != nil || m == nil || m.Run != "r1" || m.Base != full.Name {
		t.Errorf("Snapshot returned %+v, %v, want that of r1", m, err)
	}
	if m, err := s.store.Snapshot(t.Context(), "other", delta.Name); err != nil || m != nil {
		t.Errorf("Snapshot returned %+v, %v for one of another job", m, err)
	}
}

func (s *storeTest) delete(t *testing.T) {
	old, location := s.publishRun(t, "job", "r1", noon)
	s.publishRun(t, "other", "r1", noon)
	newest, current := s.publishRun(t, "job", "r2", noon.Add(time.Hour))
	if err := s.store.Delete(t.Context(), "job", newest.Name); err == nil {
		t.Error("Delete took the snapshot that latest points at")
	}
	for range 2 { // the second time it is missing
		if err := s.store.Delete(t.Context(), "job", old.Name); err != nil {
			t.Fatalf("Delete: %v", err)
		}
		s.store = s.h.Open(t, s.place)
	}
	if s.published(t, "job", "r1") != nil || s.h.Read(t, location, "manifest.json") != nil || s.h.Read(t, location, "ndjson/Patient/part-00000.ndjson") != nil {
		t.Error("the deleted snapshot is there")
	}
	if list := s.list(t, "job"); len(list) != 1 || list[0].Run != "r2" {
		t.Errorf("%v are left, want r2", list)
	}
	s.wantLatest(t, "job", "r2")
	if got := s.h.Read(t, current, "ndjson/Patient/part-00000.ndjson"); string(got) != "content of r2\n" {
		t.Errorf("the file of latest holds %q", got)
	}
	if s.published(t, "other", "r1") == nil {
		t.Error("the snapshot of another job is gone")
	}
	// The same run may be published anew.
	s.publishRun(t, "job", "r1", noon.Add(2*time.Hour))
	s.wantLatest(t, "job", "r1")
}
