package pipeline

import (
	"context"
	"errors"
	"time"
)

var errUnfinished = errors.New("pipeline: not there yet")

// Run runs the job once: it takes up a run that failed or crashed where that is
// right, and starts a new one otherwise. The Summary is filled in failure too.
// When ctx ends, the run stops as failed and can be resumed.
func (r *Runner) Run(ctx context.Context, o Options) (*Summary, error) { return nil, errUnfinished }

// Cancel ends a run of the job for good: one that another process runs right
// now, or one that could be resumed. The export is deleted at the server.
func (r *Runner) Cancel(ctx context.Context, run string) error { return errUnfinished }

// Finding is the result of one check.
type Finding struct {
	Name string // authorization, server, destination, spool, plan
	Text string // what was found, for people
	Err  error  // may have a Hint
}

// Check looks at everything that a run needs, without asking for data: token
// and scopes, the server's FHIR version, the destination, the spool, and what
// the next run would ask for. each is called as a check ends.
func (r *Runner) Check(ctx context.Context, each func(Finding)) { each(Finding{Err: errUnfinished}) }

// Watermarks is what the next run of a job knows of earlier ones.
type Watermarks struct {
	Snapshot string               // the published snapshot that they are from; "" when there is none
	Marks    map[string]time.Time // by type; "*" stands for types that the job does not name
	Override *time.Time           // a person's word for the next run; zero: make it full
}

// Watermarks reads the watermarks of the job's latest snapshot (I2) and the
// override for its next run.
func (r *Runner) Watermarks(ctx context.Context) (Watermarks, error) {
	return Watermarks{}, errUnfinished
}

// SetWatermark makes the next run ask for what has changed since t.
func (r *Runner) SetWatermark(ctx context.Context, t time.Time) error { return errUnfinished }

// ClearWatermark makes the next run full.
func (r *Runner) ClearWatermark(ctx context.Context) error { return errUnfinished }
