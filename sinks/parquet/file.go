package parquet

import (
	"context"
	"encoding/binary"
	"fmt"
	"sort"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/metadata"

	"github.com/flue-fhir/flue/sinks"
)

// magic begins and ends a Parquet file.
const magic = "PAR1"

// file is a Parquet file that is being written, row group by row group.
type file struct {
	path   string
	w      sinks.FileWriter
	layout *layout
	footer *metadata.FileMetaDataBuilder
	at     int64 // bytes written
	rows   int64
	groups int16
}

// createFile begins a file in the staging. pairs is the footer's metadata, key
// and value in turn.
func createFile(ctx context.Context, dst sinks.Staging, path string, l *layout, createdBy string, pairs []string) (*file, error) {
	w, err := dst.Create(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	f := &file{path: path, w: w, layout: l}
	kv := metadata.NewKeyValueMetadata()
	for i := 0; i < len(pairs); i += 2 {
		if err := kv.Append(pairs[i], pairs[i+1]); err != nil {
			f.abort()
			return nil, fmt.Errorf("describe %s: metadata is not UTF-8", path)
		}
	}
	properties := parquet.NewWriterProperties(parquet.WithVersion(parquet.V2_LATEST), parquet.WithCreatedBy(createdBy))
	f.footer = metadata.NewFileMetadataBuilder(l.schema, properties, kv)
	return f, f.write([]byte(magic))
}

func (f *file) write(b []byte) error {
	n, err := f.w.Write(b)
	f.at += int64(n)
	if err != nil {
		f.abort()
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	return nil
}

func (f *file) abort() { _ = f.w.Abort() }

// append writes a row group: the chunks of all leaves, in any order. After an
// error the file is gone.
func (f *file) append(rows int, chunks []chunk) error {
	sort.Slice(chunks, func(i, j int) bool { return chunks[i].leaf < chunks[j].leaf })
	rg := f.footer.AppendRowGroup()
	rg.SetNumRows(rows)
	var total int64
	for leaf := range f.layout.leaves {
		if leaf >= len(chunks) || chunks[leaf].leaf != leaf {
			f.abort()
			return fmt.Errorf("write %s: leaf %d is not encoded", f.path, leaf)
		}
		c := &chunks[leaf]
		base := f.at
		for _, piece := range c.pieces {
			if err := f.write(piece); err != nil {
				return err
			}
		}
		if err := c.describe(rg.NextColumnChunk(), base); err != nil {
			f.abort()
			return fmt.Errorf("describe %s: %w", f.path, err)
		}
		total += c.uncompressed
	}
	if err := rg.Finish(total, f.groups); err != nil {
		f.abort()
		return fmt.Errorf("describe %s: %w", f.path, err)
	}
	f.groups++
	f.rows += int64(rows)
	return nil
}

// describe fills in the metadata of the chunk, which begins at base of the file.
func (c *chunk) describe(b *metadata.ColumnChunkMetaDataBuilder, base int64) error {
	info := metadata.ChunkMetaInfo{
		NumValues:        c.entries,
		IndexPageOffset:  -1,
		DataPageOffset:   base + c.dataAt,
		CompressedSize:   c.size,
		UncompressedSize: c.uncompressed,
	}
	stats := metadata.EncodingStats{DataEncodingStats: map[parquet.Encoding]int32{}}
	if c.dictAt >= 0 {
		info.DictPageOffset = base + c.dictAt
		stats.DictEncodingStats = map[parquet.Encoding]int32{parquet.Encodings.Plain: 1}
	}
	if c.dictPages > 0 {
		stats.DataEncodingStats[parquet.Encodings.RLEDict] = c.dictPages
	}
	if c.plainPages > 0 {
		stats.DataEncodingStats[parquet.Encodings.Plain] = c.plainPages
	}
	var bounds metadata.EncodedStatistics
	bounds.SetNullCount(c.nulls)
	if c.min != nil {
		bounds.SetMin(c.min).SetMax(c.max)
	}
	b.SetStats(bounds)
	setCodec(&b.Contents().MetaData.Codec, c.codec)
	if err := b.Finish(info, c.dictAt >= 0, c.dictAt >= 0 && c.plainPages > 0, stats, nil); err != nil {
		return err
	}
	// Finish takes them from a map; the same input shall give the same bytes.
	pages := b.Contents().MetaData.EncodingStats
	sort.Slice(pages, func(i, j int) bool {
		if pages[i].PageType != pages[j].PageType {
			return pages[i].PageType > pages[j].PageType
		}
		return pages[i].Encoding > pages[j].Encoding
	})
	return nil
}

// setCodec sets a field whose type arrow does not export.
func setCodec[T ~int64](field *T, codec compress.Compression) { *field = T(codec) }

// commit writes the footer and makes the file durable under its name. After an
// error the file is gone.
func (f *file) commit() (sinks.File, error) {
	meta, err := f.footer.Finish()
	if err != nil {
		f.abort()
		return sinks.File{}, fmt.Errorf("describe %s: %w", f.path, err)
	}
	at := f.at
	if _, err := meta.WriteTo(writeOnly{f}, nil); err != nil {
		f.abort()
		return sinks.File{}, fmt.Errorf("write %s: %w", f.path, err)
	}
	end := binary.LittleEndian.AppendUint32(nil, uint32(f.at-at))
	if err := f.write(append(end, magic...)); err != nil {
		return sinks.File{}, err
	}
	size, sum, err := f.w.Commit()
	if err != nil {
		f.abort()
		return sinks.File{}, fmt.Errorf("commit %s: %w", f.path, err)
	}
	return sinks.File{Path: f.path, Type: f.layout.typ, Rows: f.rows, Bytes: size, SHA256: sum}, nil
}

// writeOnly keeps the metadata's writer from finding more than Write.
type writeOnly struct{ f *file }

func (w writeOnly) Write(b []byte) (int, error) {
	n, err := w.f.w.Write(b)
	w.f.at += int64(n)
	return n, err
}
