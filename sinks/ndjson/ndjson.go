// Package ndjson is the sink that publishes resources as NDJSON: every line
// byte for byte as the server sent it, ended by a line feed.
//
// A part whose every line is published and that came in the wanted compression
// is copied as it was sent. From any other the published lines are written
// anew; what servers put between lines (a byte order mark, blank lines, spaces,
// carriage returns) is left out. Many small parts are gathered into one file. A
// compressed file is a row of gzip members (RFC 1952, section 2.2) or zstd frames,
// which readers take as one stream.
package ndjson

import (
	"context"
	"errors"
	"fmt"
	"runtime"

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

// Sink writes ndjson/TYPE/part-00000.ndjson and so on, with .gz or .zst behind
// it when it is compressed. It writes nothing for a type without rows.
type Sink struct {
	Compression Compression // "" means Gzip
	Level       int         // 1 to 9, as gzip has them; 0 means the format's default
	// TargetSize is the bytes of a file from which on the next one begins; 0
	// means 256 MiB. A part that is copied as it was sent is never cut.
	TargetSize int64
	Workers    int // goroutines that compress one file; 0 means GOMAXPROCS
}

const defaultTarget = 256 << 20

// Name is "ndjson".
func (s *Sink) Name() string { return "ndjson" }

// Convert writes the published lines of one type. Files that an earlier try of
// the type left in the staging are removed first.
func (s *Sink) Convert(ctx context.Context, in sinks.Input, dst sinks.Staging) (sinks.Output, error) {
	out, err := s.convert(ctx, in, dst)
	if err != nil {
		return sinks.Output{}, fmt.Errorf("write NDJSON of %s: %w", in.Type, err)
	}
	return out, nil
}

func (s *Sink) convert(ctx context.Context, in sinks.Input, dst sinks.Staging) (out sinks.Output, err error) {
	folder := s.Name() + "/" + in.Type
	if err := dst.Remove(ctx, folder); err != nil {
		return out, err
	}
	f, err := s.format(in)
	if err != nil {
		return out, err
	}
	w := &writer{dst: dst, format: f, folder: folder, typ: in.Type, target: s.TargetSize}
	if w.target <= 0 {
		w.target = defaultTarget
	}
	defer func() {
		if aerr := w.abort(); aerr != nil && err != nil {
			err = errors.Join(err, aerr)
		}
	}()
	for _, p := range in.Parts {
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		if p.Lines() == 0 {
			continue
		}
		if open, encoding, ok := p.Raw(); ok && encoding == f.encoding {
			err = w.copyRaw(ctx, p, open)
		} else {
			err = w.copyLines(ctx, p)
		}
		if err != nil {
			return out, err
		}
	}
	if err := w.end(); err != nil {
		return out, err
	}
	out.Files = w.files
	return out, nil
}

// format is how the files are written.
type format struct {
	suffix   string
	encoding string                 // of parts that are copied as they were sent
	encoder  func() (encode, error) // nil for None
	ahead    int                    // blocks under way
	workers  int
}

func (s *Sink) format(in sinks.Input) (format, error) {
	f := format{ahead: int(min(max(in.Budget/(3*block), 1), maxAhead))} // I8
	f.workers = s.Workers
	if f.workers <= 0 {
		f.workers = runtime.GOMAXPROCS(0)
	}
	f.workers = min(f.workers, f.ahead)
	switch s.Compression {
	case "", Gzip:
		f.suffix, f.encoding, f.encoder = ".ndjson.gz", "gzip", s.gzip
	case Zstd:
		f.suffix, f.encoding, f.encoder = ".ndjson.zst", "zstd", s.zstd
	case None:
		f.suffix = ".ndjson"
	default:
		return format{}, fmt.Errorf("unknown compression %q", s.Compression)
	}
	return f, nil
}
