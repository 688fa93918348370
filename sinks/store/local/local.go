// Package local is the store that keeps snapshots in a local folder:
//
//	Path/JOB/latest                      symlink to the newest snapshot, replaced last
//	Path/JOB/snapshots/TIME-RUN/         a snapshot; appears by one rename (I1)
//	Path/JOB/.staging-RUN/               a snapshot in the making, for its owner only (I7)
//	Path/JOB/.deleted-TIME-RUN/          a snapshot that is being deleted
//	Path/JOB/.lock                       locked by the process that publishes
//
// Every step is synced before the next begins and can be repeated: a process
// that dies anywhere leaves what is published as it was, and the same calls
// again complete it (I5). Only one process may publish for a job at a time: the
// one that holds its Lock (I10).
package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/flue-fhir/flue/internal/durable"
	"github.com/flue-fhir/flue/sinks"
)

// Store keeps the snapshots of jobs below Path. Its methods may be called by
// several goroutines at once.
type Store struct {
	Path     string           // the destination's folder; made when it is missing
	FileMode fs.FileMode      // of published files; 0 means 0600. The owner can always read and write.
	DirMode  fs.FileMode      // of published folders; 0 means 0700. The owner can always enter and change.
	Group    string           // name or number of the group of what is published; "" leaves the process's
	Now      func() time.Time // nil means time.Now

	disk durable.FS
}

const (
	latestName    = "latest"
	snapshotsName = "snapshots"
	stagingPrefix = ".staging-"
	manifestName  = "manifest.json"
	deletedPrefix = ".deleted-"
)

// Latest is the manifest that latest points at, nil without error when the job
// has published nothing yet.
func (s *Store) Latest(ctx context.Context, job string) (*sinks.Manifest, error) {
	name, err := s.latest(ctx, job)
	if err != nil || name == "" {
		return nil, err
	}
	m, err := s.read(job, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{
			Op: "read latest", Path: filepath.Join(s.Path, job, latestName), Err: err,
			hint: "The link points at a snapshot that is gone. Point it at one that is there, or remove it: then the next run is a full one.",
		}
	}
	return m, err
}

// latest is the name of the snapshot that latest points at, "" when there is
// none.
func (s *Store) latest(ctx context.Context, job string) (string, error) {
	if err := s.check(ctx, job); err != nil {
		return "", err
	}
	link := filepath.Join(s.Path, job, latestName)
	target, err := os.Readlink(link)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil && (filepath.Dir(target) != snapshotsName || checkName("snapshot", filepath.Base(target)) != nil) {
		err = errors.New("it does not point into " + snapshotsName)
	}
	if err != nil {
		return "", &Error{
			Op: "read latest", Path: link, Err: err,
			hint: "It must be a symbolic link to a folder in " + snapshotsName + ". Move away what is there.",
		}
	}
	return filepath.Base(target), nil
}

// Snapshot reads the manifest of a published snapshot, nil when there is none of
// that name.
func (s *Store) Snapshot(ctx context.Context, job, name string) (*sinks.Manifest, error) {
	if err := s.check(ctx, job); err != nil {
		return nil, err
	}
	if err := checkName("snapshot", name); err != nil {
		return nil, err
	}
	m, err := s.read(job, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return m, err
}

// Published finds the snapshot of a run, nil when there is none.
func (s *Store) Published(ctx context.Context, job, run string) (*sinks.Manifest, error) {
	if err := s.check(ctx, job, run); err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Path, job, snapshotsName)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap("list snapshots", dir, err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), "-"+run) {
			continue
		}
		m, err := s.read(job, e.Name())
		if err != nil {
			return nil, err
		}
		if m.Run == run {
			return m, nil
		}
	}
	return nil, nil
}

// Sweep removes the stagings of the job but that of keepRun, and what a crash
// left beside them.
func (s *Store) Sweep(ctx context.Context, job, keepRun string) error {
	if err := s.check(ctx, job); err != nil {
		return err
	}
	dir := filepath.Join(s.Path, job)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return wrap("sweep", dir, err)
	}
	for _, e := range entries {
		run, staging := strings.CutPrefix(e.Name(), stagingPrefix)
		if staging && run != keepRun || durable.IsTemp(e.Name()) || strings.HasPrefix(e.Name(), deletedPrefix) {
			if err := s.disk.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return wrap("sweep", dir, err)
			}
		}
	}
	return nil
}

// Check proves that the destination can be written, with the modes and the
// group that are asked for, by making and removing a probe.
func (s *Store) Check(ctx context.Context, job string) error {
	if err := s.check(ctx, job); err != nil {
		return err
	}
	own, err := s.ownership()
	if err != nil {
		return err
	}
	dir := filepath.Join(s.Path, job)
	if err := s.disk.MkdirAll(dir, 0o700, own.dir); err != nil {
		return wrap("check destination", dir, err)
	}
	probe, err := os.MkdirTemp(dir, durable.TempPattern)
	if err != nil {
		return wrap("check destination", dir, err)
	}
	return wrap("check destination", dir, errors.Join(s.probe(probe, own), os.RemoveAll(probe)))
}

func (s *Store) probe(dir string, own *ownership) error {
	if err := own.dir(dir); err != nil {
		return err
	}
	file := filepath.Join(dir, "file")
	if err := s.disk.WriteFile(file, []byte("probe\n"), 0o600); err != nil {
		return err
	}
	if err := own.file(file); err != nil {
		return err
	}
	return s.disk.Symlink("file", filepath.Join(dir, "link"))
}

// read reads the manifest of a snapshot.
func (s *Store) read(job, name string) (*sinks.Manifest, error) {
	path := filepath.Join(s.Path, job, snapshotsName, name, manifestName)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, wrap("read manifest", path, err)
	}
	m := new(sinks.Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, wrap("read manifest", path, err)
	}
	if m.Version > sinks.ManifestVersion {
		return nil, &Error{
			Op: "read manifest", Path: path, Err: fmt.Errorf("its version is %d, this program knows up to %d", m.Version, sinks.ManifestVersion),
			hint: "A newer flue wrote it: use that, or a destination of its own.",
		}
	}
	return m, nil
}

// check refuses names that are no file names (F32); run is optional.
func (s *Store) check(ctx context.Context, job string, run ...string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.Path == "" {
		return &Error{Op: "open destination", Err: errors.New("it has no path"), class: "usage"}
	}
	if err := checkName("job", job); err != nil {
		return err
	}
	for _, r := range run {
		if err := checkName("run", r); err != nil {
			return err
		}
	}
	return nil
}

func checkName(what, name string) error {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\\\x00") {
		return &Error{Op: "open destination", Err: fmt.Errorf("the name of the %s is no file name", what), class: "usage"}
	}
	return nil
}

func (s *Store) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}
