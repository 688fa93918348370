package spool

import (
	"context"
	"errors"
	"io"

	"github.com/flue-fhir/flue/internal/fhirjson"
)

type pools struct{}

// Options say what is known of a body before it is read.
type Options struct {
	// Type is the declared resource type, "" when unknown. Lines of another type
	// are no fault: they are routed by their resourceType (F30).
	Type string
	// Expect is the announced number of resources: nil when unknown (F37).
	Expect *int64
	// AllowMismatch takes a body with another number of resources; Info keeps
	// both numbers.
	AllowMismatch bool
}

// Source is an opened body.
type Source struct {
	Body     io.Reader // bytes as sent, from Offset on; Copy does not close it
	Encoding string    // "" or "gzip"; magic bytes decide where they disagree (F36)
	Offset   int64     // where Body begins: what Resume said, or 0
	Length   int64     // of the whole body as sent; -1 when unknown
	// Validator is a strong validator of the bytes as sent, fit for If-Range; ""
	// when there is none, and then a later process begins anew.
	Validator string
}

// Land begins a part, or takes it up again where an earlier process left it.
// The caller ends the landing with Commit or Close.
func (r *Run) Land(key string, o Options) (*Landing, error) { return nil, errors.ErrUnsupported }

// Landing is a part in the making. It is for one goroutine.
type Landing struct{}

// Resume tells what to ask the server for: the bytes from offset on, as sent,
// if the representation still has the validator. With offset 0 it is the
// whole body.
func (l *Landing) Resume() (offset int64, validator, encoding string) { return 0, "", "" }

// Copy reads the body to its end. nil means that the body is whole and checked;
// after an error with a true Retryable method, open the body again as Resume
// says and call Copy again.
func (l *Landing) Copy(ctx context.Context, s Source) error { return errors.ErrUnsupported }

// Commit makes the part durable (I5). It fails unless Copy returned nil.
func (l *Landing) Commit() (*Part, error) { return nil, errors.ErrUnsupported }

// Close ends the landing and keeps what it has for a later Land. It does
// nothing after Commit.
func (l *Landing) Close() error { return nil }

// Part returns a landed part, nil without error when the key has none.
func (r *Run) Part(key string) (*Part, error) { return nil, errors.ErrUnsupported }

// Part is a landed body. It may be used by several goroutines at once.
type Part struct{}

// Info returns what is known about the part; the caller changes nothing in it.
func (p *Part) Info() *Info { return nil }

// Open returns the decoded bytes; the caller closes it.
func (p *Part) Open() (io.ReadCloser, error) { return nil, errors.ErrUnsupported }

// Select decides which lines of a type are published: of the lines with the
// same id the one with the newest lastUpdated, among equals the one delivered
// last, and a SUBSETTED line only where no full one came (F48, F53). Lines
// without an id are all published. parts are in the order of delivery. memory
// bounds the bytes of its tables (I8); 0 means 64 MiB. The result depends on
// nothing but the parts. The caller closes it after the last use of its views.
func (r *Run) Select(ctx context.Context, typ string, parts []*Part, memory int64) (*Selection, error) {
	return nil, errors.ErrUnsupported
}

// Selection says which lines of a type are published.
type Selection struct {
	Type       string
	Views      []*View        // the parts that have lines of the type, in order
	Tree       *fhirjson.Tree // what occurs in the parts; nil for an unknown type, or no lines
	Delivered  int64          // lines of the type: Published + Superseded (I3)
	Published  int64
	Superseded int64
	Subsetted  int64 // published lines that are marked SUBSETTED
	Left       int   // leaves that had no room in Tree
}

// Close frees what the selection holds.
func (s *Selection) Close() error { return nil }

// View is the lines of one type in a part; it is a sinks.Part.
type View struct{}

// Open returns the decoded bytes of the part.
func (v *View) Open() (io.ReadCloser, error) { return nil, errors.ErrUnsupported }

// Lines is how many lines of the type are published.
func (v *View) Lines() int64 { return 0 }

// Bytes is the length of what Open returns.
func (v *View) Bytes() int64 { return 0 }

// Skips yields the numbers of the lines that are not published for the type.
func (v *View) Skips() func(yield func(line int64) bool) { return nil }

// Raw returns the bytes as sent, when all of them are published.
func (v *View) Raw() (open func() (io.ReadCloser, error), encoding string, ok bool) {
	return nil, "", false
}

// WriteQuarantine writes the quarantined lines of the parts as NDJSON objects
// with part, line, offset, reason and the line itself (text, or base64 where it
// is not UTF-8 or too long), and tells how many.
func (r *Run) WriteQuarantine(ctx context.Context, parts []*Part, w io.Writer) (int64, error) {
	return 0, errors.ErrUnsupported
}

// WriteOutcomes writes the OperationOutcome lines of the parts as they came,
// and tells how many.
func (r *Run) WriteOutcomes(ctx context.Context, parts []*Part, w io.Writer) (int64, error) {
	return 0, errors.ErrUnsupported
}
