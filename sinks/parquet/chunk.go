package parquet

import (
	"hash/crc32"

	"github.com/apache/arrow/go/v17/parquet/compress"
)

// chunk is the encoded column of a row group: a stretch of an encoder's bytes.
type chunk struct {
	leaf         int    // of the schema
	bytes        []byte // when the row group is whole
	codec        compress.Compression
	start, end   int   // within the encoder's bytes
	dictAt       int64 // position of the dictionary page within the chunk; -1 without one
	dataAt       int64 // position of the first data page
	uncompressed int64 // bytes with the headers of pages
	data         int64 // of these, those of the data pages
	entries      int64
	nulls        int64
	dictPages    int32 // data pages by encoding
	plainPages   int32
	min, max     []byte // nil without statistics
}

// mostGroup is the greatest buffer of chunks that is kept for the next row group.
const mostGroup = 32 << 20

// reset forgets the chunks of the last row group.
func (e *encoder) reset() {
	if cap(e.bytes) > mostGroup {
		e.bytes = nil
	}
	e.bytes, e.chunks = e.bytes[:0], e.chunks[:0]
	e.leaf = -1
}

// seal gives the chunks their bytes, which stay where they are until the next
// row group.
func (e *encoder) seal() {
	for i := range e.chunks {
		c := &e.chunks[i]
		c.bytes = e.bytes[c.start:c.end]
	}
}

// writePage compresses a page into the chunk.
func (e *encoder) writePage(c *chunk, h pageHeader, page []byte) {
	// The header has the length of what comes behind it: that is written first,
	// with more than enough room before it, and then moved to the header.
	at := len(e.bytes)
	out := room(e.bytes, headerRoom+len(page))[:at+headerRoom]
	if c.codec == compress.Codecs.Uncompressed {
		out = append(out, page...)
	} else {
		out = e.compressor.append(out, page)
	}
	packed := out[at+headerRoom:]
	h.uncompressed, h.compressed, h.crc = len(page), len(packed), crc32.ChecksumIEEE(packed)
	header := h.append(out[:at])
	c.uncompressed += int64(len(header) - at + len(page))
	e.bytes = append(header, packed...)
}

// headerRoom is more than a page header takes.
const headerRoom = 64

// dictionaryPage writes the column's dictionary.
func (e *encoder) dictionaryPage(c *chunk, d *dictionary) {
	c.dictAt = int64(len(e.bytes) - c.start)
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
	c := chunk{leaf: e.leaf, codec: e.compressor.codec, start: len(e.bytes), dictAt: -1, entries: int64(s.reps.entries), nulls: int64(s.reps.entries - s.instances)}
	if size < tinyChunk {
		c.codec = compress.Codecs.Uncompressed
	}
	return c
}

const tinyChunk = 256

// beginData is called before the first data page.
func (e *encoder) beginData(c *chunk) { c.dataAt = int64(len(e.bytes) - c.start) }

// finish closes the chunk.
func (e *encoder) finish(c *chunk) {
	c.end = len(e.bytes)
	e.chunks = append(e.chunks, *c)
}
