package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/flue-fhir/flue/sinks"
)

// hold keeps every other process from publishing for the job (I10), also those
// that the ledger's lock does not reach, because they have another state folder.
// The caller holds the ledger's lock.
func (r *Runner) hold(ctx context.Context) (io.Closer, error) {
	place, ok := r.Store.(sinks.Locker)
	if !ok {
		return io.NopCloser(nil), nil
	}
	lock, err := place.Lock(ctx, r.Job.Name)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		// What another process publishes meanwhile is found before publication.
		r.log().Warn("the destination cannot be locked: run its jobs with one state folder only", "job", r.Job.Name, "error", err)
		return io.NopCloser(nil), nil
	case err != nil:
		return nil, fmt.Errorf("hold destination: %w", err)
	}
	return lock, nil
}

// unmoved fails when latest is not the snapshot any more that the run was planned
// on: a delta would rest on what nobody promises to keep (I10).
func (x *execution) unmoved(ctx context.Context) error {
	latest, err := x.r.Store.Latest(ctx, x.r.Job.Name)
	if err != nil {
		return fmt.Errorf("read latest snapshot: %w", err)
	}
	if (ground{latest: latest}).name() == x.plan.Latest {
		return nil
	}
	return &Failure{
		Text:   "latest was moved while the run was going on, nothing is published",
		Advice: "run the job again: it starts anew from there; let only one configuration run the jobs of a destination",
	}
}
