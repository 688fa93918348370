package spool

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Part is a landed body. It may be used by several goroutines at once. It holds
// no file open.
type Part struct {
	spool *Spool
	place extent
	foot  *footer
	lent  *Original // where the body is that was borrowed; nil for one that landed
}

// Part returns a landed part, nil without error when the key has none.
func (r *Run) Part(key string) (*Part, error) {
	place, ok, err := r.find(fileName(key))
	if err != nil || !ok {
		return nil, err
	}
	f, err := place.open()
	if err != nil {
		return nil, fmt.Errorf("open part: %w", err)
	}
	defer f.Close()
	foot, err := readFooter(f.SectionReader)
	if err == nil && foot.Info.Key != readable(key) {
		err = errChunk
	}
	if errors.Is(err, errChunk) {
		return nil, &DamagedError{Key: key, Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("open part: %w", err)
	}
	return &Part{spool: r.spool, place: place, foot: foot}, nil
}

// find returns where the part with a file name lies.
func (r *Run) find(name string) (e extent, ok bool, err error) {
	path := r.path(name, partSuffix)
	fi, err := os.Lstat(path)
	switch {
	case err == nil:
		return extent{path: path, size: fi.Size()}, true, nil
	case !os.IsNotExist(err):
		return extent{}, false, fmt.Errorf("find part: %w", err)
	}
	return r.shelves.find(name)
}

// readFooter reads the footer of a landed part.
func readFooter(f *io.SectionReader) (*footer, error) {
	size := f.Size()
	if size < markLen+headerLen {
		return nil, errChunk
	}
	var end [markLen]byte
	if _, err := f.ReadAt(end[:], size-markLen); err != nil {
		return nil, err
	}
	start := size - markLen - int64(binary.LittleEndian.Uint32(end[:]))
	if string(end[4:]) != mark || start < 0 {
		return nil, errChunk
	}
	text, err := readKind(f, footerChunk, start, size-markLen)
	if err != nil {
		return nil, err
	}
	foot := new(footer)
	if json.Unmarshal(text, foot) != nil || foot.Version != footerVersion ||
		foot.IndexAt < 0 || foot.IndexEnd < foot.IndexAt || foot.TreesAt < foot.IndexEnd || start < foot.TreesAt {
		return nil, errChunk
	}
	return foot, nil
}

// readKind reads the chunk of a kind at an offset.
func readKind(f io.ReaderAt, kind chunkKind, at, end int64) ([]byte, error) {
	h, err := readHeader(f, at, end)
	if err != nil {
		return nil, err
	}
	if h.kind != kind {
		return nil, errChunk
	}
	return readChunk(f, at, h, nil)
}

// Key is the key under which the part landed.
func (p *Part) Key() string { return p.foot.Info.Key }

// Info returns what is known about the part; the caller changes nothing in it.
func (p *Part) Info() *Info { return &p.foot.Info }

// Open returns the decoded bytes; the caller closes it. What is read is checked
// against the sums of when it was written; of a borrowed body, the reader ends
// with a *ChangedError when the file is not what it was.
func (p *Part) Open() (io.ReadCloser, error) {
	sent, err := p.openSent()
	if err != nil {
		return nil, err
	}
	switch info := &p.foot.Info; {
	case info.Layers == 0:
		return sent, nil
	case info.Encoding == "zstd":
		return p.spool.pools.unzstd(sent)
	default:
		z, err := newGunzipReader(&p.spool.pools, sent, info.Layers)
		if err != nil {
			return nil, p.damaged(err)
		}
		return z, nil
	}
}

// openSent returns the bytes as sent.
func (p *Part) openSent() (io.ReadCloser, error) {
	if p.foot.Original != nil {
		if p.lent == nil {
			return nil, errLent
		}
		return p.lent.open(nil)
	}
	f, err := p.place.open()
	if err != nil {
		return nil, fmt.Errorf("open part: %w", err)
	}
	return &sentReader{file: f, end: p.foot.IndexAt, part: p}, nil
}

// trees returns the columns by type, as fhirjson.Tree.MarshalText wrote them.
func (p *Part) trees() (map[string]string, error) {
	f, err := p.place.open()
	if err != nil {
		return nil, fmt.Errorf("open part: %w", err)
	}
	defer f.Close()
	text, err := readKind(f, treesChunk, p.foot.TreesAt, maxChunk+p.foot.TreesAt)
	if err != nil {
		return nil, p.damaged(err)
	}
	var trees map[string]string
	if err := json.Unmarshal(text, &trees); err != nil {
		return nil, p.damaged(errChunk)
	}
	return trees, nil
}
