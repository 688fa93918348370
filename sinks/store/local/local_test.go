package local

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/sinktest"
)

func TestStore(t *testing.T) {
	sinktest.TestStore(t, sinktest.StoreHarness{
		Open: func(t *testing.T, place string) sinks.Store { return &Store{Path: filepath.Join(place, "dest")} },
		Read: func(t *testing.T, location, path string) []byte {
			data, err := os.ReadFile(filepath.Join(location, path))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("read %s: %v", path, err)
			}
			return data
		},
	})
}

var noon = time.Date(2024, 5, 6, 12, 0, 0, 0, time.UTC)

// publish publishes one file and returns the snapshot's folder.
func publish(t *testing.T, s *Store, run string) string {
	t.Helper()
	st, err := s.Stage(t.Context(), "job", run)
	if err != nil {
		t.Fatal(err)
	}
	f, err := commit(t, st, "ndjson/Patient/part-00000.ndjson", "content of "+run+"\n")
	if err != nil {
		t.Fatal(err)
	}
	location, err := st.Publish(t.Context(), &sinks.Manifest{Kind: sinks.Full, Published: noon, Files: []sinks.File{f}})
	if err != nil {
		t.Fatal(err)
	}
	return location
}

func commit(t *testing.T, st sinks.Staging, path, content string) (sinks.File, error) {
	t.Helper()
	w, err := st.Create(t.Context(), path)
	if err != nil {
		return sinks.File{}, err
	}
	defer w.Abort()
	if _, err := w.Write([]byte(content)); err != nil {
		return sinks.File{}, err
	}
	size, sum, err := w.Commit()
	return sinks.File{Path: path, Type: "Patient", Rows: 1, Bytes: size, SHA256: sum}, err
}

