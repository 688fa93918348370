package parquet

import (
	"hash/crc32"

	"github.com/apache/arrow/go/v17/parquet/compress"
)

// chunk is the encoded column of a row group.
type chunk struct {
	leaf         int // of the schema
	codec        compress.Compression
	pieces       [][]byte // of segments of the encoder
	size         int64    // of the pieces
	dictAt       int64    // position of the dictionary page within the chunk; -1 without one
	dataAt       int64    // position of the first data page
	dataPiece    int      // the piece that begins with it
	uncompressed int64    // bytes with the headers of pages
	data         int64    // of these, those of the data pages
	entries      int64
	nulls        int64
	dictPages    int32 // data pages by encoding
	plainPages   int32
	min, max     []byte // nil without statistics
}

// reset gives up the chunks of the last row group.
func (e *encoder) reset() {
	for _, segment := range e.segments {
		e.pool.put(segment)
	}
	clear(e.segments)
	clear(e.chunks)
	e.segments, e.chunks = e.segments[:0], e.chunks[:0]
}

// write appends bytes to the chunk, which they stay in until the encoder is
// reset. piece is whether another piece begins with them.
func (e *encoder) write(c *chunk, b []byte, piece bool) {
	c.size += int64(len(b))
	for len(b) > 0 {
		last := len(e.segments) - 1
		if last < 0 || len(e.segments[last]) == segmentSize {
			e.segments = append(e.segments, e.pool.get())
			last++
			piece = true
		}
		s := e.segments[last]
		n := min(len(b), segmentSize-len(s))
		from := len(s)
		if !piece {
			from -= len(c.pieces[len(c.pieces)-1])
			c.pieces = c.pieces[:len(c.pieces)-1]
		}
		s = append(s, b[:n]...)
		e.segments[last] = s
		c.pieces = append(c.pieces, s[from:])
		b, piece = b[n:], false
	}
}

// writePage compresses a page into the chunk.
func (e *encoder) writePage(c *chunk, h pageHeader, page []byte) {
	packed := page
	if c.codec != compress.Codecs.Uncompressed {
		e.packed = e.compressor.append(e.packed[:0], page, h.kind == pageData && h.encoding == encodingPlain && e.far)
		packed = e.packed
	}
	h.uncompressed, h.compressed, h.crc = len(page), len(packed), crc32.ChecksumIEEE(packed)
	e.header = h.append(e.header[:0])
	c.uncompressed += int64(len(e.header) + len(page))
	e.write(c, e.header, len(c.pieces) == c.dataPiece)
	e.write(c, packed, false)
	e.packed = reusable(e.packed)
}

// dictionaryPage writes the column's dictionary.
func (e *encoder) dictionaryPage(c *chunk, d *dictionary) {
	c.dictAt = c.size
	e.writePage(c, pageHeader{kind: pageDictionary, values: d.len(), encoding: encodingPlain}, d.plain)
}

// dataPage writes the values that the caller appends behind the levels of the
// next entries.
func (e *encoder) dataPage(c *chunk, cut cutter, entries uint32, encoding int32, values func(dst []byte) []byte) {
	e.page = cut.appendLevels(e.page[:0], entries, &e.hybrid)
	e.page = values(e.page)
	before := c.uncompressed
	e.writePage(c, pageHeader{kind: pageData, values: int(entries), encoding: encoding}, e.page)
	e.page = reusable(e.page)
	c.data += c.uncompressed - before
	if encoding == encodingDict {
		c.dictPages++
	} else {
		c.plainPages++
	}
}

// begin opens the chunk of a leaf with the stream; size is an estimate of its
// bytes. Tiny chunks stay as they are: the frame of a compressed page would be
// longer than what it saves.
func (e *encoder) begin(s *stream, size int) chunk {
	c := chunk{leaf: e.leaf, codec: e.compressor.codec, dictAt: -1, entries: int64(s.reps.entries), nulls: int64(s.reps.entries - s.instances)}
	if size < tinyChunk {
		c.codec = compress.Codecs.Uncompressed
	}
	return c
}

const tinyChunk = 256

// beginData is called before the first data page.
func (e *encoder) beginData(c *chunk) { c.dataAt, c.dataPiece = c.size, len(c.pieces) }

// finish closes the chunk.
func (e *encoder) finish(c *chunk) {
	e.chunks = append(e.chunks, *c)
}
