package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/flue-fhir/flue/internal/durable"
)

// indexStep is how many bytes of records an index chunk holds.
const indexStep = 8192 * recordLen

// indexWriter gathers the records of a landing: a chunk in memory, the full
// ones in a file without a name, so that a crash leaves nothing behind.
type indexWriter struct {
	dir     string
	records int64
	chunk   []byte // headerLen bytes and records
	spill   *os.File
	spilled int64 // bytes
}

func (w *indexWriter) add(r *record) error {
	if w.chunk == nil {
		w.chunk = make([]byte, headerLen, headerLen+64*recordLen)
	}
	w.chunk = r.append(w.chunk)
	w.records++
	if len(w.chunk) < headerLen+indexStep {
		return nil
	}
	if w.spill == nil {
		f, err := os.CreateTemp(w.dir, durable.TempPattern)
		if err != nil {
			return fmt.Errorf("write index: %w", err)
		}
		w.spill = f
		if err := os.Remove(f.Name()); err != nil {
			return fmt.Errorf("write index: %w", err)
		}
	}
	putHeader(w.chunk, indexChunk, len(w.chunk)-headerLen)
	if _, err := w.spill.Write(w.chunk); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	w.spilled += int64(len(w.chunk))
	w.chunk = w.chunk[:headerLen]
	return nil
}

// writeTo writes the chunks.
func (w *indexWriter) writeTo(dst io.Writer) error {
	if w.spilled > 0 {
		if _, err := io.Copy(dst, io.NewSectionReader(w.spill, 0, w.spilled)); err != nil {
			return fmt.Errorf("write index: %w", err)
		}
	}
	if len(w.chunk) > headerLen {
		putHeader(w.chunk, indexChunk, len(w.chunk)-headerLen)
		if _, err := dst.Write(w.chunk); err != nil {
			return fmt.Errorf("write index: %w", err)
		}
	}
	return nil
}

func (w *indexWriter) close() {
	if w.spill != nil {
		_ = w.spill.Close()
		w.spill = nil
	}
}

// eachRecord calls yield with each record of the part, in the order of lines,
// until it returns false. The record is valid during the call.
func (p *Part) eachRecord(ctx context.Context, yield func(*record) bool) error {
	f, err := p.place.open()
	if err != nil {
		return fmt.Errorf("open index: %w", err)
	}
	defer f.Close()
	var buf []byte
	var seen int64
	var r record
	for at := p.foot.IndexAt; at < p.foot.IndexEnd; {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		h, err := readHeader(f, at, p.foot.IndexEnd)
		if err == nil && (h.kind != indexChunk || h.stored%recordLen != 0) {
			err = errChunk
		}
		if err == nil {
			buf, err = readChunk(f, at, h, buf)
		}
		if err != nil {
			return p.damaged(err)
		}
		at += headerLen + int64(h.stored)
		for i := 0; i < len(buf); i += recordLen {
			r.parse(buf[i : i+recordLen])
			seen++
			if !yield(&r) {
				return nil
			}
		}
	}
	if seen != p.foot.Info.Lines {
		return p.damaged(errChunk)
	}
	return nil
}

// DamagedError is a landed part whose file is not what was written: the disk or
// somebody changed it. Drop it and land it again.
type DamagedError struct {
	Key string
	Err error
}

func (e *DamagedError) Error() string { return "read part " + e.Key + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *DamagedError) Hint() string {
	return "The spool's disk changed a file that was written whole: check the disk, and run again. That file is fetched again."
}

// damaged marks the errors of chunks.
func (p *Part) damaged(err error) error {
	if errors.Is(err, errChunk) {
		return &DamagedError{Key: p.foot.Info.Key, Err: err}
	}
	return err
}