// tree lists what lies below a folder, with modes.
func tree(t *testing.T, dir string) map[string]fs.FileMode {
	t.Helper()
	found := map[string]fs.FileMode{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		found[rel] = fi.Mode()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestLayout(t *testing.T) {
	s := &Store{Path: filepath.Join(t.TempDir(), "a", "dest")}
	location := publish(t, s, "r1")
	if want := filepath.Join(s.Path, "job", "snapshots", "20240506T120000Z-r1"); location != want {
		t.Errorf("published at %s, want %s", location, want)
	}
	target, err := os.Readlink(filepath.Join(s.Path, "job", "latest"))
	if err != nil || target != "snapshots/20240506T120000Z-r1" {
		t.Errorf("latest points at %q (%v), want a relative link", target, err)
	}
	for path, mode := range tree(t, s.Path) {
		switch want := fs.FileMode(0o600); {
		case mode.IsDir() && mode.Perm() != 0o700, mode.IsRegular() && mode.Perm() != want:
			t.Errorf("%s has the mode %v", path, mode)
		case strings.Contains(path, "staging") || strings.Contains(path, ".tmp"):
			t.Errorf("%s is left", path)
		}
	}
}

func TestModesAndGroup(t *testing.T) {
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	gid := os.Getgid()
	for _, g := range groups {
		if g != gid {
			gid = g
		}
	}
	if os.Getuid() == 0 {
		gid = 12345
	}
	s := &Store{Path: filepath.Join(t.TempDir(), "dest"), FileMode: 0o640, DirMode: 0o750, Group: strconv.Itoa(gid)}

	// In the making it is for its owner only (I7).
	st, err := s.Stage(t.Context(), "job", "r1")
	if err != nil {
		t.Fatal(err)
	}
	old, err := commit(t, st, "ndjson/Patient/part-00000.ndjson", "x\n")
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(filepath.Join(s.Path, "job", ".staging-r1")); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("the staging has the mode %v (%v), want 0700", fi.Mode(), err)
	}

	// The configuration changes before another try: what is published follows.
	s.FileMode, s.DirMode = 0o644, 0o755
	if st, err = s.Stage(t.Context(), "job", "r1"); err != nil {
		t.Fatal(err)
	}
	f, err := commit(t, st, "ndjson/Patient/part-00001.ndjson", "y\n")
	if err != nil {
		t.Fatal(err)
	}
	location, err := st.Publish(t.Context(), &sinks.Manifest{Published: noon, Files: []sinks.File{old, f}})
	if err != nil {
		t.Fatal(err)
	}
	for path, mode := range tree(t, location) {
		want := fs.FileMode(0o644)
		if mode.IsDir() {
			want = 0o755
		}
		fi, err := os.Stat(filepath.Join(location, path))
		if err != nil {
			t.Fatal(err)
		}
		if mode.Perm() != want || int(fi.Sys().(*syscall.Stat_t).Gid) != gid {
			t.Errorf("%s has mode %v and group %d, want %v and %d", path, mode, fi.Sys().(*syscall.Stat_t).Gid, want, gid)
		}
	}
}

func TestUnknownGroup(t *testing.T) {
	s := &Store{Path: t.TempDir(), Group: "no-such-group-here"}
	_, stage := s.Stage(t.Context(), "job", "r1")
	for what, err := range map[string]error{"Stage": stage, "Check": s.Check(t.Context(), "job")} {
		var own *Error
		if !errors.As(err, &own) || own.Class() != "usage" || own.Hint() == "" {
			t.Errorf("%s returned %v, want a usage error with a hint", what, err)
		}
	}
}

func TestLatestThatIsNoLink(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"File":    func(path string) error { return os.WriteFile(path, []byte("mine"), 0o600) },
		"Folder":  func(path string) error { return os.Mkdir(path, 0o700) },
		"Outside": func(path string) error { return os.Symlink("/etc", path) },
		"Above":   func(path string) error { return os.Symlink("snapshots/..", path) },
		"Dangles": func(path string) error { return os.Symlink("snapshots/20240101T000000Z-gone", path) },
	} {
		t.Run(name, func(t *testing.T) {
			s := &Store{Path: t.TempDir()}
			if err := os.Mkdir(filepath.Join(s.Path, "job"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := make(filepath.Join(s.Path, "job", "latest")); err != nil {
				t.Fatal(err)
			}
			var own *Error
			if m, err := s.Latest(t.Context(), "job"); !errors.As(err, &own) || own.Hint() == "" {
				t.Errorf("Latest returned %v, %v, want an error with a hint", m, err)
			}
		})
	}
}

func TestNewerManifestIsRefused(t *testing.T) {
	s := &Store{Path: t.TempDir()}
	location := publish(t, s, "r1")
	if err := os.WriteFile(filepath.Join(location, "manifest.json"), []byte(`{"version":99,"run":"r1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Latest(t.Context(), "job"); err == nil {
		t.Errorf("Latest returned %+v of a version that it does not know", m)
	}
}

func TestCheckLeavesNothing(t *testing.T) {
	s := &Store{Path: filepath.Join(t.TempDir(), "dest")}
	if err := s.Check(t.Context(), "job"); err != nil {
		t.Fatal(err)
	}
	if found := tree(t, s.Path); len(found) != 2 {
		t.Errorf("Check left %v", found)
	}
	if err := os.Chmod(filepath.Join(s.Path, "job"), 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Join(s.Path, "job"), 0o700)
	if os.Getuid() == 0 {
		t.Skip("root can write anywhere")
	}
	var own *Error
	if err := s.Check(t.Context(), "job"); !errors.As(err, &own) || own.Hint() == "" {
		t.Errorf("Check of a folder without permission returned %v, want an error with a hint", err)
	}
}

func TestStagingEndsWithPublish(t *testing.T) {
	s := &Store{Path: t.TempDir()}
	st, err := s.Stage(t.Context(), "job", "r1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Publish(t.Context(), &sinks.Manifest{Published: noon}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Create(t.Context(), "a"); err == nil {
		t.Error("Create after Publish would write into a folder that nobody publishes")
	}
	if err := st.Discard(t.Context()); err != nil {
		t.Errorf("Discard after Publish: %v", err)
	}
	if m, err := s.Latest(t.Context(), "job"); err != nil || m == nil {
		t.Errorf("Latest after Discard: %v, %v", m, err)
	}
}

// TestNoTemporaryFilesInASnapshot leaves a file open while it publishes.
func TestNoTemporaryFilesInASnapshot(t *testing.T) {
	s := &Store{Path: t.TempDir()}
	st, err := s.Stage(t.Context(), "job", "r1")
	if err != nil {
		t.Fatal(err)
	}
	w, err := st.Create(t.Context(), "ndjson/Patient/open")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	location, err := st.Publish(t.Context(), &sinks.Manifest{Published: noon})
	if err != nil {
		t.Fatal(err)
	}
	for path := range tree(t, location) {
		if strings.Contains(path, ".tmp") {
			t.Errorf("%s was published", path)
		}
	}
	if _, _, err := w.Commit(); err == nil {
		t.Error("a file was committed into a published snapshot")
	}
}
