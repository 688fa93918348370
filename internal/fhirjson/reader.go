package fhirjson

import (
	"bytes"
	"fmt"
	"io"
)

// DefaultMaxLine is the limit of a Reader that is given none.
const DefaultMaxLine = 64 << 20

const (
	firstBuffer = 256 << 10
	// lineSlack is what may surround a line without counting against the limit:
	// a byte order mark and a carriage return.
	lineSlack = 4
	maxIdle   = 100 // reads without bytes or error before a reader counts as stuck
)

// Reader reads lines of NDJSON. It tolerates what servers send (F38): a byte
// order mark, CRLF, blank lines, spaces around a line and a missing last line
// end. Its buffer grows to the longest line seen and never past the limit and
// its line end. A Reader belongs to one goroutine.
type Reader struct {
	r   io.Reader
	max int64

	buf        []byte
	start, end int   // of the bytes in buf that were read and not yet returned
	scanned    int   // up to where there is no line end in them
	at         int64 // position of buf[start] in the input
	eof        bool
	failed     error // came together with bytes

	skipping bool // the line at hand is over the limit: its rest is dropped
	begins   int64

	number, lines  int64
	offset, length int64
}

// NewReader returns a Reader of r. A line longer than maxLine bytes is not
// kept; 0 means 64 MiB.
func NewReader(r io.Reader, maxLine int64) *Reader {
	if maxLine <= 0 {
		maxLine = DefaultMaxLine
	}
	return &Reader{r: r, max: maxLine, number: -1}
}

// Reset makes the Reader one of another input, with the same limit. It keeps the
// buffer, unless that grew for a long line.
func (r *Reader) Reset(in io.Reader) {
	buf := r.buf
	if len(buf) > firstBuffer {
		buf = nil
	}
	*r = Reader{r: in, max: r.max, number: -1, buf: buf}
}

// Next returns the next line that is not blank, without its line end and the
// spaces around it. The bytes are valid until the next call. At the end of the
// input the error is io.EOF. A line over the limit gives a *TooLongError, and
// the call after it goes on with the line behind it. Any other error is the
// underlying reader's; what was read of a line is kept, so that Next may be
// called again when the underlying reader can go on.
func (r *Reader) Next() ([]byte, error) {
	for {
		if i := bytes.IndexByte(r.buf[r.scanned:r.end], '\n'); i >= 0 {
			line := r.buf[r.start : r.scanned+i]
			begins := r.at
			r.consume(r.scanned + i + 1 - r.start)
			if line, err := r.finish(line, begins); line != nil || err != nil {
				return line, err
			}
			continue
		}
		r.scanned = r.end
		if r.skipping || int64(r.end-r.start) > r.max+lineSlack {
			r.drop()
		}
		if r.eof {
			line, begins := r.buf[r.start:r.end], r.at
			if len(line) == 0 && !r.skipping {
				return nil, io.EOF
			}
			r.consume(len(line))
			if line, err := r.finish(line, begins); line != nil || err != nil {
				return line, err
			}
			continue
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// consume moves past the first n bytes that are left.
func (r *Reader) consume(n int) {
	r.start += n
	r.scanned = r.start
	r.at += int64(n)
}

// drop forgets what there is of a line over the limit.
func (r *Reader) drop() {
	if !r.skipping {
		r.skipping, r.begins = true, r.at
	}
	r.consume(r.end - r.start)
}

// finish counts a line that ended and returns it, or nil when it is blank.
func (r *Reader) finish(line []byte, begins int64) ([]byte, error) {
	number := r.lines
	r.lines++
	if r.skipping {
		r.skipping = false
		r.number, r.offset, r.length = number, r.begins, r.at-r.begins
		return nil, &TooLongError{Limit: r.max}
	}
	if number == 0 && bytes.HasPrefix(line, []byte("\xef\xbb\xbf")) {
		line = line[3:]
		begins += 3
	}
	size := len(line)
	for size > 0 && line[size-1] <= ' ' && isSpace(line[size-1]) {
		size--
	}
	lead := 0
	for lead < size && line[lead] <= ' ' && isSpace(line[lead]) {
		lead++
	}
	if lead == size {
		return nil, nil
	}
	r.number, r.offset, r.length = number, begins+int64(lead), int64(size-lead)
	if r.length > r.max {
		return nil, &TooLongError{Limit: r.max}
	}
	return line[lead:size:size], nil
}

// isSpace is for what may stand around a line.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

// fill reads more bytes into the buffer.
func (r *Reader) fill() error {
	if r.start > 0 && (r.start == r.end || len(r.buf)-r.end < len(r.buf)/4) {
		copy(r.buf, r.buf[r.start:r.end])
		r.end -= r.start
		r.scanned -= r.start
		r.start = 0
	}
	if r.end == len(r.buf) {
		size := min(max(2*int64(len(r.buf)), firstBuffer), max(r.max+lineSlack+1, firstBuffer))
		grown := make([]byte, size)
		copy(grown, r.buf[:r.end])
		r.buf = grown
	}
	if err := r.failed; err != nil {
		r.failed = nil
		return err
	}
	for range maxIdle {
		n, err := r.r.Read(r.buf[r.end:])
		r.end += n
		switch {
		case err == io.EOF:
			r.eof = true
			return nil
		case n > 0:
			r.failed = err
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

// Number is the number of the line that Next returned last, or of the one that
// was too long, from 0; blank lines count. It is -1 before the first.
func (r *Reader) Number() int64 { return r.number }

// Lines is how many lines were read so far, blank ones too.
func (r *Reader) Lines() int64 { return r.lines }

// Offset is where the line that Next returned last begins: the position of its
// first byte in the input, from 0.
func (r *Reader) Offset() int64 { return r.offset }

// Length is how many bytes the line at Offset has; of a line that was too long
// it counts the line end and the spaces around it.
func (r *Reader) Length() int64 { return r.length }

// TooLongError is a line over the Reader's limit (F39).
type TooLongError struct {
	Limit int64 // bytes
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("line is longer than %d bytes", e.Limit)
}

// Hint tells what to do about it.
func (e *TooLongError) Hint() string {
	return "raise the job's limit for a line if the server really has resources of that size"
}
