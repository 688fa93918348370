package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/flue-fhir/flue/internal/durable"
	"github.com/flue-fhir/flue/sinks"
)

// staging is a snapshot in the making.
type staging struct {
	store *Store
	own   *ownership
	job   string
	run   string
	dir   string
	ended atomic.Bool // published or discarded
}

var errEnded = errors.New("the staging is published or discarded")

// Stage opens the staging of a run, with what an earlier try of the same run
// committed there.
func (s *Store) Stage(ctx context.Context, job, run string) (sinks.Staging, error) {
	if err := s.check(ctx, job, run); err != nil {
		return nil, err
	}
	own, err := s.ownership()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(s.Path, job)
	if err := s.disk.MkdirAll(filepath.Join(home, snapshotsName), 0o700, own.dir); err != nil {
		return nil, wrap("open staging", home, err)
	}
	st := &staging{store: s, own: own, job: job, run: run, dir: filepath.Join(home, stagingPrefix+run)}
	if err := s.disk.MkdirAll(st.dir, 0o700, nil); err != nil {
		return nil, wrap("open staging", home, err)
	}
	// A try that died while it published may have opened the folder (I7).
	if err := os.Chmod(st.dir, 0o700); err != nil {
		return nil, wrap("open staging", home, err)
	}
	if err := s.disk.RemoveTemps(st.dir, true); err != nil {
		return nil, wrap("open staging", home, err)
	}
	return st, nil
}

// Discard removes the staging of a run, also where the folder of the job is gone.
func (s *Store) Discard(ctx context.Context, job, run string) error {
	if err := s.check(ctx, job, run); err != nil {
		return err
	}
	dir := filepath.Join(s.Path, job, stagingPrefix+run)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return wrap("discard staging", dir, s.disk.RemoveAll(dir))
}

// Create begins a file.
func (st *staging) Create(ctx context.Context, path string) (sinks.FileWriter, error) {
	full, err := st.path(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := st.store.disk.MkdirAll(filepath.Dir(full), 0o700, st.own.dir); err != nil {
		return nil, wrap("create file", st.dir, err)
	}
	f, err := st.store.disk.Create(full, 0o600)
	if err != nil {
		return nil, wrap("create file", st.dir, err)
	}
	return &file{f: f, own: st.own, dir: st.dir, sum: sha256.New()}, nil
}

// Remove deletes a committed file.
func (st *staging) Remove(ctx context.Context, path string) error {
	full, err := st.path(ctx, path)
	if err != nil {
		return err
	}
	return wrap("remove file", st.dir, st.store.disk.RemoveAll(full))
}

// Discard removes the staging and everything in it.
func (st *staging) Discard(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	st.ended.Store(true)
	return st.store.Discard(ctx, st.job, st.run)
}

// path is where a file of the staging lies. Paths that lead out of it, and names
// that the store uses itself, are refused (F32).
func (st *staging) path(ctx context.Context, path string) (string, error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if st.ended.Load() {
		return "", &Error{Op: "write staging", Path: st.dir, Err: errEnded}
	}
	ok := fs.ValidPath(path) && path != "." && path != manifestName && !strings.ContainsAny(path, "\\\x00")
	for _, name := range strings.Split(path, "/") {
		ok = ok && !durable.IsTemp(name)
	}
	if !ok {
		return "", &Error{Op: "write staging", Path: st.dir, Err: errors.New("the path is not one for a file of a snapshot")}
	}
	return filepath.Join(st.dir, filepath.FromSlash(path)), nil
}

// file is a file that is being written.
type file struct {
	f    *durable.File
	own  *ownership
	dir  string
	sum  hash.Hash
	size int64
	err  error // of the first write that failed
}

func (f *file) Write(p []byte) (int, error) {
	n, err := f.f.Write(p)
	_, _ = f.sum.Write(p[:n]) // never fails
	f.size += int64(n)
	if err != nil && f.err == nil {
		f.err = wrap("write file", f.dir, err)
	}
	return n, f.err
}

// Commit makes the file durable under its name. A file of which a write failed
// is not committed.
func (f *file) Commit() (size int64, sum string, err error) {
	if err = f.err; err == nil {
		err = f.own.open(f.f.File)
	}
	if err != nil {
		return 0, "", wrap("commit file", f.dir, errors.Join(err, f.f.Abort()))
	}
	if err := f.f.Commit(nil); err != nil {
		return 0, "", wrap("commit file", f.dir, fmt.Errorf("commit: %w", err))
	}
	return f.size, hex.EncodeToString(f.sum.Sum(nil)), nil
}

func (f *file) Abort() error { return wrap("abort file", f.dir, f.f.Abort()) }
