package local

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/flue-fhir/flue/sinks"
)

// Snapshots lists the published snapshots of the job, the oldest first. Files
// and names with a dot beside them are passed over; a folder without a manifest
// that can be read is an error, because others may rest on it.
func (s *Store) Snapshots(ctx context.Context, job string) ([]sinks.Snapshot, error) {
	latest, err := s.latest(ctx, job)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Path, job, snapshotsName)
	entries, err := os.ReadDir(dir) // sorted by name, and names sort by time
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap("list snapshots", dir, err)
	}
	var list []sinks.Snapshot
	for _, e := range entries {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		m, err := s.read(job, e.Name())
		if err != nil {
			return nil, err
		}
		list = append(list, sinks.Snapshot{
			Name: e.Name(), Run: m.Run, Base: m.Base, Published: m.Published, Latest: e.Name() == latest,
			Whole: m.Kind == sinks.Full && m.Request.Since == nil,
		})
	}
	return list, nil
}

// Delete removes a published snapshot for good. It gets a name with a dot
// outside of snapshots/ first, so that no reader finds half of it (I1).
func (s *Store) Delete(ctx context.Context, job, name string) error {
	latest, err := s.latest(ctx, job)
	if err != nil {
		return err
	}
	if err := checkName("snapshot", name); err != nil {
		return err
	}
	dir := filepath.Join(s.Path, job, snapshotsName, name)
	if name == latest {
		return &Error{Op: "delete snapshot", Path: dir, Err: errors.New("latest points at it")}
	}
	grave := filepath.Join(s.Path, job, deletedPrefix+name)
	// What an earlier try left is in the way of the rename.
	if err := s.disk.RemoveAll(grave); err != nil {
		return wrap("delete snapshot", dir, err)
	}
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := s.disk.Rename(dir, grave); err != nil {
		return wrap("delete snapshot", dir, err)
	}
	return wrap("delete snapshot", dir, s.disk.RemoveAll(grave))
}
