package spool

import (
	"bufio"
	"errors"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
)

// chunkFile is a file or a stretch of one that chunks are read from.
type chunkFile interface {
	io.ReaderAt
	io.Closer
}

// sentReader reads the bytes as sent from the data chunks of a file.
type sentReader struct {
	file   chunkFile
	at     int64
	end    int64 // of the data chunks
	stored []byte
	plain  []byte
	rest   []byte // of the chunk that is being read
	part   *Part  // for the errors of a landed part; nil while landing
}

// next is the content of the next chunk, io.EOF at the end. It is valid until
// the next call.
func (r *sentReader) next() ([]byte, error) {
	if r.file == nil {
		return nil, os.ErrClosed
	}
	b, err := r.chunk()
	if err != nil && r.part != nil {
		err = r.part.damaged(err)
	}
	return b, err
}

func (r *sentReader) chunk() ([]byte, error) {
	if r.at >= r.end {
		return nil, io.EOF
	}
	h, err := readHeader(r.file, r.at, r.end)
	if err != nil {
		return nil, err
	}
	if !h.kind.data() {
		return nil, errChunk
	}
	r.stored, err = readChunk(r.file, r.at, h, r.stored)
	if err != nil {
		return nil, err
	}
	r.at += headerLen + int64(h.stored)
	if h.kind == rawChunk {
		return r.stored, nil
	}
	if n, err := s2.DecodedLen(r.stored); err != nil || n != h.plain {
		return nil, errChunk
	}
	if r.plain, err = s2.Decode(r.plain[:cap(r.plain)], r.stored); err != nil {
		return nil, errChunk
	}
	return r.plain, nil
}

// Read implements io.Reader.
func (r *sentReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		var err error
		if r.rest, err = r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// WriteTo implements io.WriterTo.
func (r *sentReader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if len(r.rest) > 0 {
			n, err := w.Write(r.rest)
			total += int64(n)
			if err != nil {
				return total, err
			}
			r.rest = nil
		}
		var err error
		if r.rest, err = r.next(); err != nil {
			if err == io.EOF {
				return total, nil
			}
			return total, err
		}
	}
}

// Close closes the file.
func (r *sentReader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file, r.rest = nil, nil
	return err
}

// gunzipReader unpacks gzip, in one or two layers.
type gunzipReader struct {
	pools *pools
	under io.Closer
	zs    []*gzip.Reader
	top   io.Reader
}

func newGunzipReader(p *pools, r io.ReadCloser, layers int) (*gunzipReader, error) {
	g := &gunzipReader{pools: p, under: r, top: bufio.NewReaderSize(r, 64<<10)}
	for range layers {
		z, err := p.gunzip(g.top)
		if err != nil {
			return nil, errors.Join(err, g.Close())
		}
		g.zs = append(g.zs, z)
		g.top = z
	}
	return g, nil
}

// Read implements io.Reader.
func (g *gunzipReader) Read(p []byte) (int, error) { return g.top.Read(p) }

// Close closes what is below.
func (g *gunzipReader) Close() error {
	for _, z := range g.zs {
		g.pools.gunzips.Put(z)
	}
	g.zs, g.top = nil, closedReader{}
	return g.under.Close()
}

type closedReader struct{}

func (closedReader) Read([]byte) (int, error) { return 0, os.ErrClosed }
