package spool

import (
	"fmt"
	"io"
	"os"

	"github.com/flue-fhir/flue/internal/durable"
)

// ScratchFile is a file without a name in the run's folder: it is gone when it
// is closed, and when the process ends, however it ends. It belongs to one
// goroutine.
type ScratchFile struct {
	spool   *Spool
	file    *os.File
	written int64
	room    int64 // bytes that may be written before the next look at the free space
}

// Scratch makes a scratch file. The caller closes it.
func (r *Run) Scratch() (*ScratchFile, error) {
	f, err := os.CreateTemp(r.dir.Path, durable.TempPattern)
	if err != nil {
		return nil, r.spool.full(fmt.Errorf("make scratch file: %w", err))
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("make scratch file: %w", err)
	}
	return &ScratchFile{spool: r.spool, file: f}, nil
}

// Write implements io.Writer. Without room on the disk it returns a *FullError.
func (s *ScratchFile) Write(b []byte) (int, error) {
	n := int64(len(b))
	if s.written+n > s.room {
		spare, err := s.spool.room(n)
		if err != nil {
			return 0, err
		}
		s.room = s.written + n + min(roomStep, spare/16) // others write too
	}
	k, err := s.file.Write(b)
	s.written += int64(k)
	return k, s.spool.full(err)
}

// ReadAt implements io.ReaderAt.
func (s *ScratchFile) ReadAt(b []byte, at int64) (int, error) { return s.file.ReadAt(b, at) }

// Size is how many bytes were written.
func (s *ScratchFile) Size() int64 { return s.written }

// Reader reads what was written so far, from its first byte.
func (s *ScratchFile) Reader() io.Reader { return io.NewSectionReader(s.file, 0, s.written) }

// Reset forgets what was written.
func (s *ScratchFile) Reset() error {
	s.written, s.room = 0, 0
	_, err := s.file.Seek(0, io.SeekStart)
	if err == nil {
		err = s.file.Truncate(0)
	}
	if err != nil {
		return fmt.Errorf("empty scratch file: %w", err)
	}
	return nil
}

// Close drops the file.
func (s *ScratchFile) Close() error { return s.file.Close() }
