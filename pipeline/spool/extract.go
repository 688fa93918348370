package spool

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxText is up to which length a quarantined line is written as text.
const maxText = 16 << 20

// WriteQuarantine writes the quarantined lines of the parts as NDJSON, one
// object a line, and tells how many (F40):
//
//	{"part":"…","line":3,"offset":912,"column":17,"reason":"…","text":"…"}
//
// line counts from 0 and includes blank ones, offset is the position of the
// line's first byte in the decoded body, column that of the fault within the
// line. Of borrowed bodies, part names the file, and line and offset are those
// in the file; all its parts must be among parts, in their order. What is not
// UTF-8, or over 16 MiB, stands under "base64" instead of "text". Memory is
// bounded for lines of any length.
func (r *Run) WriteQuarantine(ctx context.Context, parts []*Part, w io.Writer) (int64, error) {
	out := bufio.NewWriterSize(w, 64<<10)
	places := placesOf(parts)
	n, err := extract(ctx, parts, quarantineLine, func(p *Part, rec *record, line io.Reader) error {
		at := places[p]
		head, err := json.Marshal(struct {
			Part   string `json:"part"`
			Line   int64  `json:"line"`
			Offset int64  `json:"offset"`
			Column int64  `json:"column"`
			Reason string `json:"reason"`
		}{at.name, at.line + rec.line, at.offset + rec.offset, rec.column, p.reason(rec.typ)})
		if err != nil {
			return err
		}
		_, _ = out.Write(head[:len(head)-1]) // bufio keeps the error for Flush
		if err := writeContent(out, line); err != nil {
			return err
		}
		_, err = out.WriteString("}\n")
		return err
	})
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return n, fmt.Errorf("write quarantine: %w", err)
	}
	return n, nil
}

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

// BadLine is where a line is that was quarantined. It holds nothing of the line.
type BadLine struct {
	Name   string // of the part, or of the file that it was borrowed from
	Offset int64  // of the line's first byte
	Reason string
}

// FirstBad returns the first quarantined line of the part; ok is false when it
// has none.
func (p *Part) FirstBad(ctx context.Context) (bad BadLine, ok bool, err error) {
	if p.foot.Info.Quarantined == 0 {
		return bad, false, nil
	}
	at := placesOf([]*Part{p})[p]
	err = p.eachRecord(ctx, func(r *record) bool {
		if ok = r.kind == quarantineLine; ok {
			bad = BadLine{Name: at.name, Offset: at.offset + r.offset, Reason: p.reason(r.typ)}
		}
		return !ok
	})
	return bad, ok, err
}

func (p *Part) reason(ordinal int) string {
	if ordinal < len(p.foot.Reasons) {
		return p.foot.Reasons[ordinal]
	}
	return "unknown"
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

// writeContent writes the last member of a quarantined line's object.
func writeContent(w *bufio.Writer, line io.Reader) error {
	head, err := io.ReadAll(io.LimitReader(line, maxText+1))
	if err != nil {
		return err
	}
	if text := bytes.TrimSuffix(head, []byte("\r")); len(head) <= maxText && utf8.Valid(text) {
		quoted, err := json.Marshal(string(text))
		if err != nil {
			return err
		}
		_, _ = w.WriteString(`,"text":`)
		_, err = w.Write(quoted)
		return err
	}
	_, _ = w.WriteString(`,"base64":"`)
	enc := base64.NewEncoder(base64.StdEncoding, w)
	if _, err := enc.Write(head); err != nil {
		return err
	}
	if _, err := io.Copy(enc, line); err != nil {
		return err
	}
	if err := enc.Close(); err != nil {
		return err
	}
	return w.WriteByte('"')
}
