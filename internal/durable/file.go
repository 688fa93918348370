package durable

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// File is a file that gets its name by Commit. It is for one goroutine.
type File struct {
	*os.File // the temporary file, open for reading and writing

	fs   FS
	path string
	done bool
}

// Create begins the file path, in a folder that exists.
func (s FS) Create(path string, perm fs.FileMode) (*File, error) {
	return s.open(tempName(path), path, os.O_EXCL, perm)
}

// Open begins or takes up again the file path under the name temp, which lies
// in the same folder: for a file whose beginning is worth keeping through a
// crash. The caller cuts from it what is not.
func (s FS) Open(temp, path string, perm fs.FileMode) (*File, error) {
	return s.open(temp, path, 0, perm)
}

func (s FS) open(temp, path string, flag int, perm fs.FileMode) (*File, error) {
	if err := s.step("create", path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|flag, perm)
	if err != nil {
		return nil, fmt.Errorf("create file: %w", err)
	}
	return &File{File: f, fs: s, path: path}, nil
}

// WriteFile writes a file at once, replacing what had the name.
func (s FS) WriteFile(path string, data []byte, perm fs.FileMode) error {
	f, err := s.Create(path, perm)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		_ = f.Abort()
		return fmt.Errorf("write file: %w", err)
	}
	return f.Commit(nil)
}

// Commit makes the file durable under its name. With a Dir, its sync is shared
// with those of others. After an error the file does not have its name, or,
// when only the sync of the folder failed, may lose it again.
func (f *File) Commit(d *Dir) error {
	if f.done {
		return nil
	}
	if err := f.commit(); err != nil {
		_ = f.Abort()
		return err
	}
	f.done = true
	if d != nil {
		return d.Sync()
	}
	return f.fs.SyncDir(filepath.Dir(f.path))
}

func (f *File) commit() error {
	if err := f.fs.step("sync", f.path); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync file: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("close file: %w", err)
	}
	if err := f.fs.step("rename", f.path); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), f.path); err != nil {
		return fmt.Errorf("rename file: %w", err)
	}
	return nil
}

// Abort drops the file. It does nothing after Commit.
func (f *File) Abort() error {
	if f.done {
		return nil
	}
	f.done = true
	_ = f.Close() // closed already when Commit failed behind it
	if err := f.fs.RemoveAll(f.Name()); err != nil {
		return err
	}
	return nil
}

func tempName(path string) string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return filepath.Join(filepath.Dir(path), tempPrefix+hex.EncodeToString(b[:]))
}
