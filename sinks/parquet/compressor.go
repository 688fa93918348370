package parquet

import (
	"fmt"

	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Names of the compressions.
const (
	Zstd   = "zstd"
	Snappy = "snappy"
	None   = "none"
)

// compressor compresses pages for one goroutine. The codecs of the arrow module
// are registered globally and make an encoder for every page; this one keeps
// its own.
type compressor struct {
	codec   compress.Compression
	encoder *zstd.Encoder
}

// zstdWindow is how many bytes back a match may lie.
const zstdWindow = 2 << 20

// newCompressor returns a compressor by name; "" is zstd. Level is that of zstd
// from 1 to 22, 0 for 3: less finds little of what repeats further on, more takes
// longer and does little.
func newCompressor(name string, level int) (*compressor, error) {
	switch name {
	case None:
		return &compressor{codec: compress.Codecs.Uncompressed}, nil
	case Snappy:
		return &compressor{codec: compress.Codecs.Snappy}, nil
	case Zstd, "":
	default:
		return nil, fmt.Errorf("unknown compression %q", name)
	}
	if level == 0 {
		level = 3
	}
	encoder, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
		zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(zstdWindow),
		zstd.WithEncoderCRC(false), // the page header has one
		// Ids and timestamps hold few matches and a small alphabet.
		zstd.WithAllLitEntropyCompression(true),
		zstd.WithZeroFrames(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	return &compressor{codec: compress.Codecs.Zstd, encoder: encoder}, nil
}

// append appends the compressed page to dst.
func (c *compressor) append(dst, page []byte) []byte {
	switch c.codec {
	case compress.Codecs.Zstd:
		return c.encoder.EncodeAll(page, dst)
	case compress.Codecs.Snappy:
		most := s2.MaxEncodedLen(len(page))
		at := len(dst)
		dst = append(dst, make([]byte, most)...)
		return dst[:at+len(s2.EncodeSnappy(dst[at:at+most], page))]
	}
	return append(dst, page...)
}
