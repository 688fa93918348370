package local

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Open opens a file of a published snapshot. A path that leads out of the snapshot,
// also by a link, is refused (F32).
func (s *Store) Open(ctx context.Context, job, name, path string) (io.ReadCloser, error) {
	if err := s.check(ctx, job); err != nil {
		return nil, err
	}
	if err := checkName("snapshot", name); err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Path, job, snapshotsName, name)
	if !fs.ValidPath(path) || path == "." || strings.ContainsAny(path, "\\\x00") {
		return nil, &Error{Op: "open file", Path: dir, Err: errors.New("the path is not one for a file of a snapshot")}
	}
	f, err := os.OpenInRoot(dir, filepath.FromSlash(path))
	if err != nil {
		return nil, wrap("open file", dir, err)
	}
	return f, nil
}
