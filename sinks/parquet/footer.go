package parquet

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/parquet"
	arrowfile "github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/schema"
)

// Footer is what the end of a Parquet file says of it.
type Footer struct {
	ResourceType string // empty when the file is not of this package
	Run          string
	SchemaHash   string // "sha256:" and the hash of _schema.json in hex
	Rows         int64
	RowGroups    int
	Columns      []Column // as stored: without FHIR paths and descriptions
}

// ReadFooter reads the footer of a Parquet file. The rows are those of the row
// groups, which must be as many as the file says. No row is read.
func ReadFooter(r io.ReaderAt, size int64) (f *Footer, err error) {
	defer func() {
		// The reader panics on some broken files.
		if p := recover(); p != nil {
			f, err = nil, errors.New("read footer: broken file")
		}
	}()
	file, err := arrowfile.NewParquetReader(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, fmt.Errorf("read footer: %w", err)
	}
	defer file.Close()
	meta := file.MetaData()
	value := func(key string) string {
		if v := meta.KeyValueMetadata().FindValue(key); v != nil {
			return *v
		}
		return ""
	}
	f = &Footer{
		ResourceType: value("flue.resourceType"), Run: value("flue.run"), SchemaHash: value("flue.schema"),
		RowGroups: file.NumRowGroups(),
	}
	for g := range f.RowGroups {
		f.Rows += file.RowGroup(g).NumRows()
	}
	if n := file.NumRows(); n != f.Rows {
		return nil, fmt.Errorf("read footer: %d rows in the file, %d in its row groups", n, f.Rows)
	}
	f.Columns = storedColumns(meta.Schema.Root())
	return f, nil
}

// storedColumns describes the fields of a group.
func storedColumns(g *schema.GroupNode) []Column {
	var out []Column
	for i := range g.NumFields() {
		out = append(out, storedColumn(g.Field(i)))
	}
	return out
}

func storedColumn(n schema.Node) Column {
	c := Column{Name: n.Name(), Required: n.RepetitionType() == parquet.Repetitions.Required}
	if g, ok := n.(*schema.GroupNode); ok && isList(g) {
		c.List = true
		n = g.Field(0).(*schema.GroupNode).Field(0)
	}
	switch n := n.(type) {
	case *schema.GroupNode:
		c.Type, c.Columns = "struct", storedColumns(n)
	case *schema.PrimitiveNode:
		c.Type = storedType(n)
	}
	return c
}

// isList reports whether the group is a list of three levels.
func isList(g *schema.GroupNode) bool {
	if _, ok := g.LogicalType().(schema.ListLogicalType); !ok || g.NumFields() != 1 {
		return false
	}
	inner, ok := g.Field(0).(*schema.GroupNode)
	return ok && inner.RepetitionType() == parquet.Repetitions.Repeated && inner.NumFields() == 1
}

// storedType is the name that Column.Type has for a leaf; of leaves that this
// package does not write, that of the physical type.
func storedType(n *schema.PrimitiveNode) string {
	switch t := n.LogicalType().(type) {
	case schema.StringLogicalType:
		return "string"
	case *schema.DecimalLogicalType:
		return fmt.Sprintf("decimal(%d,%d)", t.Precision(), t.Scale())
	case *schema.TimestampLogicalType:
		if t.IsAdjustedToUTC() && t.TimeUnit() == schema.TimeUnitMicros {
			return "timestamp"
		}
	}
	switch n.PhysicalType() {
	case parquet.Types.Boolean:
		return "boolean"
	case parquet.Types.Int32:
		return "integer"
	}
	return n.PhysicalType().String()
}
