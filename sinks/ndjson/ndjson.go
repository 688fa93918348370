// Package ndjson is the sink that publishes resources as NDJSON, byte for byte
// as the server sent them.
package ndjson

import (
	"context"
	"errors"

	"github.com/flue-fhir/flue/sinks"
)

// Compression is how the files are compressed.
type Compression string

// The compressions; their values are those of jobs.yaml.
const (
	None Compression = "none"
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
)

// Sink writes ndjson/<Type>/part-00000.ndjson, with .gz or .zst when it is
// compressed.
type Sink struct {
	Compression Compression // "" means Gzip
	Level       int         // compression level, 1 to 9; 0 means the format's default
	TargetSize  int64       // bytes of one file; 0 means 256 MiB
	Workers     int         // goroutines that compress a file; 0 means GOMAXPROCS
}

// Name is "ndjson".
func (s *Sink) Name() string { return "ndjson" }

// Convert writes the published lines of one type.
func (s *Sink) Convert(ctx context.Context, in sinks.Input, dst sinks.Staging) (sinks.Output, error) {
	return sinks.Output{}, errors.ErrUnsupported
}
