// Package parquet turns the landed lines of a resource type into Parquet files
// that hold the same data as the JSON, provably: package rebuild makes the
// resources from the rows again.
//
// The layout follows the Parquet-on-FHIR convention: one column tree led by the
// R4 definitions, of which only what occurs is there. Beside the elements stand
// a few columns whose names begin with two underscores: numbers beside decimal
// texts, the span of time beside dates, the parts of literal references,
// __unmapped for what no column can reproduce exactly, and __run. docs/parquet.md
// has the table.
//
// A conversion reads the lines once. Blocks of lines go round the workers; each
// walks its lines and shreds them into column buffers without allocating per
// resource. Where a row group ends they meet, join what they have, and each
// encodes the columns that nobody else has taken. Where that is does not depend
// on who is faster, so the same input gives the same bytes for the same number
// of workers; with one worker the rows stand in the order of delivery, or in
// that of Sink.Sort.
package parquet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"

	"github.com/flue-fhir/flue/internal/definition"
	"github.com/flue-fhir/flue/internal/fhirjson"
	"github.com/flue-fhir/flue/sinks"
)

// Sink writes Parquet. The zero value is ready for use. It is a sinks.Sink and
// may be used by several goroutines at once.
type Sink struct {
	Version     string // of the program, for the footer
	Compression string // Zstd (the default), Snappy or None
	Level       int    // of zstd, 1 to 22; 0 means 1, and 3 where it pays
	Unmapped    string // Keep (the default) or Fail
	Drift       string // Widen (the default) or Fail

	// Sort is Delivery (the default) or Patient: the rows of a type by patient
	// and then date, over all of its files, so that a row group holds a few
	// patients. What does not fit the memory is sorted in Input.Scratch.
	Sort string

	TargetSize int64 // bytes after which a file is closed; 0 means 256 MiB
	RowGroup   int64 // bytes of input that make a row group; 0 means 128 MiB
	MaxColumns int   // nodes of a type's column tree; 0 means 5,000
	MaxDepth   int   // nesting of columns; 0 means 16
	MaxLine    int64 // bytes of a line; 0 means 256 MiB, at most 1 GiB

	// Workers is how many goroutines convert one type; 0 means GOMAXPROCS. A
	// small type, or one with a small budget, has fewer.
	Workers int

	block int   // bytes of a block; 0 means blockSize, tests make it small
	least int64 // memory of a worker; 0 means leastShare, tests make it small
}

// How rows are ordered.
const (
	Delivery = "delivery"
	Patient  = "patient"
)

// What is done with values that no column can reproduce, and with columns that
// the job's earlier snapshots do not have.
const (
	Keep  = "keep"  // values go to __unmapped
	Widen = "widen" // columns are added, and stay
	Fail  = "fail"  // the conversion fails with an *UnmappedError, a *DriftError
)

// FHIRVersion is the version of the definitions that the columns follow.
const FHIRVersion = "4.0.1"

// Defaults of the Sink's fields, and the budget where Input has none.
const (
	defaultTargetSize = 256 << 20
	defaultRowGroup   = 128 << 20
	defaultMaxLine    = 256 << 20
	defaultBudget     = 256 << 20
	mostLine          = 1 << 30
)

var _ sinks.Sink = (*Sink)(nil)

// Takes reports whether the type is one that R4 defines: others have no columns.
func (s *Sink) Takes(typ string) bool { return definition.Type(typ) != nil }

// Name implements sinks.Sink.
func (s *Sink) Name() string { return "parquet" }

// Convert implements sinks.Sink. It writes parquet/<type>/part-NNNNN.parquet and
// parquet/<type>/_schema.json.
func (s *Sink) Convert(ctx context.Context, in sinks.Input, dst sinks.Staging) (sinks.Output, error) {
	switch s.Unmapped {
	case "", Keep, Fail:
	default:
		return sinks.Output{}, &ConfigError{Field: "unmapped", Text: "is neither keep nor fail"}
	}
	switch s.Drift {
	case "", Widen, Fail:
	default:
		return sinks.Output{}, &ConfigError{Field: "drift", Text: "is neither widen nor fail"}
	}
	switch s.Sort {
	case "", Delivery, Patient:
	default:
		return sinks.Output{}, &ConfigError{Field: "sort", Text: "is neither delivery nor patient"}
	}
	if s.MaxLine > mostLine {
		return sinks.Output{}, &ConfigError{Field: "max_line", Text: "is over 1 GiB"}
	}
	if _, err := newCompressor(s.Compression, s.Level); err != nil {
		return sinks.Output{}, &ConfigError{Field: "compression", Text: err.Error()}
	}
	tree, err := s.columns(in)
	if err != nil {
		return sinks.Output{}, err
	}
	layout, err := newLayout(tree)
	if err != nil {
		return sinks.Output{}, err
	}
	return s.convert(ctx, in, dst, layout)
}

// columns is the tree of the type's columns: those of the job's last snapshot,
// and what occurs now as far as the limits go.
func (s *Sink) columns(in sinks.Input) (*fhirjson.Tree, error) {
	if definition.Type(in.Type) == nil {
		return nil, &TypeError{}
	}
	tree := fhirjson.NewTree(in.Type, fhirjson.Limits{MaxColumns: s.MaxColumns, MaxDepth: s.MaxDepth})
	if in.Earlier != nil {
		if err := tree.UnmarshalText(in.Earlier); err != nil {
			return nil, fmt.Errorf("read earlier columns of %s: %w", in.Type, err)
		}
	}
	if in.Columns != nil {
		tree.Merge(in.Columns)
	}
	if s.Drift == Fail {
		if err := drift(tree, in.Earlier); err != nil {
			return nil, err
		}
	}
	if len(tree.Columns().Nodes) == 1 {
		// A type of which nothing was ever seen: what every resource has.
		if err := tree.UnmarshalText([]byte(nothingSeen(in.Type))); err != nil {
			return nil, fmt.Errorf("make columns of %s: %w", in.Type, err)
		}
	}
	return tree, nil
}

// workers is how many goroutines share the input, and how much memory they have.
func (s *Sink) workers(in sinks.Input) (n int, budget int64) {
	n = s.Workers
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	budget = in.Budget
	if budget <= 0 {
		budget = defaultBudget
	}
	var input int64
	for _, p := range in.Parts {
		input += p.Bytes()
	}
	n = max(1, int(min(int64(n), input/int64(4*s.blockSize()), budget/or(s.least, leastShare))))
	return n, budget
}

// leastShare is the memory with which another worker is worth its while, for
// compressing takes some besides the values. It is so, too, when it has a few
// blocks to work on.
const leastShare = 36 << 20

func (s *Sink) blockSize() int { return int(or(int64(s.block), blockSize)) }

// or returns the value, or the default when it is not positive.
func or(value, def int64) int64 {
	if value <= 0 {
		return def
	}
	return value
}

// describe returns the footer's metadata.
func (s *Sink) describe(in sinks.Input, schema []byte) []string {
	sum := sha256.Sum256(schema)
	return []string{
		"flue.version", s.Version,
		"flue.run", in.Run,
		"flue.resourceType", in.Type,
		"flue.schema", "sha256:" + hex.EncodeToString(sum[:]),
		"fhir.version", FHIRVersion,
	}
}
