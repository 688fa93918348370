package spool

import (
	"io"
	"os"
)

// extent is where a part lies: in a file of its own, or on a shelf.
type extent struct {
	path     string
	at, size int64
}

// open opens the extent, which then begins at offset 0. The caller closes it.
func (e extent) open() (*extentReader, error) {
	f, err := os.Open(e.path)
	if err != nil {
		return nil, err
	}
	return &extentReader{SectionReader: io.NewSectionReader(f, e.at, e.size), file: f}, nil
}

type extentReader struct {
	*io.SectionReader
	file *os.File
}

// Close closes the file.
func (r *extentReader) Close() error { return r.file.Close() }
