package local

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/flue-fhir/flue/sinks"
)

var _ sinks.Locker = (*Store)(nil)

// TestI10OneProcessPublishes: whoever holds the folder is told to whoever comes
// second; the other jobs are free, and so is this one once it is given back.
func TestI10OneProcessPublishes(t *testing.T) {
	dir := t.TempDir()
	s := &Store{Path: dir, DirMode: 0o770}
	first, err := s.Lock(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	var held *HeldError
	if _, err := (&Store{Path: dir}).Lock(t.Context(), "job"); !errors.As(err, &held) {
		t.Fatalf("a second lock: %v, want a *HeldError", err)
	}
	host, _ := os.Hostname()
	if held.PID != os.Getpid() || held.Host != host || held.Class() != "held" || held.Hint() == "" {
		t.Errorf("held by %d on %q (class %q), want this process", held.PID, held.Host, held.Class())
	}
	other, err := s.Lock(t.Context(), "other")
	if err != nil {
		t.Errorf("another job: %v", err)
	}
	if err := errors.Join(first.Close(), other.Close()); err != nil {
		t.Fatal(err)
	}
	again, err := s.Lock(t.Context(), "job")
	if err != nil {
		t.Fatalf("lock again: %v", err)
	}
	defer again.Close()
	if fi, err := os.Stat(filepath.Join(dir, "job", ".lock")); err != nil || fi.Mode().Perm() != 0o660 {
		t.Errorf("the lock file has the mode %v (%v), want that of who may change the folder", fi.Mode(), err)
	}
}

// TestI10LockDiesWithItsProcess kills the process that holds the folder.
func TestI10LockDiesWithItsProcess(t *testing.T) {
	const env = "FLUE_TEST_LOCK_DIR"
	if dir := os.Getenv(env); dir != "" {
		if _, err := (&Store{Path: dir}).Lock(t.Context(), "job"); err != nil {
			t.Fatal(err)
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestI10LockDiesWithItsProcess$")
	cmd.Env = append(os.Environ(), env+"="+dir)
	if out, err := cmd.CombinedOutput(); err == nil || strings.Contains(string(out), "FAIL") {
		t.Fatalf("the process was not killed: %v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "job", ".lock"))
	if err != nil || len(text) == 0 {
		t.Fatalf("the process did not hold the folder: %q, %v", text, err)
	}
	lock, err := (&Store{Path: dir}).Lock(t.Context(), "job")
	if err != nil {
		t.Fatalf("the lock outlived its process: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLockDisturbsNobody: readers, retention and the sweep go on beside a lock
// and leave its file alone.
func TestLockDisturbsNobody(t *testing.T) {
	s := &Store{Path: t.TempDir()}
	old := filepath.Base(publish(t, s, "r1"))
	lock, err := s.Lock(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	publish(t, s, "r2")
	list, err := s.Snapshots(t.Context(), "job")
	if err != nil || len(list) != 2 {
		t.Errorf("Snapshots: %v, %v", list, err)
	}
	if m, err := s.Latest(t.Context(), "job"); err != nil || m.Run != "r2" {
		t.Errorf("Latest: %v, %v", m, err)
	}
	if err := errors.Join(s.Delete(t.Context(), "job", old), s.Sweep(t.Context(), "job", "")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(s.Path, "job", ".lock")); err != nil {
		t.Error(err)
	}
	if _, err := s.Lock(t.Context(), "job"); err == nil {
		t.Error("the lock was lost")
	}
}
