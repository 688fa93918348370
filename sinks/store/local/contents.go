package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/flue-fhir/flue/sinks"
)

// contents makes the files beside the attachment index those that it names:
// others are of a try that ended before it could tell of them, and are removed
// (I5). One that is missing or changed is a sinks.ErrChanged. The index and the
// folder are read piece by piece (I8).
func (st *staging) contents(ctx context.Context, a *sinks.Attachments) error {
	folder := filepath.Join(st.dir, sinks.AttachmentFolder)
	open := func() (io.ReadCloser, error) {
		return os.Open(filepath.Join(st.dir, filepath.FromSlash(sinks.AttachmentIndex)))
	}
	var files, bytes int64
	err := sinks.EachContents(a.Fetched, open, func(c sinks.Contents) error {
		there := 0
		err := eachEntry(ctx, folder, func(e fs.DirEntry) error {
			path := filepath.Join(folder, e.Name())
			size, named := c.Sizes[e.Name()]
			switch {
			case !c.Covers(e.Name()):
				return nil
			case !named:
				return st.store.disk.RemoveAll(path)
			}
			fi, err := e.Info()
			if err != nil {
				return fmt.Errorf("check attachment: %w", err)
			}
			if !fi.Mode().IsRegular() || fi.Size() != size {
				return fmt.Errorf("check attachment: %w", sinks.ErrChanged)
			}
			there++
			bytes += size
			return st.settleFile(e, path)
		})
		files += int64(there)
		if err == nil && there < len(c.Sizes) {
			err = fmt.Errorf("check attachments: %d of %d are there: %w", there, len(c.Sizes), sinks.ErrChanged)
		}
		return err
	})
	if err == nil && (files != a.Contents || bytes != a.Bytes) {
		err = errors.New("check attachments: the manifest counts others than the index names")
	}
	return err
}

// eachEntry yields the entries of a folder, in no order, without holding all of
// them. Those that yield removes do not disturb it.
func eachEntry(ctx context.Context, dir string, yield func(fs.DirEntry) error) (err error) {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("list files: %w", err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for {
		entries, err := d.ReadDir(512)
		for _, e := range entries {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := yield(e); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("list files: %w", err)
		}
	}
}
