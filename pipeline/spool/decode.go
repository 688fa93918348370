package spool

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	defaultMaxRatio = 400
	defaultMaxBody  = 1 << 40
	freeRatio       = 64 << 20 // decoded bytes for which no ratio is demanded
	maxLayers       = 2        // of gzip; zstd has one
)

// decoder turns bytes as sent into decoded bytes: it unpacks gzip, also doubled
// (F36), and zstd, refuses markup (F35), bounds what comes out, and hashes it.
// Errors of the content are *ContentErrors.
type decoder struct {
	pools    *pools
	raw      countingReader
	top      io.Reader
	peek     *bufio.Reader // of the first bytes
	zs       []*gzip.Reader
	zstd     *zstd.Decoder
	encoding string    // "", "gzip" or "zstd"
	sum      hash.Hash // nil when no sum is wanted
	bytes    int64     // decoded so far
	last     byte      // the last decoded byte
	maxBytes int64
	maxRatio int64
	begun    bool
}

func (s *Spool) newDecoder(r io.Reader, sum bool) *decoder {
	d := &decoder{pools: &s.pools, raw: countingReader{r: r}, maxBytes: s.MaxBody, maxRatio: s.MaxRatio}
	if sum {
		d.sum = sha256.New()
	}
	if d.maxBytes <= 0 {
		d.maxBytes = defaultMaxBody
	}
	if d.maxRatio <= 0 {
		d.maxRatio = defaultMaxRatio
	}
	return d
}

// layers is how many layers of compression there are.
func (d *decoder) layers() int {
	if d.zstd != nil {
		return 1
	}
	return len(d.zs)
}

// Read implements io.Reader.
func (d *decoder) Read(p []byte) (int, error) {
	if !d.begun {
		if err := d.begin(); err != nil {
			return 0, d.fault(err)
		}
		d.begun = true
	}
	n, err := d.top.Read(p)
	if n > 0 {
		if d.sum != nil {
			_, _ = d.sum.Write(p[:n]) // never fails
		}
		d.bytes += int64(n)
		d.last = p[n-1]
		if d.bytes > d.maxBytes || d.layers() > 0 && d.bytes > freeRatio && d.bytes/d.maxRatio > d.raw.n {
			return 0, &ContentError{Fault: Bomb}
		}
	}
	if err != nil && err != io.EOF {
		err = d.fault(err)
	}
	return n, err
}

// midway makes the decoder take the bytes as they are: the beginning of a body,
// which tells its encoding, lies before them.
func (d *decoder) midway() {
	d.top, d.begun = &d.raw, true
}

// begin looks at the first bytes: it opens as many layers of gzip as there are,
// or one of zstd, and refuses markup.
func (d *decoder) begin() error {
	d.peek = d.pools.peek(&d.raw)
	peek := d.peek
	for {
		head, err := peek.Peek(4)
		if err != nil && err != io.EOF {
			return err
		}
		if isZstd(head) && len(d.zs) == 0 {
			if d.zstd, err = d.pools.unzstds(peek); err != nil {
				return err
			}
			d.encoding = "zstd"
			peek = bufio.NewReaderSize(d.zstd, 512)
			break
		}
		if !isGzip(head) {
			break
		}
		d.encoding = "gzip"
		if len(d.zs) == maxLayers {
			return &ContentError{Fault: NestedGzip}
		}
		z, err := d.pools.gunzip(peek)
		if err != nil {
			return err
		}
		d.zs = append(d.zs, z)
		peek = bufio.NewReaderSize(z, 512) // large reads pass it by
	}
	d.top = peek
	head, err := peek.Peek(512)
	if err != nil && err != io.EOF {
		return err
	}
	if bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n"), []byte("<")) {
		return &ContentError{Fault: Markup}
	}
	return nil
}

// fault makes the errors of gzip and zstd *ContentErrors.
func (d *decoder) fault(err error) error {
	if d.zstd != nil && d.raw.err == nil {
		return unzstdError(err)
	}
	var corrupt flate.CorruptInputError
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.As(err, &corrupt) {
		return &ContentError{Fault: CorruptGzip, Err: err}
	}
	return err
}

func (d *decoder) close() {
	for _, z := range d.zs {
		d.pools.gunzips.Put(z)
	}
	if d.zstd != nil {
		d.zstd.Close()
	}
	if d.peek != nil {
		d.pools.putPeek(d.peek)
		d.peek = nil
	}
	d.top = closedReader{}
}

func isGzip(head []byte) bool { return len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b }

type countingReader struct {
	r   io.Reader
	n   int64
	err error // the reader's last one, but io.EOF
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}
