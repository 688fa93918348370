package local

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestI1DeleteFailsAtEveryStep stops a deletion at each change of the disk: the
// snapshot is there whole or not at all, and the next start cleans up.
func TestI1DeleteFailsAtEveryStep(t *testing.T) {
	for at := 0; ; at++ {
		dir := t.TempDir()
		s := &Store{Path: dir}
		old := filepath.Base(publish(t, s, "r1"))
		publish(t, s, "r3")
		var n int
		s.disk.Step = func(string, string) error {
			if n++; n > at {
				return errCrash
			}
			return nil
		}
		err := s.Delete(t.Context(), "job", old)
		if err != nil && !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		checkWhole(t, dir, at)
		if n > 0 {
			if _, err := os.Stat(filepath.Join(dir, "job", "snapshots", old, manifestName)); err == nil != (at < 2) {
				t.Errorf("step %d: the snapshot is there: %t", at, err == nil)
			}
		}
		s = &Store{Path: dir}
		if serr := s.Sweep(t.Context(), "job", ""); serr != nil {
			t.Fatal(serr)
		}
		if serr := s.Delete(t.Context(), "job", old); serr != nil {
			t.Errorf("step %d: Delete again: %v", at, serr)
		}
		for path := range tree(t, dir) {
			if strings.Contains(path, "r1") {
				t.Errorf("step %d: %s is left", at, path)
			}
		}
		if err == nil {
			if at < 4 {
				t.Errorf("only %d steps were seen", at)
			}
			return
		}
	}
}

// TestSweepRemovesWhatACrashLeft: a process died while it removed the files of a
// deleted snapshot.
func TestSweepRemovesWhatACrashLeft(t *testing.T) {
	s := &Store{Path: t.TempDir()}
	publish(t, s, "r2")
	grave := filepath.Join(s.Path, "job", ".deleted-20240101T000000Z-r1", "ndjson")
	if err := os.MkdirAll(grave, 0o700); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Snapshots(t.Context(), "job"); err != nil || len(list) != 1 {
		t.Errorf("Snapshots: %v, %v", list, err)
	}
	if err := s.Sweep(t.Context(), "job", "r3"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(grave); !os.IsNotExist(err) {
		t.Errorf("it is left: %v", err)
	}
}

// TestUnreadableSnapshotStopsTheList: nobody knows what rests on it.
func TestUnreadableSnapshotStopsTheList(t *testing.T) {
	s := &Store{Path: t.TempDir()}
	location := publish(t, s, "r1")
	publish(t, s, "r2")
	if err := os.WriteFile(filepath.Join(location, manifestName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Snapshots(t.Context(), "job"); err == nil {
		t.Errorf("Snapshots returned %v", list)
	}
}
