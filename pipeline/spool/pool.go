package spool

import (
	"bufio"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/flue-fhir/flue/internal/fhirjson"
)

// pools holds what landings and readers use again: fifty thousand small bodies
// must not cost fifty thousand encoders.
type pools struct {
	buffers  sync.Pool // *[]byte of headerLen+maxData bytes
	readers  sync.Pool // *fhirjson.Reader, all of one spool's limit
	peeks    sync.Pool // *bufio.Reader of peekSize
	gunzips  sync.Pool // *gzip.Reader
	unpacks  sync.Pool // *zstd.Decoder
	packOnce sync.Once
	pack     *zstd.Encoder
	packErr  error
}

// buffer returns headerLen+maxData bytes.
func (p *pools) buffer() []byte {
	if b, ok := p.buffers.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, headerLen+maxData)
}

// putBuffer takes back what buffer returned; a slice that has grown since is
// left to the collector.
func (p *pools) putBuffer(b []byte) {
	if cap(b) != headerLen+maxData {
		return
	}
	b = b[:headerLen+maxData]
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

// packer compresses identity bodies. One encoder serves all goroutines.
func (p *pools) packer() (*zstd.Encoder, error) {
	p.packOnce.Do(func() {
		p.pack, p.packErr = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithWindowSize(maxData), zstd.WithEncoderCRC(false)) // chunks have their own
	})
	if p.packErr != nil {
		return nil, fmt.Errorf("make encoder: %w", p.packErr)
	}
	return p.pack, nil
}

func (p *pools) unpacker() (*zstd.Decoder, error) {
	if d, ok := p.unpacks.Get().(*zstd.Decoder); ok {
		return d, nil
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*maxData))
	if err != nil {
		return nil, fmt.Errorf("make decoder: %w", err)
	}
	return d, nil
}

func (p *pools) gunzip(r io.Reader) (*gzip.Reader, error) {
	if z, ok := p.gunzips.Get().(*gzip.Reader); ok {
		return z, z.Reset(r)
	}
	return gzip.NewReader(r)
}
