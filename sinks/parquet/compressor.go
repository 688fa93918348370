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
	codec compress.Compression
	near  *zstd.Encoder // for most pages
	far   *zstd.Encoder // for those in which something repeats far behind
}

// newCompressor returns a compressor by name; "" is zstd. Level is that of zstd
// from 1 to 22. 0 is 3 where that finds more than 1 does, and 1 elsewhere: more
// takes longer and does little.
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
	c := &compressor{codec: compress.Codecs.Zstd}
	var err error
	if level > 0 {
		c.near, err = newZstd(zstd.EncoderLevelFromZstd(level), farWindow)
		c.far = c.near
		return c, err
	}
	if c.near, err = newZstd(zstd.SpeedFastest, nearWindow); err != nil {
		return nil, err
	}
	c.far, err = newZstd(zstd.SpeedDefault, farWindow)
	return c, err
}

// How many bytes back a match may lie. An encoder has a buffer of twice that.
const (
	nearWindow = 512 << 10
	farWindow  = 2 << 20
)

func newZstd(level zstd.EncoderLevel, window int) (*zstd.Encoder, error) {
	encoder, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(level),
		zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(window),
		zstd.WithEncoderCRC(false), // the page header has one
		// Ids and timestamps hold few matches and a small alphabet.
		zstd.WithAllLitEntropyCompression(true),
		zstd.WithZeroFrames(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	return encoder, nil
}

// append appends the compressed page to dst.
func (c *compressor) append(dst, page []byte, far bool) []byte {
	switch {
	case c.codec == compress.Codecs.Snappy:
		most := s2.MaxEncodedLen(len(page))
		at := len(dst)
		dst = append(dst, make([]byte, most)...)
		return dst[:at+len(s2.EncodeSnappy(dst[at:at+most], page))]
	case c.codec != compress.Codecs.Zstd:
		return append(dst, page...)
	case far:
		return c.far.EncodeAll(page, dst)
	}
	return c.near.EncodeAll(page, dst)
}

// tails finds out whether the values of a column repeat far behind: ids that
// differ in a few digits, texts that begin otherwise. It looks at the ends of
// one value in eight, chosen by what it is, and remembers some.
type tails [1 << 14]uint32

// tailBytes of two values are rarely the same by chance.
const tailBytes = 12

func (t *tails) repeat(values plainCursor) bool {
	clear(t[:])
	looked, found := 0, 0
	for v := values.next(); v != nil; v = values.next() {
		// Without a seed: the same input shall give the same bytes.
		h := hash(v[max(0, len(v)-tailBytes):], 0)
		if h&7 != 0 {
			continue
		}
		looked++
		if slot := &t[h>>18]; *slot == h {
			found++
		} else {
			*slot = h
		}
	}
	return found*20 > looked
}
