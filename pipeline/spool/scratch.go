package spool

import (
	"fmt"
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

// Close drops the file.
func (s *ScratchFile) Close() error { return s.file.Close() }
