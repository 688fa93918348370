package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxWindow is how far back the data of a zstd body may refer: what `zstd
// --ultra -22` needs, and the memory that a reader takes at most.
const maxWindow = 128 << 20

// isZstd tells the magic number of a zstd frame, and of the skippable frame that
// may stand before it (RFC 8878, section 3.1).
func isZstd(head []byte) bool {
	return bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18})
}

// Compressed reports whether a body that begins with head, its first 4 bytes, is
// compressed in a way that the spool reads.
func Compressed(head []byte) bool { return isGzip(head) || isZstd(head) }

// unzstds returns a decoder of r without goroutines. The caller closes it.
func (p *pools) unzstds(r io.Reader) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
}

// unzstd returns the decoded bytes of under, and closes that with itself.
func (p *pools) unzstd(under io.ReadCloser) (io.ReadCloser, error) {
	z, err := p.unzstds(under)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read zstd: %w", err), under.Close())
	}
	return &zstdReader{z: z, under: under}, nil
}

type zstdReader struct {
	z     *zstd.Decoder
	under io.Closer
}

// Read implements io.Reader.
func (r *zstdReader) Read(p []byte) (int, error) { return r.z.Read(p) }

// Close closes what is below.
func (r *zstdReader) Close() error {
	r.z.Close()
	return r.under.Close()
}

// unzstdError says what an error of the decoder means that is not one of the
// reader below it. Most of the decoder's errors have no names.
func unzstdError(err error) error {
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return &ContentError{Fault: Bomb, Err: err}
	}
	return &ContentError{Fault: CorruptZstd, Err: err}
}
