package parquet

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/parquet"
	arrowfile "github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/schema"
)

// open opens a file of the staging with arrow's reader.
func open(t testing.TB, dst *staging, path string) *arrowfile.Reader {
	t.Helper()
	data, ok := dst.files[path]
	if !ok {
		t.Fatalf("no file %s", path)
	}
	r, err := arrowfile.NewParquetReader(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// column reads a column, by its path without the levels of lists, as text: one
// string an entry, NULL where there is no value.
func column(t testing.TB, dst *staging, path, name string) []string {
	t.Helper()
	r := open(t, dst, path)
	s := r.MetaData().Schema
	for i := range s.NumColumns() {
		if strings.ReplaceAll(s.Column(i).Path(), ".list.element", "") != name {
			continue
		}
		var out []string
		for g := range r.NumRowGroups() {
			out = append(out, entries(t, r.RowGroup(g), i)...)
		}
		return out
	}
	t.Fatalf("no column %s", name)
	return nil
}

func hasColumn(r *arrowfile.Reader, name string) bool {
	s := r.MetaData().Schema
	for i := range s.NumColumns() {
		if strings.ReplaceAll(s.Column(i).Path(), ".list.element", "") == name {
			return true
		}
	}
	return false
}

func entries(t testing.TB, g *arrowfile.RowGroupReader, i int) []string {
	t.Helper()
	c, err := g.Column(i)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for {
		const batch = 100
		defs, reps := make([]int16, batch), make([]int16, batch)
		var n int64
		var values []string
		switch r := c.(type) {
		case *arrowfile.ByteArrayColumnChunkReader:
			buf := make([]parquet.ByteArray, batch)
			var k int
			n, k, err = r.ReadBatch(batch, buf, defs, reps)
			for _, v := range buf[:k] {
				values = append(values, string(v))
			}
		case *arrowfile.FixedLenByteArrayColumnChunkReader:
			buf := make([]parquet.FixedLenByteArray, batch)
			var k int
			n, k, err = r.ReadBatch(batch, buf, defs, reps)
			for _, v := range buf[:k] {
				values = append(values, unscaled(v).String())
			}
		case *arrowfile.Int32ColumnChunkReader:
			buf := make([]int32, batch)
			var k int
			n, k, err = r.ReadBatch(batch, buf, defs, reps)
			for _, v := range buf[:k] {
				values = append(values, fmt.Sprint(v))
			}
		case *arrowfile.Int64ColumnChunkReader:
			buf := make([]int64, batch)
			var k int
			n, k, err = r.ReadBatch(batch, buf, defs, reps)
			for _, v := range buf[:k] {
				values = append(values, stamp(v))
			}
		case *arrowfile.BooleanColumnChunkReader:
			buf := make([]bool, batch)
			var k int
			n, k, err = r.ReadBatch(batch, buf, defs, reps)
			for _, v := range buf[:k] {
				values = append(values, fmt.Sprint(v))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return out
		}
		most := c.Descriptor().MaxDefinitionLevel()
		for _, d := range defs[:n] {
			if d < most {
				out = append(out, "NULL")
				continue
			}
			out = append(out, values[0])
			values = values[1:]
		}
	}
}

// schemaText is the schema in Parquet's notation.
func schemaText(r *arrowfile.Reader) string {
	var b bytes.Buffer
	schema.PrintSchema(r.MetaData().Schema.Root(), &b, 2)
	return b.String()
}

// statistics returns the bounds of a column of texts in a row group, by its path
// without the levels of lists.
func statistics(t testing.TB, r *arrowfile.Reader, group int, name string) (low, high string) {
	t.Helper()
	g := r.MetaData().RowGroup(group)
	for i := range g.NumColumns() {
		c, err := g.ColumnChunk(i)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ReplaceAll(c.PathInSchema().String(), ".list.element", "") != name {
			continue
		}
		s, err := c.Statistics()
		if err != nil || s == nil || !s.HasMinMax() {
			t.Fatalf("column %s has no statistics: %v", name, err)
		}
		return string(s.EncodeMin()), string(s.EncodeMax())
	}
	t.Fatalf("no column %s", name)
	return "", ""
}
