package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func logged(t *testing.T, r *Run) []string {
	t.Helper()
	var got []string
	if err := r.EachLogged(func(line []byte) error { got = append(got, string(line)); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLogOutlivesTheProcess(t *testing.T) {
	s := &Spool{Dir: t.TempDir(), MinFree: 1}
	open := func() *Run {
		r, err := s.Run("r1")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := open()
	if got := logged(t, r); len(got) > 0 {
		t.Errorf("a new run has the log %q", got)
	}
	for _, line := range []string{`{"a":1}`, `{"a":2}`} {
		if err := r.Log([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(s.Dir, "r1", journalName)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"a":`); err != nil { // a process dies
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	r = open()
	if err := os.WriteFile(r.path("x", partSuffix), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Clear(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.path("x", partSuffix)); !os.IsNotExist(err) {
		t.Errorf("Clear left a part: %v", err)
	}
	if err := r.Log([]byte(`{"a":3}`)); err != nil {
		t.Fatal(err)
	}
	if got, want := logged(t, r), []string{`{"a":1}`, `{"a":2}`, `{"a":3}`}; !slices.Equal(got, want) {
		t.Errorf("the log is %q, want %q", got, want)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600 (I7)", fi.Mode(), err)
	}
	if err := r.Remove(); err != nil {
		t.Fatal(err)
	}
}

func TestLogByManyGoroutines(t *testing.T) {
	s := &Spool{Dir: t.TempDir(), MinFree: 1}
	r, err := s.Run("r1")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if err := r.Log(fmt.Appendf(nil, `{"i":%d,"s":"%s"}`, i, strings.Repeat("x", i*50))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := logged(t, r); len(got) != 50 {
		t.Errorf("%d lines, want 50", len(got))
	}
}
