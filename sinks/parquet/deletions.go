package parquet

import (
	"context"
	"fmt"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/schema"

	"github.com/flue-fhir/flue/sinks"
)

var _ sinks.Deleter = (*Sink)(nil)

// deletionsPath is the file of a snapshot's deletions.
const deletionsPath = "deleted/part-00000.parquet"

// deletionGroup is how many bytes of types and ids make a row group.
const deletionGroup = 16 << 20

// Deletions implements sinks.Deleter. The file has three columns, each a required
// string: type, id and run.
func (s *Sink) Deletions(ctx context.Context, run string, dst sinks.Staging) (sinks.DeletionWriter, error) {
	c, err := newCompressor(s.Compression, s.Level)
	if err != nil {
		return nil, &ConfigError{Field: "compression", Text: err.Error()}
	}
	var columns schema.FieldList
	for _, name := range []string{"type", "id", "run"} {
		n, err := schema.NewPrimitiveNodeLogical(name, parquet.Repetitions.Required, schema.StringLogicalType{}, parquet.Types.ByteArray, -1, -1)
		if err != nil {
			return nil, fmt.Errorf("build schema of deletions: %w", err)
		}
		columns = append(columns, n)
	}
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, columns, -1)
	if err != nil {
		return nil, fmt.Errorf("build schema of deletions: %w", err)
	}
	l := &layout{leaves: len(columns), schema: schema.NewSchema(root)}
	d := &deletions{encoder: encoder{layout: l, compressor: c, run: []byte(run), pool: &segments{}}, group: or(s.RowGroup, deletionGroup)}
	d.types.reset(d.encoder.pool)
	d.ids.reset(d.encoder.pool)
	if d.file, err = createFile(ctx, dst, deletionsPath, l, "flue version "+s.Version, []string{"flue.version", s.Version, "flue.run", run}); err != nil {
		return nil, err
	}
	return d, nil
}

// deletions is a file of deletions that is being written. After an error the file
// is gone.
type deletions struct {
	file    *file
	encoder encoder
	types   values
	ids     values
	rows    uint32
	bytes   int64 // of the values in hand
	group   int64 // bytes of a row group
}

// Add implements sinks.DeletionWriter.
func (d *deletions) Add(typ, id string) error {
	if d.types.add([]byte(typ), d.encoder.pool) {
		d.types.settle(d.encoder.pool)
	}
	if d.ids.add([]byte(id), d.encoder.pool) {
		d.ids.settle(d.encoder.pool)
	}
	d.rows++
	if d.bytes += int64(len(typ) + len(id)); d.bytes < d.group {
		return nil
	}
	return d.flush()
}

// flush writes the rows in hand as a row group.
func (d *deletions) flush() error {
	if d.rows == 0 {
		return nil
	}
	e := &d.encoder
	e.leaf = -1
	rows := &stream{
		defs: appendRun(nil, 0, d.rows), instances: d.rows,
		reps: &repetition{runs: appendRun(nil, 0, d.rows), entries: d.rows},
	}
	for _, v := range []*values{&d.types, &d.ids} {
		e.leaf++
		if _, err := e.column(rows, v, true); err != nil {
			return fmt.Errorf("encode deletions: %w", err)
		}
		v.reset(d.encoder.pool)
	}
	e.leaf++
	e.constant(rows, e.run)
	n := int(d.rows)
	d.rows, d.bytes = 0, 0
	err := d.file.append(n, e.chunks)
	e.reset()
	return err
}

// Commit implements sinks.DeletionWriter.
func (d *deletions) Commit() (sinks.File, error) {
	if err := d.flush(); err != nil {
		d.file.abort()
		return sinks.File{}, err
	}
	return d.file.commit()
}

// Abort implements sinks.DeletionWriter.
func (d *deletions) Abort() error { return d.file.w.Abort() }
