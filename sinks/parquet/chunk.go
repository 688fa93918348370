package parquet

import (
	"bytes"
	"hash/crc32"
	"slices"

	"github.com/apache/arrow/go/v17/parquet/compress"
)

// chunk is the encoded column of a row group: a stretch of the group's bytes.
type chunk struct {
	codec        compress.Compression
	dictAt       int // position of the dictionary page within the group; -1 without one
	dataAt       int // position of the first data page
	end          int
	uncompressed int64 // bytes with the headers of pages
	data         int64 // of these, those of the data pages
	entries      int64
	nulls        int64
	dictPages    int32 // data pages by encoding
	plainPages   int32
	min, max     []byte // nil without statistics
}

// rowGroup is an encoded row group: one stretch of bytes, whose chunks stand in
// the order of the schema's leaves.
type rowGroup struct {
	bytes  []byte
	chunks []chunk
	rows   int
}

// reset empties the group for the next one.
func (g *rowGroup) reset() {
	if cap(g.bytes) > mostGroup {
		g.bytes = nil
	}
	*g = rowGroup{bytes: g.bytes[:0], chunks: g.chunks[:0]}
}

// mostGroup is the greatest buffer of a row group that is kept for the next one.
const mostGroup = 32 << 20

// clone copies the group, to keep it past the encoder's next use.
func (g *rowGroup) clone() *rowGroup {
	return &rowGroup{bytes: bytes.Clone(g.bytes), chunks: slices.Clone(g.chunks), rows: g.rows}
}

// writePage compresses a page into the group.
func (e *encoder) writePage(c *chunk, h pageHeader, page []byte) {
	// The header has the length of what comes behind it: that is written first,
	// with more than enough room before it, and then moved to the header.
	at := len(e.group.bytes)
	out := room(e.group.bytes, headerRoom+len(page))[:at+headerRoom]
	if c.codec == compress.Codecs.Uncompressed {
		out = append(out, page...)
	} else {
		out = e.compressor.append(out, page)
	}
	packed := out[at+headerRoom:]
	h.uncompressed, h.compressed, h.crc = len(page), len(packed), crc32.ChecksumIEEE(packed)
	header := h.append(out[:at])
	c.uncompressed += int64(len(header) - at + len(page))
	e.group.bytes = append(header, packed...)
}

// headerRoom is more than a page header takes.
const headerRoom = 64

// dictionaryPage writes the column's dictionary.
func (e *encoder) dictionaryPage(c *chunk, d *dictionary) {
	c.dictAt = len(e.group.bytes)
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
	c := chunk{codec: e.compressor.codec, dictAt: -1, dataAt: -1, entries: int64(s.reps.entries), nulls: int64(s.reps.entries - s.instances)}
	if size < tinyChunk {
		c.codec = compress.Codecs.Uncompressed
	}
	return c
}

const tinyChunk = 256

// finish closes the chunk.
func (e *encoder) finish(c *chunk) {
	c.end = len(e.group.bytes)
	e.group.chunks = append(e.group.chunks, *c)
}
