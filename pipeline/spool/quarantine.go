package spool

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// BadLine is where a line is that was quarantined, and why (F40). It holds nothing
// of the line.
type BadLine struct {
	Part   string `json:"part"`           // its key, or the name of the file that it was borrowed from
	Type   string `json:"type,omitempty"` // that the part was declared to be of
	Line   int64  `json:"line"`           // from 1, blank ones included
	Offset int64  `json:"offset"`         // of the line's first byte in the decoded body
	Column int64  `json:"column"`         // of the fault: bytes into the line
	Reason string `json:"reason"`
}

// EachBad calls yield with each quarantined line of the parts, in their order. Of
// borrowed bodies, line and offset are those in the file; all its parts must be
// among parts, in their order.
func EachBad(ctx context.Context, parts []*Part, yield func(BadLine) error) error {
	places := placesOf(parts)
	for _, p := range parts {
		if p.foot.Info.Quarantined == 0 {
			continue
		}
		var failed error
		err := p.eachRecord(ctx, func(r *record) bool {
			if r.kind == quarantineLine {
				failed = yield(p.bad(places[p], r))
			}
			return failed == nil
		})
		if err := errors.Join(failed, err); err != nil {
			return err
		}
	}
	return nil
}

func (p *Part) bad(at spot, r *record) BadLine {
	return BadLine{
		Part: at.name, Type: p.foot.Info.Type, Line: at.line + r.line + 1, Offset: at.offset + r.offset,
		Column: r.column, Reason: p.reason(r.typ),
	}
}

// errEnough ends a walk over lines early.
var errEnough = errors.New("enough")

// FirstBad returns the first quarantined line of the part, its line counted from
// where the part begins; ok is false when it has none.
func (p *Part) FirstBad(ctx context.Context) (bad BadLine, ok bool, err error) {
	err = EachBad(ctx, []*Part{p}, func(b BadLine) error {
		bad, ok = b, true
		return errEnough
	})
	if ok {
		err = nil
	}
	return bad, ok, err
}

func (p *Part) reason(ordinal int) string {
	if ordinal < len(p.foot.Reasons) {
		return p.foot.Reasons[ordinal]
	}
	return "unknown"
}

// maxText is up to which length a quarantined line is written as text.
const maxText = 16 << 20

// WriteQuarantine writes the quarantined lines of the parts as NDJSON, one
// object a line, and tells how many (F40): a BadLine and the line's content, in
// the form of WriteBad. Of the parts holds what EachBad says. Memory is bounded
// for lines of any length.
func (r *Run) WriteQuarantine(ctx context.Context, parts []*Part, w io.Writer) (int64, error) {
	out := bufio.NewWriterSize(w, 64<<10)
	places := placesOf(parts)
	n, err := extract(ctx, parts, quarantineLine, func(p *Part, rec *record, line io.Reader) error {
		return WriteBad(out, p.bad(places[p], rec), line)
	})
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return n, fmt.Errorf("write quarantine: %w", err)
	}
	return n, nil
}

// WriteBad writes one quarantined line:
//
//	{"part":"…","type":"…","line":3,"offset":912,"column":17,"reason":"…","text":"…"}
//
// What is not UTF-8, or over 16 MiB, stands under "base64" instead of "text".
func WriteBad(w *bufio.Writer, bad BadLine, line io.Reader) error {
	head, err := json.Marshal(bad)
	if err != nil {
		return err
	}
	_, _ = w.Write(head[:len(head)-1]) // bufio keeps the error
	if err := writeContent(w, line); err != nil {
		return err
	}
	_, err = w.WriteString("}\n")
	return err
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

// mostHead bounds the bytes of a quarantined line's object before its content.
const mostHead = 64 << 10

// ReadQuarantine calls yield with each line that WriteQuarantine wrote. The content
// of the lines is passed over unread (I7).
func ReadQuarantine(ctx context.Context, r io.Reader, yield func(BadLine) error) error {
	in := bufio.NewReaderSize(r, mostHead)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		head, err := in.ReadSlice('\n')
		if err == io.EOF && len(head) == 0 {
			return nil
		}
		if err != nil && err != bufio.ErrBufferFull && err != io.EOF {
			return fmt.Errorf("read quarantine: %w", err)
		}
		bad, perr := parseBad(head)
		if perr != nil {
			return perr
		}
		for err == bufio.ErrBufferFull {
			_, err = in.ReadSlice('\n')
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("read quarantine: %w", err)
		}
		if err := yield(bad); err != nil {
			return err
		}
	}
}

// parseBad reads the members before the content.
func parseBad(head []byte) (bad BadLine, err error) {
	content := -1
	for _, name := range []string{`,"text":"`, `,"base64":"`} {
		// Quotes inside the members before it are escaped, so this is the member.
		if at := bytes.Index(head, []byte(name)); at >= 0 && (content < 0 || at < content) {
			content = at
		}
	}
	if content < 0 || json.Unmarshal(append(bytes.Clone(head[:content]), '}'), &bad) != nil {
		return bad, errors.New("read quarantine: a line is none that flue wrote")
	}
	return bad, nil
}
