package spool

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
)

// WriteOutcomes writes the OperationOutcome lines of the parts as they came, as
// NDJSON, and tells how many (F41).
func (r *Run) WriteOutcomes(ctx context.Context, parts []*Part, w io.Writer) (int64, error) {
	out := bufio.NewWriterSize(w, 64<<10)
	n, err := extract(ctx, parts, outcomeLine, func(_ *Part, _ *record, line io.Reader) error {
		if _, err := io.Copy(out, line); err != nil {
			return err
		}
		return out.WriteByte('\n')
	})
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return n, fmt.Errorf("write outcomes: %w", err)
	}
	return n, nil
}

// spot is where a part begins for a person: in which body or file, and behind
// how many lines and bytes.
type spot struct {
	name         string
	line, offset int64
}

func placesOf(parts []*Part) map[*Part]spot {
	places := make(map[*Part]spot, len(parts))
	lines := map[string]int64{}
	for _, p := range parts {
		name := cmp.Or(p.foot.Name, p.Key())
		s := p.foot.Original
		if s == nil {
			places[p] = spot{name: name}
			continue
		}
		places[p] = spot{name: name, line: lines[name], offset: s.Offset}
		lines[name] += s.Rows
	}
	return places
}

// extract calls do with each line of a kind. The reader stands at the line's
// first byte and ends with the line.
func extract(ctx context.Context, parts []*Part, kind lineKind, do func(*Part, *record, io.Reader) error) (int64, error) {
	var n int64
	for _, p := range parts {
		if kind == quarantineLine && p.foot.Info.Quarantined == 0 || kind == outcomeLine && p.foot.Info.Outcomes == 0 {
			continue
		}
		body, err := p.Open()
		if err != nil {
			return n, err
		}
		in := &lineSource{}
		in.r = bufio.NewReaderSize(io.TeeReader(body, (*byteCount)(&in.read)), 64<<10)
		var failed error
		err = p.eachRecord(ctx, func(r *record) bool {
			if r.kind != kind {
				return true
			}
			if failed = in.seek(r.offset); failed == nil {
				failed = do(p, r, &lineReader{r: in.r})
			}
			n++
			return failed == nil
		})
		if err := errors.Join(failed, err, body.Close()); err != nil {
			return n, err
		}
	}
	return n, nil
}

// lineSource reads lines at rising offsets.
type lineSource struct {
	r    *bufio.Reader
	read int64 // bytes that r has taken from below
}

type byteCount int64

func (c *byteCount) Write(p []byte) (int, error) {
	*c += byteCount(len(p))
	return len(p), nil
}

func (s *lineSource) seek(offset int64) error {
	skip := offset - (s.read - int64(s.r.Buffered()))
	if skip < 0 {
		return errChunk
	}
	_, err := io.CopyN(io.Discard, s.r, skip)
	return err
}

// lineReader reads to the next line feed, which it takes and does not give.
type lineReader struct {
	r    *bufio.Reader
	rest []byte
	end  bool
}

func (l *lineReader) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		if l.end {
			return 0, io.EOF
		}
		piece, err := l.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull && err != io.EOF {
			return 0, err
		}
		l.end = err != bufio.ErrBufferFull
		l.rest = bytes.TrimSuffix(piece, []byte("\n"))
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}
