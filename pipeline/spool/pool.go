package spool

import (
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// pools holds what landings and readers use again: fifty thousand small bodies
// must not cost fifty thousand encoders.
type pools struct {
	buffers  sync.Pool // *[]byte of headerLen+maxData bytes
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
