package spool

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func textOfNotes(t *testing.T, n *Notes) string {
	t.Helper()
	r := n.Open(0)
	text, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// I5: lines outlive the process, half a line does not.
func TestI5Notes(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	for name, test := range map[string]struct{ left, want string }{
		"nothing":        {"", ""},
		"lines":          {"a\nb\n", "a\nb\n"},
		"half":           {"a\nb", "a\n"},
		"only half":      {"b", ""},
		"long half":      {"a\n" + long, "a\n"},
		"only long half": {long, ""},
		"long line":      {long + "\n", long + "\n"},
	} {
		s := &Spool{Dir: t.TempDir(), MinFree: 1}
		run, err := s.Run("r")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.Dir, "r", "n.notes"), []byte(test.left), 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := run.Notes("n")
		if err != nil {
			t.Fatal(err)
		}
		at := n.Size()
		if err := n.Add([]byte("next")); err != nil {
			t.Fatal(err)
		}
		if got := textOfNotes(t, n); got != test.want+"next\n" || n.Size() != int64(len(got)) {
			t.Errorf("%s: %d bytes are left, %d counted", name, len(got), n.Size())
		}
		r := n.Open(at)
		if got, _ := io.ReadAll(r); string(got) != "next\n" {
			t.Errorf("%s: %q from the offset on", name, got)
		}
		if err := n.Cut(at); err != nil || textOfNotes(t, n) != test.want {
			t.Errorf("%s: after Cut: %v", name, err)
		}
		if fi, err := os.Stat(filepath.Join(s.Dir, "r", "n.notes")); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, fi.Mode(), err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if err := run.DropNotes(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(filepath.Join(s.Dir, "r")); len(left) > 0 {
			t.Errorf("%s: %v is left", name, left)
		}
	}
	run, err := (&Spool{Dir: t.TempDir(), MinFree: 1}).Run("r")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run.Notes("../n"); err == nil {
		t.Error("notes outside of the run's folder")
	}
}

func TestScratch(t *testing.T) {
	s := &Spool{Dir: t.TempDir(), MinFree: 1}
	run, err := s.Run("r")
	if err != nil {
		t.Fatal(err)
	}
	f, err := run.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := io.WriteString(f, "one "); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, "two"); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(f.Reader()); err != nil || string(got) != "one two" || f.Size() != 7 {
			t.Errorf("%q, %d bytes, %v", got, f.Size(), err)
		}
		if err := f.Reset(); err != nil || f.Size() != 0 {
			t.Errorf("%d bytes after Reset, %v", f.Size(), err)
		}
	}
	// What a process leaves behind that dies is removed when the run is opened.
	if _, err := s.Run("r"); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Join(s.Dir, "r")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	if g, err := run.Scratch(); err != nil || g.Close() != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Join(s.Dir, "r")); len(left) > 0 {
		t.Errorf("%v is left after Close", left)
	}
	// A disk that has too little left takes nothing.
	s.MinFree = 1 << 60
	full, err := run.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	var fe *FullError
	if _, err := io.WriteString(full, "x"); !errors.As(err, &fe) || full.Size() != 0 {
		t.Errorf("a full disk: %v", err)
	}
	if err := full.Close(); err != nil {
		t.Error(err)
	}
}
