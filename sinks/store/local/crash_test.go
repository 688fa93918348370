package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/flue-fhir/flue/sinks"
)

// The environment of a process that publishes and dies at a step.
const (
	crashDir  = "FLUE_TEST_CRASH_DIR"
	crashStep = "FLUE_TEST_CRASH_STEP"
)

var errCrash = errors.New("crash")

// publishSecond publishes run r2 with two files on top of r1, calling step
// before each change of the disk.
func publishSecond(t *testing.T, dir string, step func(op, path string) error) (*sinks.Manifest, error) {
	s := &Store{Path: dir, FileMode: 0o640, DirMode: 0o750}
	s.disk.Step = step
	if err := s.Sweep(t.Context(), "job", "r2"); err != nil {
		return nil, err
	}
	st, err := s.Stage(t.Context(), "job", "r2")
	if err != nil {
		return nil, err
	}
	m := &sinks.Manifest{Kind: sinks.Full, Published: noon.AddDate(0, 0, 1)}
	if err := st.Remove(t.Context(), "ndjson/Patient"); err != nil {
		return nil, err
	}
	for i := range 2 {
		f, err := commit(t, st, fmt.Sprintf("ndjson/Patient/part-0000%d.ndjson", i), "content of r2\n")
		if err != nil {
			return nil, err
		}
		m.Files = append(m.Files, f)
	}
	_, err = st.Publish(t.Context(), m)
	return m, err
}

// checkWhole proves I1: every visible snapshot is whole, and latest points at
// one.
func checkWhole(t *testing.T, dir string, step int) {
	t.Helper()
	s := &Store{Path: dir}
	m, err := s.Latest(t.Context(), "job")
	if err != nil || m == nil {
		t.Fatalf("step %d: Latest: %v, %v", step, m, err)
	}
	snapshots, err := filepath.Glob(filepath.Join(dir, "job", "snapshots", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, snapshot := range snapshots {
		m, err := s.read("job", filepath.Base(snapshot))
		if err != nil {
			t.Errorf("step %d: a visible snapshot has no manifest: %v", step, err)
			continue
		}
		for _, f := range m.Files {
			data, err := os.ReadFile(filepath.Join(snapshot, f.Path))
			if err != nil || string(data) != "content of "+m.Run+"\n" {
				t.Errorf("step %d: %s of run %s holds %q (%v)", step, f.Path, m.Run, data, err)
			}
		}
		if m.Run == "r2" && len(m.Files) != 2 {
			t.Errorf("step %d: run r2 is visible with %d files", step, len(m.Files))
		}
	}
}

// complete runs the same calls again and proves that nothing is left over (I5).
func complete(t *testing.T, dir string, step int) {
	t.Helper()
	checkWhole(t, dir, step)
	m, err := publishSecond(t, dir, nil)
	if err != nil {
		t.Fatalf("step %d: the same calls again: %v", step, err)
	}
	checkWhole(t, dir, step)
	latest, err := (&Store{Path: dir}).Latest(t.Context(), "job")
	if err != nil || latest.Run != "r2" || latest.Name != m.Name {
		t.Errorf("step %d: latest is %+v (%v), want r2", step, latest, err)
	}
	for path, mode := range tree(t, dir) {
		if strings.Contains(path, ".tmp-") || strings.Contains(path, ".staging-") {
			t.Errorf("step %d: %s is left", step, path)
		}
		if strings.Contains(path, "-r2/") && mode.IsRegular() && mode.Perm() != 0o640 || strings.HasSuffix(path, "-r2") && mode.Perm() != 0o750 {
			t.Errorf("step %d: %s has the mode %v", step, path, mode)
		}
	}
	if snapshots, _ := filepath.Glob(filepath.Join(dir, "job", "snapshots", "*")); len(snapshots) != 2 {
		t.Errorf("step %d: %d snapshots, want 2", step, len(snapshots))
	}
}

// steps counts the changes of the disk that a publication makes.
func steps(t *testing.T) int {
	t.Helper()
	dir := t.TempDir()
	publish(t, &Store{Path: dir}, "r1")
	var n int
	if _, err := publishSecond(t, dir, func(string, string) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	if n < 20 {
		t.Fatalf("only %d steps were seen", n)
	}
	return n
}

func TestI1FailureAtEveryStep(t *testing.T) {
	for at := range steps(t) {
		dir := t.TempDir()
		publish(t, &Store{Path: dir}, "r1")
		var n int
		_, err := publishSecond(t, dir, func(string, string) error {
			if n++; n > at {
				return errCrash
			}
			return nil
		})
		if !errors.Is(err, errCrash) {
			t.Fatalf("step %d failed and the publication returned %v", at, err)
		}
		complete(t, dir, at)
	}
}

// TestI1CancelledAtEveryStep: a context that ends behind the rename ends nothing: the
// snapshot is visible, so that the publication is completed and succeeds.
func TestI1CancelledAtEveryStep(t *testing.T) {
	for at := range steps(t) {
		dir := t.TempDir()
		s := &Store{Path: dir}
		publish(t, s, "r1")
		st, err := s.Stage(t.Context(), "job", "r2")
		if err != nil {
			t.Fatal(err)
		}
		f, err := commit(t, st, "ndjson/Patient/part-00000.ndjson", "content of r2\n")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var n int
		s.disk.Step = func(string, string) error {
			if n++; n > at {
				cancel()
			}
			return nil
		}
		_, err = st.Publish(ctx, &sinks.Manifest{Kind: sinks.Full, Published: noon.AddDate(0, 0, 1), Files: []sinks.File{f}})
		cancel()
		m, lerr := (&Store{Path: dir}).Latest(t.Context(), "job")
		if lerr != nil {
			t.Fatal(lerr)
		}
		snapshots, gerr := filepath.Glob(filepath.Join(dir, "job", "snapshots", "*"))
		if gerr != nil {
			t.Fatal(gerr)
		}
		if done := err == nil; done != (m.Run == "r2") || done != (len(snapshots) == 2) {
			t.Errorf("step %d: Publish returned %v, latest is of %s, %d snapshots are visible", at, err, m.Run, len(snapshots))
		}
	}
}

func TestI1KilledAtEveryStep(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		at, err := strconv.Atoi(os.Getenv(crashStep))
		if err != nil {
			t.Fatal(err)
		}
		var n int
		_, err = publishSecond(t, dir, func(string, string) error {
			if n++; n > at {
				return syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			return nil
		})
		t.Fatalf("the process outlived step %d: %v", at, err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for at := range steps(t) {
		dir := t.TempDir()
		publish(t, &Store{Path: dir}, "r1")
		cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestI1KilledAtEveryStep$")
		cmd.Env = append(os.Environ(), crashDir+"="+dir, crashStep+"="+strconv.Itoa(at))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("step %d: the process was not killed: %v\n%s", at, err, out)
		}
		complete(t, dir, at)
	}
}
