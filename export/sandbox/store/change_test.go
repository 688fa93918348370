package store

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestChanges(t *testing.T) {
	s := open(t, folder(t, map[string]string{"Patient.ndjson": alice + "\n" + bob + "\n", "Observation.ndjson": obs1 + "\n" + obs2 + "\n"}))
	before := s.View()
	at, err := s.Touch(Reference{"Patient", "alice"}, Reference{"Observation", "o2"})
	if err != nil {
		t.Fatal(err)
	}
	v := s.View()
	if got := linesOf(t, before, "Patient", nil); !slices.Equal(got, []string{alice, bob}) {
		t.Errorf("an old view changed: %q", got)
	}
	stamp := at.Format(time.RFC3339Nano)
	if !strings.HasSuffix(at.Format("2006-01-02T15:04:05.000Z"), "Z") || v.Pristine("Patient") || !before.Pristine("Patient") {
		t.Error("the view does not know of the change")
	}
	got := linesOf(t, v, "Patient", nil)
	want := strings.Replace(alice, `"2024-01-02T03:04:05.678+01:00"`, at.Format(`"2006-01-02T15:04:05.000Z","versionId":"1"`), 1)
	want = strings.Replace(want, at.Format(`"2006-01-02T15:04:05.000Z","versionId":"1"`), at.Format(`"2006-01-02T15:04:05.000Z"`)+`,"versionId":"1"`, 1)
	if len(got) != 2 || got[0] != bob || got[1] != want {
		t.Errorf("at %s:\n got %q\nwant %q", stamp, got, want)
	}
	rows, err := v.OfPatients("Observation", []string{"bob"})
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(linesOf(t, v, "Observation", rows)); got != "o1 o2" {
		t.Errorf("bob's observations after a touch: %s", got)
	}
	if got := ids(linesOf(t, v, "Observation", v.Members("Observation"))); got != "o1 o2" {
		t.Errorf("members after a touch: %s", got)
	}
	later, err := s.Delete(Reference{"Observation", "o1"})
	if err != nil || !later.After(at) {
		t.Fatal(later, err)
	}
	v = s.View()
	if got := ids(linesOf(t, v, "Observation", nil)); got != "o2" {
		t.Errorf("after a deletion: %s", got)
	}
	if d := v.Deleted(at); len(d) != 1 || d[0].ID != "o1" || !d[0].Of([]string{"alice"}) || d[0].Of([]string{"carol"}) || !d[0].Of(nil) {
		t.Errorf("deleted: %+v", d)
	}
	if d := v.Deleted(later); len(d) != 0 {
		t.Errorf("deleted since: %+v", d)
	}
	// Deleting fails whole where one is missing.
	if _, err := s.Delete(Reference{"Observation", "o2"}, Reference{"Observation", "o1"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("delete of a deleted: %v", err)
	}
	if s.View() != v {
		t.Error("a failed change changed something")
	}
	// Put brings it back: it is no longer deleted.
	if _, err := s.Put([]byte(" " + strings.Replace(obs1, ",", ", \n", 1))); err != nil {
		t.Fatal(err)
	}
	v = s.View()
	line, ok, err := v.Find("Observation", "o1")
	if !ok || err != nil || len(v.Deleted(time.Time{})) != 0 {
		t.Fatal(line, ok, err)
	}
	if got := linesOf(t, v, "Observation", nil); !json.Valid([]byte(got[1])) || strings.Contains(got[1], "\n") {
		t.Errorf("a put resource is not one line of JSON: %q", got[1])
	}
	if _, err := s.Put([]byte(`{"resourceType":"Basic","id":"new"}`)); err != nil || s.View().Count("Basic") != 1 {
		t.Errorf("a resource of a new type: %v", err)
	}
	for _, bad := range []string{`{"resourceType":"Patient"}`, `{"id":"x"}`, `{"resourceType":"Patient","id":"x"`, `{"resourceType":"../x","id":"x"}`, ``} {
		if _, err := s.Put([]byte(bad)); err == nil {
			t.Errorf("put %s", bad)
		}
	}
}

// TestSnapshotInstants: an instant lies after what its view has and before what
// it has not, even when the clock stands still.
func TestSnapshotInstants(t *testing.T) {
	dir := folder(t, map[string]string{"Patient.ndjson": alice + "\n"})
	still := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	s, err := Open(t.Context(), Options{Dir: dir, Cache: t.TempDir(), Now: func() time.Time { return still }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	last := time.Time{}
	for range 3 {
		_, at := s.Snapshot()
		changed, err := s.Touch(Reference{"Patient", "alice"})
		if err != nil || !at.After(last) || !changed.After(at) {
			t.Fatal(last, at, changed, err)
		}
		last = changed
	}
}
