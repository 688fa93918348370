package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

var errCrash = errors.New("crash")

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// TestFileAppearsWhole writes over a file and stops at every step: the name has
// the old content or the new one, and nothing is left beside it.
func TestFileAppearsWhole(t *testing.T) {
	for at := 0; ; at++ {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		if err := (FS{}).WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		var n int
		s := FS{Step: func(string, string) error {
			if n++; n > at {
				return errCrash
			}
			return nil
		}}
		err := s.WriteFile(path, []byte("new"), 0o640)
		data, rerr := os.ReadFile(path)
		if rerr != nil || string(data) != "old" && string(data) != "new" {
			t.Fatalf("step %d: the file holds %q (%v)", at, data, rerr)
		}
		if err == nil {
			if string(data) != "new" || names(t, dir) != "f" {
				t.Errorf("%q is written, the folder holds %s", data, names(t, dir))
			}
			if fi, _ := os.Stat(path); fi.Mode().Perm() != 0o640 {
				t.Errorf("mode %v", fi.Mode())
			}
			if at < 3 {
				t.Errorf("only %d steps were seen", at)
			}
			return
		}
		if !errors.Is(err, errCrash) {
			t.Fatalf("step %d: %v", at, err)
		}
		if err := (FS{}).RemoveTemps(dir, false); err != nil {
			t.Fatal(err)
		}
		if names(t, dir) != "f" {
			t.Errorf("step %d: the folder holds %s", at, names(t, dir))
		}
	}
}

func TestAbort(t *testing.T) {
	dir := t.TempDir()
	f, err := FS{}.Create(filepath.Join(dir, "f"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); !IsTemp(got) {
		t.Errorf("the folder holds %q, want a temporary file", got)
	}
	for range 2 {
		if err := f.Abort(); err != nil {
			t.Error(err)
		}
	}
	if got := names(t, dir); got != "" {
		t.Errorf("the folder holds %q after Abort", got)
	}
}

func TestOpenGoesOn(t *testing.T) {
	dir := t.TempDir()
	temp, path := filepath.Join(dir, "partial"), filepath.Join(dir, "f")
	for i, piece := range []string{"one ", "two"} {
		f, err := FS{}.Open(temp, path, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte(piece), int64(i*4)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			err = f.Close()
		} else {
			err = f.Commit(&Dir{Path: dir})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "one two" || names(t, dir) != "f" {
		t.Errorf("%q, %v, the folder holds %s", data, err, names(t, dir))
	}
}

func TestMkdirAll(t *testing.T) {
	root := t.TempDir()
	var made []string
	path := filepath.Join(root, "a", "b", "c")
	for range 2 {
		err := FS{}.MkdirAll(path, 0o700, func(p string) error { made = append(made, filepath.Base(p)); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(made, ""); got != "abc" {
		t.Errorf("made %q", got)
	}
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (FS{}).MkdirAll(filepath.Join(root, "file"), 0o700, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file in the place of a folder: %v", err)
	}
}

func TestSymlinkReplaces(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "latest")
	for _, target := range []string{"a", "b"} {
		if err := (FS{}).Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(link); err != nil || got != target {
			t.Errorf("the link points at %q (%v), want %q", got, err, target)
		}
	}
	if got := names(t, dir); got != "latest" {
		t.Errorf("the folder holds %s", got)
	}
}

func TestRemoveTemps(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "sub", tempPrefix+"folder", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"keep", tempPrefix + "1", "sub/keep", "sub/" + tempPrefix + "2"} {
		if err := os.WriteFile(filepath.Join(dir, path), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := (FS{}).RemoveTemps(dir, false); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir) + "/" + names(t, filepath.Join(dir, "sub")); strings.Count(got, "keep") != 2 || strings.Count(got, tempPrefix) != 2 {
		t.Errorf("not deep: left %s", got)
	}
	if err := (FS{}).RemoveTemps(dir, true); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir) + "/" + names(t, filepath.Join(dir, "sub")); got != "keep sub/keep" {
		t.Errorf("deep: left %s", got)
	}
	if err := (FS{}).RemoveTemps(filepath.Join(dir, "missing"), true); err != nil {
		t.Errorf("a missing folder: %v", err)
	}
}

// TestDirSharesSyncs proves the two promises of Dir: a sync that serves a caller
// began after the call, and callers that wait together share one. The first
// sync is held back until all others have called.
func TestDirSharesSyncs(t *testing.T) {
	const callers = 50
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := &Dir{Path: dir}
		var syncs atomic.Int64
		called := make(chan struct{})
		d.FS.Step = func(string, string) error {
			if syncs.Add(1) == 1 {
				<-called
			}
			return nil
		}
		var wg sync.WaitGroup
		call := func() {
			if err := d.Sync(); err != nil {
				t.Error(err)
			}
		}
		wg.Go(call)
		synctest.Wait()
		for range callers {
			wg.Go(call)
		}
		synctest.Wait()
		close(called)
		wg.Wait()
		if n := syncs.Load(); n != 2 {
			t.Errorf("%d calls made %d syncs, want 2", callers+1, n)
		}
	})
}

func TestDirReportsTheError(t *testing.T) {
	d := &Dir{Path: filepath.Join(t.TempDir(), "missing")}
	for range 2 {
		if err := d.Sync(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Sync of a missing folder: %v", err)
		}
	}
}
