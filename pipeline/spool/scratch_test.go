package spool

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
)

// TestI7ScratchFileHasNoName: what is written can be read, nobody finds it in
// the folder, and a disk without room is said so.
func TestI7ScratchFileHasNoName(t *testing.T) {
	s := &Spool{Dir: t.TempDir(), MinFree: 1}
	r, err := s.Run("r")
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := f.Write([]byte("0123456789")); err != nil {
			t.Fatal(err)
		}
	}
	got, err := io.ReadAll(io.NewSectionReader(f, 8, 14))
	if want := "89012345678901"; err != nil || !bytes.Equal(got, []byte(want)) {
		t.Errorf("read %q, %v, want %q", got, err, want)
	}
	if names, err := os.ReadDir(r.dir.Path); err != nil || len(names) > 0 {
		t.Errorf("the folder has %v (%v), want nothing", names, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	s.MinFree = 1 << 60
	if f, err = r.Scratch(); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var full *FullError
	if _, err := f.Write([]byte("x")); !errors.As(err, &full) {
		t.Errorf("wrote to a disk without room: %v, want a FullError", err)
	}
}
