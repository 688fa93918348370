package sandbox

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// zipped is a compressed file.
type zipped struct {
	path string
	size int64
}

// zipper compresses each piece once. Pieces of the folder are kept beside the
// index, so that a later server finds them; those of a job go with it.
type zipper struct {
	mu   sync.Mutex
	busy map[string]chan struct{} // closed when the path's work has ended
}

// zip returns the compressed file, whose bytes depend on the piece's alone.
func (s *Server) zip(ctx context.Context, j *job, f *outFile) (zipped, error) {
	dir := filepath.Join(s.Data.Dir(), "gzip")
	if f.owned {
		dir = j.dir
	}
	path := filepath.Join(dir, f.tag+".gz")
	for {
		if info, err := os.Stat(path); err == nil {
			return zipped{path, info.Size()}, nil
		}
		s.zipped.mu.Lock()
		other, working := s.zipped.busy[path]
		if !working {
			if s.zipped.busy == nil {
				s.zipped.busy = map[string]chan struct{}{}
			}
			mine := make(chan struct{})
			s.zipped.busy[path] = mine
			s.zipped.mu.Unlock()
			err := compress(ctx, f, path)
			s.zipped.mu.Lock()
			delete(s.zipped.busy, path)
			close(mine)
			s.zipped.mu.Unlock()
			if err != nil {
				return zipped{}, err
			}
			continue
		}
		s.zipped.mu.Unlock()
		select {
		case <-ctx.Done():
			return zipped{}, ctx.Err()
		case <-other:
		}
	}
}

// compress writes the piece to a file that takes the path's name when it is
// whole.
func compress(ctx context.Context, f *outFile, path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	in, err := os.Open(f.piece.Path)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(path), ".tmp-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(out.Name()))
		}
	}()
	w := bufio.NewWriterSize(out, 256<<10)
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return errors.Join(err, out.Close())
	}
	_, err = io.CopyBuffer(z, &untilDone{ctx, io.NewSectionReader(in, f.piece.Offset, f.piece.Length)}, make([]byte, 256<<10))
	if err := errors.Join(err, z.Close(), w.Flush(), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), path)
}

// untilDone reads until the context ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
