package parquet

import (
	"context"
	"errors"
	"fmt"

	"github.com/flue-fhir/flue/sinks"
)

// writer cuts row groups into files of the target size. The workers use it one
// at a time.
type writer struct {
	dst       sinks.Staging
	layout    *layout
	folder    string // with a slash at its end
	createdBy string
	pairs     []string
	target    int64

	open  *file
	begun int // files created
	done  []sinks.File
}

// mostChunks bounds the columns times row groups of a file: their descriptions
// stay in memory until the footer is written (I8).
const mostChunks = 50_000

func (w *writer) path(n int) string { return fmt.Sprintf("%spart-%05d.parquet", w.folder, n) }

func (w *writer) create(ctx context.Context) error {
	f, err := createFile(ctx, w.dst, w.path(w.begun), w.layout, w.createdBy, w.pairs)
	if err != nil {
		return err
	}
	w.begun++
	w.open = f
	return nil
}

// append writes a row group to the open file, and closes the file when it has
// its size.
func (w *writer) append(ctx context.Context, rows int, chunks []chunk) error {
	if w.open == nil {
		if err := w.create(ctx); err != nil {
			return err
		}
	}
	if err := w.open.append(rows, chunks); err != nil {
		w.open = nil
		return err
	}
	if w.open.at >= w.target || int(w.open.groups)*w.layout.leaves >= mostChunks {
		return w.close()
	}
	return nil
}

func (w *writer) close() error {
	f := w.open
	w.open = nil
	done, err := f.commit()
	if err != nil {
		return err
	}
	w.done = append(w.done, done)
	return nil
}

// finish closes the last file. A type without rows has one file with the
// schema, so that yesterday's query still runs.
func (w *writer) finish(ctx context.Context) ([]sinks.File, error) {
	if w.begun == 0 {
		if err := w.create(ctx); err != nil {
			return nil, err
		}
	}
	if w.open != nil {
		if err := w.close(); err != nil {
			return nil, err
		}
	}
	return w.done, nil
}

// discard removes what was written, after an error.
func (w *writer) discard(ctx context.Context) {
	if w.open != nil {
		w.open.abort()
		w.open = nil
	}
	ctx = context.WithoutCancel(ctx)
	for _, f := range w.done {
		// The staging is dropped or written over by the next try anyway.
		_ = w.dst.Remove(ctx, f.Path)
	}
}

// writeFile writes a small file.
func writeFile(ctx context.Context, dst sinks.Staging, path, typ string, content []byte) (sinks.File, error) {
	w, err := dst.Create(ctx, path)
	if err != nil {
		return sinks.File{}, fmt.Errorf("create %s: %w", path, err)
	}
	if _, err := w.Write(content); err != nil {
		return sinks.File{}, fmt.Errorf("write %s: %w", path, errors.Join(err, w.Abort()))
	}
	size, sum, err := w.Commit()
	if err != nil {
		return sinks.File{}, fmt.Errorf("commit %s: %w", path, errors.Join(err, w.Abort()))
	}
	return sinks.File{Path: path, Type: typ, Bytes: size, SHA256: sum}, nil
}
