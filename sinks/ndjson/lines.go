package ndjson

import (
	"bufio"
	"bytes"
	"io"
	"iter"
)

// lineCopier finds the published lines of a part and copies them, of any
// length, without holding one in memory.
type lineCopier struct {
	r      *bufio.Reader
	number int64 // of the line that is next
	skip   int64 // of the next line to leave out; -1 when there is none left
	next   func() (int64, bool)
	stop   func()
	piece  []byte // of the line that find found, from its first byte that is not white space
	more   bool   // the line goes on behind piece
}

const space = " \t\r\n"

func newLineCopier(r *bufio.Reader, skips iter.Seq[int64]) *lineCopier {
	c := &lineCopier{r: r, skip: -1, next: func() (int64, bool) { return 0, false }, stop: func() {}}
	if skips != nil {
		c.next, c.stop = iter.Pull(skips)
	}
	c.advance()
	return c
}

func (c *lineCopier) close() { c.stop() }

func (c *lineCopier) advance() {
	if n, ok := c.next(); ok {
		c.skip = n
	} else {
		c.skip = -1
	}
}

// read takes the next piece of a line: up to its line feed, or as much as fits
// the buffer, and then more is true. At the end of the input it is empty.
func (c *lineCopier) read() (piece []byte, more bool, err error) {
	piece, err = c.r.ReadSlice('\n')
	switch err {
	case bufio.ErrBufferFull:
		return piece, true, nil
	case io.EOF:
		return piece, false, nil
	}
	return piece, false, err
}

// find goes to the next line that is published; ok is false at the end.
func (c *lineCopier) find() (ok bool, err error) {
	for {
		piece, more, err := c.read()
		if err != nil || len(piece) == 0 {
			return false, err
		}
		number := c.number
		c.number++
		if number == 0 {
			piece = bytes.TrimPrefix(piece, []byte("\ufeff"))
		}
		for c.skip >= 0 && c.skip < number {
			c.advance()
		}
		if c.skip == number {
			for more {
				if _, more, err = c.read(); err != nil {
					return false, err
				}
			}
			continue
		}
		piece = bytes.TrimLeft(piece, space)
		for len(piece) == 0 && more {
			if piece, more, err = c.read(); err != nil {
				return false, err
			}
			piece = bytes.TrimLeft(piece, space)
		}
		if len(piece) > 0 {
			c.piece, c.more = piece, more
			return true, nil
		}
	}
}

// copyTo writes the line that find found and a line feed.
func (c *lineCopier) copyTo(w io.Writer) error {
	piece, more := c.piece, c.more
	for more { // rare: the line is longer than the buffer
		body := bytes.TrimRight(piece, space)
		held := bytes.Clone(piece[len(body):]) // may be inside the line
		if _, err := w.Write(body); err != nil {
			return err
		}
		var err error
		if piece, more, err = c.read(); err != nil {
			return err
		}
		piece = append(held, piece...)
	}
	body := bytes.TrimRight(piece, space)
	if len(body) < len(piece) && piece[len(body)] == '\n' {
		_, err := w.Write(piece[:len(body)+1]) // the usual case: one write
		return err
	}
	if _, err := w.Write(body); err != nil {
		return err
	}
	_, err := w.Write([]byte{'\n'})
	return err
}
