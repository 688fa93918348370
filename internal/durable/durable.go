// Package durable is the one place that makes files and names survive a crash:
// a temporary file beside its goal, written, synced, closed, renamed, and the
// folder synced.
//
// What it promises: a name that these functions give to a file or a link either
// is not there (or is the old one), or it is whole, also after a loss of power.
// Temporary files that a crash leaves behind have names that IsTemp recognizes;
// whoever owns the folder removes them with RemoveTemps.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const tempPrefix = ".tmp-"

// TempPattern is the pattern of os.CreateTemp and os.MkdirTemp for temporary
// files that IsTemp recognizes.
const TempPattern = tempPrefix + "*"

// FS changes the disk. The zero value is ready for use, by several goroutines
// at once.
type FS struct {
	// Step is called before each operation that changes the disk, with its name
	// and the path that it is about; an error stops the operation. Tests crash
	// here. May be nil.
	Step func(op, path string) error
}

func (s FS) step(op, path string) error {
	if s.Step == nil {
		return nil
	}
	return s.Step(op, path)
}

// IsTemp reports whether a file name is that of a temporary file or link.
func IsTemp(name string) bool { return strings.HasPrefix(name, tempPrefix) }

// RemoveTemps removes the temporary files in a folder, and in those below it
// when deep. Nobody may be writing there. A missing folder is no error. A folder
// is never held in memory, however many files it has.
func (s FS) RemoveTemps(dir string, deep bool) (err error) {
	d, err := os.Open(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list folder: %w", err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for {
		entries, err := d.ReadDir(512)
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			switch {
			case IsTemp(e.Name()):
				if err := s.RemoveAll(path); err != nil {
					return err
				}
			case deep && e.IsDir():
				if err := s.RemoveTemps(path, deep); err != nil {
					return err
				}
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("list folder: %w", err)
		}
	}
}

// MkdirAll makes a folder and those above it that are missing; each new name is
// synced. made, which may be nil, is called with each new folder, the outermost
// first, before its parent is synced.
func (s FS) MkdirAll(path string, perm fs.FileMode, made func(path string) error) error {
	if fi, err := os.Stat(path); err == nil {
		if !fi.IsDir() {
			return fmt.Errorf("make folder: %w", &fs.PathError{Op: "mkdir", Path: path, Err: fs.ErrExist})
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := s.MkdirAll(parent, perm, made); err != nil {
			return err
		}
	}
	if err := s.step("mkdir", path); err != nil {
		return err
	}
	if err := os.Mkdir(path, perm); err != nil {
		if os.IsExist(err) { // made by another goroutine since
			return nil
		}
		return fmt.Errorf("make folder: %w", err)
	}
	if made != nil {
		if err := made(path); err != nil {
			return err
		}
	}
	return s.SyncDir(parent)
}

// Rename gives a file or folder another name and syncs both folders.
func (s FS) Rename(from, to string) error {
	if err := s.step("rename", to); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("rename: %w", err)
	}
	if err := s.SyncDir(filepath.Dir(to)); err != nil {
		return err
	}
	if a, b := filepath.Dir(from), filepath.Dir(to); a != b {
		return s.SyncDir(a)
	}
	return nil
}

// Symlink makes link point at target, replacing what link was.
func (s FS) Symlink(target, link string) error {
	temp := tempName(link)
	if err := s.step("symlink", temp); err != nil {
		return err
	}
	if err := os.Symlink(target, temp); err != nil {
		return fmt.Errorf("make link: %w", err)
	}
	if err := s.Rename(temp, link); err != nil {
		_ = os.Remove(temp)
		return err
	}
	return nil
}

// RemoveAll removes a file or folder with all it holds. A missing one is no
// error. The folder around it is not synced: a removal that a crash undoes is
// repeated by whoever wanted it.
func (s FS) RemoveAll(path string) error {
	if err := s.step("remove", path); err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	return nil
}

// SyncDir makes the names in a folder durable.
func (s FS) SyncDir(path string) error {
	if err := s.step("syncdir", path); err != nil {
		return err
	}
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}
