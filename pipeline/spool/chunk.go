package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A part's file is a row of chunks, each with a checksum of its own, so that
// after a crash the valid beginning can be told from a torn tail:
//
//	data…  the body: raw (gzip as sent) or packed (identity, as an S2 block)
//	index… 32 bytes for each line that is not blank
//	trees  the columns of each type
//	footer what Info says, and where the rest lies
//
// The last 8 bytes of a landed part are the footer's length and a mark.
//
// A chunk is a header of 16 bytes and what is stored: kind, "flu", the stored
// length, the plain length (both little-endian uint32), and the CRC-32C of the
// 12 bytes before and of what is stored.
type chunkKind byte

const (
	rawChunk    chunkKind = 'D'
	packedChunk chunkKind = 'S'
	indexChunk  chunkKind = 'I'
	treesChunk  chunkKind = 'T'
	footerChunk chunkKind = 'F'
)

const (
	headerLen = 16
	// maxData is the most bytes as sent that a data chunk holds, and that are
	// lost of a body when a process dies. Of gzip it is a rawShare of that.
	maxData  = 1 << 20
	rawShare = 4
	maxChunk = 64 << 20 // of any chunk; more is no chunk
)

var errChunk = errors.New("damaged chunk")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (k chunkKind) data() bool { return k == rawChunk || k == packedChunk }

type chunkHeader struct {
	kind   chunkKind
	stored int // bytes behind the header
	plain  int // bytes that they stand for
	sum    uint32
	first  [12]byte // what the sum covers of the header
}

// putHeader fills the first headerLen bytes of chunk, which holds what is
// stored behind them.
func putHeader(chunk []byte, kind chunkKind, plain int) {
	stored := chunk[headerLen:]
	chunk[0] = byte(kind)
	copy(chunk[1:4], "flu")
	binary.LittleEndian.PutUint32(chunk[4:], uint32(len(stored)))
	binary.LittleEndian.PutUint32(chunk[8:], uint32(plain))
	sum := crc32.Update(crc32.Checksum(chunk[:12], castagnoli), castagnoli, stored)
	binary.LittleEndian.PutUint32(chunk[12:], sum)
}

// readHeader reads the header of the chunk at an offset of a file that is size
// bytes long. errChunk means that no whole chunk is there.
func readHeader(r io.ReaderAt, at, size int64) (chunkHeader, error) {
	var h chunkHeader
	if size-at < headerLen {
		return h, errChunk
	}
	var b [headerLen]byte
	if _, err := r.ReadAt(b[:], at); err != nil {
		return h, fmt.Errorf("read chunk: %w", err)
	}
	stored, plain := binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])
	if string(b[1:4]) != "flu" || stored > maxChunk || plain > maxChunk || int64(stored) > size-at-headerLen {
		return h, errChunk
	}
	h = chunkHeader{kind: chunkKind(b[0]), stored: int(stored), plain: int(plain), sum: binary.LittleEndian.Uint32(b[12:])}
	copy(h.first[:], b[:12])
	switch h.kind {
	case rawChunk, packedChunk:
		if plain > maxData || plain == 0 || stored > 2*maxData || h.kind == rawChunk && plain != stored {
			return h, errChunk
		}
	case indexChunk, treesChunk, footerChunk:
		if plain != stored {
			return h, errChunk
		}
	default:
		return h, errChunk
	}
	return h, nil
}

// readChunk reads what is stored in the chunk at an offset into buf, which
// grows when it is too small, and checks the sum.
func readChunk(r io.ReaderAt, at int64, h chunkHeader, buf []byte) ([]byte, error) {
	if cap(buf) < h.stored {
		buf = make([]byte, h.stored)
	}
	buf = buf[:h.stored]
	if _, err := r.ReadAt(buf, at+headerLen); err != nil {
		if err == io.EOF {
			err = errChunk
		}
		return nil, fmt.Errorf("read chunk: %w", err)
	}
	if crc32.Update(crc32.Checksum(h.first[:], castagnoli), castagnoli, buf) != h.sum {
		return nil, errChunk
	}
	return buf, nil
}

// prefix is the data that a partial file still holds.
type prefix struct {
	kind chunkKind // of all its chunks; 0 when there is none
	size int64     // bytes of the file
	sent int64     // bytes as sent

	lastSize, lastSent int64 // without its last chunk
}

// less is the prefix without its last chunk.
func (p prefix) less() prefix {
	if p.lastSize == 0 {
		return prefix{}
	}
	return prefix{kind: p.kind, size: p.lastSize, sent: p.lastSent}
}

// scanPrefix finds the whole data chunks at the beginning of a file. The
// checksum of the last one only is checked: it is the one that a dying process
// may have torn, and whoever reads the chunks checks all of them.
func scanPrefix(r io.ReaderAt, size int64) (prefix, error) {
	var p prefix
	var last chunkHeader
	for {
		h, err := readHeader(r, p.size, size)
		if errors.Is(err, errChunk) || err == nil && (!h.kind.data() || p.kind != 0 && h.kind != p.kind) {
			break
		}
		if err != nil {
			return prefix{}, err
		}
		last = h
		p.kind = h.kind
		p.lastSize, p.lastSent = p.size, p.sent
		p.size += headerLen + int64(h.stored)
		p.sent += int64(h.plain)
	}
	if p.size == 0 {
		return p, nil
	}
	if _, err := readChunk(r, p.lastSize, last, nil); err != nil {
		if errors.Is(err, errChunk) {
			return p.less(), nil
		}
		return prefix{}, err
	}
	return p, nil
}
