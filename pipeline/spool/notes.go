package spool

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Notes is a file of lines that is kept with a run: how far a step has come. A
// line outlives the process that added it, but not a loss of power. It is for one
// goroutine.
type Notes struct {
	spool *Spool
	file  *os.File
	size  int64
}

const notesSuffix = ".notes"

// Notes opens the notes of a name, with the lines that earlier processes added;
// of a line that one left half written nothing is kept. The caller closes them.
func (r *Run) Notes(name string) (*Notes, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(r.dir.Path, name+notesSuffix), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open notes: %w", err)
	}
	n := &Notes{spool: r.spool, file: f}
	whole, err := wholeLines(f)
	if err == nil {
		err = n.Cut(whole)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open notes: %w", err), f.Close())
	}
	return n, nil
}

// DropNotes removes the run's notes. None may be open.
func (r *Run) DropNotes() error {
	found, err := filepath.Glob(filepath.Join(r.dir.Path, "*"+notesSuffix))
	for _, path := range found {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		return fmt.Errorf("drop notes: %w", err)
	}
	return nil
}

// wholeLines is how many bytes of a file are lines with their line feed.
func wholeLines(f *os.File) (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 64<<10)
	for end := fi.Size(); end > 0; {
		start := max(end-int64(len(buf)), 0)
		piece := buf[:end-start]
		if _, err := f.ReadAt(piece, start); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(piece, '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}

// Add appends a line, which has no line feed.
func (n *Notes) Add(line []byte) error {
	text := append(append(make([]byte, 0, len(line)+1), line...), '\n')
	if _, err := n.file.WriteAt(text, n.size); err != nil {
		return n.spool.full(fmt.Errorf("write notes: %w", err))
	}
	n.size += int64(len(text))
	return nil
}

// Size is where the next line will begin, in bytes.
func (n *Notes) Size() int64 { return n.size }

// Cut forgets the lines that begin at size or later.
func (n *Notes) Cut(size int64) error {
	if err := n.file.Truncate(size); err != nil {
		return fmt.Errorf("cut notes: %w", err)
	}
	n.size = size
	return nil
}

// Open reads the lines from the byte offset on, as far as there are now. The
// caller closes what it returns.
func (n *Notes) Open(offset int64) io.ReadCloser {
	return io.NopCloser(bufio.NewReaderSize(io.NewSectionReader(n.file, offset, max(n.size-offset, 0)), 64<<10))
}

// Close closes the file.
func (n *Notes) Close() error {
	if err := n.file.Close(); err != nil {
		return fmt.Errorf("close notes: %w", err)
	}
	return nil
}
