package spool

import (
	"bufio"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/flue-fhir/flue/internal/fhirjson"
)

// pools holds what landings and readers use again: fifty thousand small bodies
// must not cost fifty thousand buffers.
type pools struct {
	buffers sync.Pool // *[]byte of bufferLen bytes
	readers sync.Pool // *fhirjson.Reader, all of one spool's limit
	peeks   sync.Pool // *bufio.Reader of peekSize
	gunzips sync.Pool // *gzip.Reader
}

// bufferLen is room for a chunk: packed, it may be longer than what it holds.
const bufferLen = headerLen + maxData + maxData/1024

// buffer returns bufferLen bytes.
func (p *pools) buffer() []byte {
	if b, ok := p.buffers.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, bufferLen)
}

// putBuffer takes back what buffer returned; a slice that has grown since is
// left to the collector.
func (p *pools) putBuffer(b []byte) {
	if cap(b) != bufferLen {
		return
	}
	b = b[:bufferLen]
	p.buffers.Put(&b)
}

// lines returns a reader of lines; the caller gives it back with putLines.
func (p *pools) lines(r io.Reader, maxLine int64) *fhirjson.Reader {
	if l, ok := p.readers.Get().(*fhirjson.Reader); ok {
		l.Reset(r)
		return l
	}
	return fhirjson.NewReader(r, maxLine)
}

func (p *pools) putLines(l *fhirjson.Reader) {
	l.Reset(nil)
	p.readers.Put(l)
}

// peekSize is enough to tell what a body is.
const peekSize = 32 << 10

func (p *pools) peek(r io.Reader) *bufio.Reader {
	if b, ok := p.peeks.Get().(*bufio.Reader); ok {
		b.Reset(r)
		return b
	}
	return bufio.NewReaderSize(r, peekSize)
}

func (p *pools) putPeek(b *bufio.Reader) {
	b.Reset(nil)
	p.peeks.Put(b)
}

func (p *pools) gunzip(r io.Reader) (*gzip.Reader, error) {
	if z, ok := p.gunzips.Get().(*gzip.Reader); ok {
		return z, z.Reset(r)
	}
	return gzip.NewReader(r)
}
