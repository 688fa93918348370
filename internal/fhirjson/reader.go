package fhirjson

import "io"

// Reader reads lines of NDJSON. It tolerates what servers send (F38): a byte
// order mark, CRLF, blank lines, spaces around a line and a missing last line
// end. Its buffer grows to the longest line seen and never past the limit.
type Reader struct{}

// NewReader returns a Reader of r. A line longer than maxLine bytes is not
// kept; 0 means 128 MiB.
func NewReader(r io.Reader, maxLine int64) *Reader { return nil }

// Next returns the next line that is not blank, without its line end and the
// spaces around it. The bytes are valid until the next call. At the end of the
// input the error is io.EOF. A line over the limit gives a *TooLongError, and
// the call after it goes on with the line behind it. Any other error is the
// underlying reader's; what was read of a line is kept, so that Next may be
// called again when the underlying reader can go on.
func (r *Reader) Next() ([]byte, error) { return nil, io.EOF }

// Number is the number of the line that Next returned last, from 0; blank lines
// count.
func (r *Reader) Number() int64 { return 0 }

// Offset is where the line that Next returned last begins: the position of its
// first byte in the input, from 0.
func (r *Reader) Offset() int64 { return 0 }

// TooLongError is a line over the Reader's limit (F39).
type TooLongError struct {
	Limit int64 // bytes
}

func (e *TooLongError) Error() string { return "line is too long" }
