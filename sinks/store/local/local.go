// Package local is the store that keeps snapshots in a local folder.
package local

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/flue-fhir/flue/sinks"
)

// Store keeps the snapshots of jobs below Path.
type Store struct {
	Path     string      // the destination's folder; made when it is missing
	FileMode fs.FileMode // of published files; 0 means 0600
	DirMode  fs.FileMode // of published folders; 0 means 0700
	Group    string      // name or id that owns what is published; "" means the process's
	Now      func() time.Time
}

// Stage opens the staging of a run.
func (s *Store) Stage(ctx context.Context, job, run string) (sinks.Staging, error) {
	return nil, errors.ErrUnsupported
}

// Latest is the manifest that latest points at.
func (s *Store) Latest(ctx context.Context, job string) (*sinks.Manifest, error) {
	return nil, errors.ErrUnsupported
}

// Published finds the snapshot of a run.
func (s *Store) Published(ctx context.Context, job, run string) (*sinks.Manifest, error) {
	return nil, errors.ErrUnsupported
}

// Sweep removes the stagings of other runs.
func (s *Store) Sweep(ctx context.Context, job, keepRun string) error { return errors.ErrUnsupported }

// Check proves that the destination can be written.
func (s *Store) Check(ctx context.Context, job string) error { return errors.ErrUnsupported }
