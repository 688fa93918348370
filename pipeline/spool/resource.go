package spool

import (
	"context"
	"errors"
	"fmt"

	"github.com/flue-fhir/flue/internal/fhirjson"
)

// ResourceLine is a line that is a resource, and where it stands: line counts from
// 0, blank ones included, offset is that of its first byte in the decoded body.
type ResourceLine struct {
	Number, Offset int64
	Text           []byte // valid until yield returns
}

// EachResource calls yield with each line of the part that is a resource, in their
// order: no line that was quarantined when the part landed, no OperationOutcome
// and no header of a block. It ends with yield's error.
func (p *Part) EachResource(ctx context.Context, yield func(ResourceLine) error) (err error) {
	body, err := p.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	lines := fhirjson.NewReader(body, p.spool.maxLine())
	var failed error
	err = p.eachRecord(ctx, func(r *record) bool {
		text, err := lines.Next()
		var long *fhirjson.TooLongError
		switch {
		case err != nil && !errors.As(err, &long):
			failed = fmt.Errorf("read part: %w", err)
		case lines.Number() != r.line:
			failed = p.damaged(errChunk)
		case r.kind == resourceLine && err != nil:
			failed = fmt.Errorf("read part: %w", err) // the limit was lowered since it landed
		case r.kind == resourceLine:
			failed = yield(ResourceLine{Number: r.line, Offset: lines.Offset(), Text: text})
		}
		return failed == nil
	})
	return errors.Join(failed, err)
}
