package pipeline

import (
	"io"

	"github.com/flue-fhir/flue/pipeline/spool"
)

// watchedPart tells how much of a part its sink has read.
type watchedPart struct {
	*spool.View
	x *execution
}

// Open implements sinks.Part.
func (p watchedPart) Open() (io.ReadCloser, error) {
	r, err := p.View.Open()
	if err != nil {
		return nil, err
	}
	return &watchedReader{ReadCloser: r, part: p}, nil
}

// Raw implements sinks.Part. What is copied as it was sent counts as soon as it
// is opened.
func (p watchedPart) Raw() (open func() (io.ReadCloser, error), encoding string, ok bool) {
	raw, encoding, ok := p.View.Raw()
	if !ok {
		return nil, "", false
	}
	return func() (io.ReadCloser, error) {
		r, err := raw()
		if err == nil {
			p.count(p.Bytes())
		}
		return r, err
	}, encoding, true
}

func (p watchedPart) count(n int64) {
	p.x.obs.count(func(total *Progress) { total.Converted += n })
}

// watchedReader counts in steps, so that small reads cost nothing.
type watchedReader struct {
	io.ReadCloser
	part watchedPart
	read int64 // not counted yet
}

const watchStep = 1 << 20

// Read implements io.Reader.
func (r *watchedReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	if r.read += int64(n); r.read >= watchStep || err != nil {
		r.part.count(r.read)
		r.read = 0
	}
	return n, err
}
