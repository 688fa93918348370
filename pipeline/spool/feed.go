package spool

import "io"

// feed hands the bytes as sent from the goroutine that reads the body to the
// one that walks the lines, in buffers that change owner. It outlives a broken
// body: the reading side just waits for more.
type feed struct {
	ch      chan []byte // buffers with headerLen bytes before the content
	recycle func([]byte)

	// The reading side's own.
	cur  []byte // buffer that is being read
	rest []byte // what is left of it

	broken error // why ch was closed before the end; set before the close
}

// Read implements io.Reader for the reading side.
func (f *feed) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		if f.cur != nil {
			f.recycle(f.cur)
			f.cur = nil
		}
		b, ok := <-f.ch
		if !ok {
			if f.broken != nil {
				return 0, f.broken
			}
			return 0, io.EOF
		}
		f.cur, f.rest = b, b[headerLen:]
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// drop recycles what is left in the feed; the writing side has closed it.
func (f *feed) drop() {
	if f.cur != nil {
		f.recycle(f.cur)
		f.cur, f.rest = nil, nil
	}
	for b := range f.ch {
		f.recycle(b)
	}
}
