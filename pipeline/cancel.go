package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flue-fhir/flue/pipeline/ledger"
)

// Cancel ends a run of the job for good: one that another process runs right
// now, or one that could be resumed. The export is deleted at the server. A run
// that has come to its end is an error.
func (r *Runner) Cancel(ctx context.Context, id string) error {
	run, err := r.Ledger.Run(ctx, id)
	if err != nil {
		return err
	}
	if run.Job != r.Job.Name {
		return &Failure{Text: "the run is of another job: " + run.Job, Kind: classUsage}
	}
	for asked := false; ; {
		lock, err := r.Ledger.Lock(ctx, run.Job)
		var held *ledger.HeldError
		switch {
		case err == nil:
			err = r.cancelLocked(ctx, id, asked)
			return errors.Join(err, lock.Close())
		case !errors.As(err, &held):
			return err
		case !asked:
			if held.Holder.Run != "" && held.Holder.Run != id && !run.State.Terminal() {
				return err // another run of the job goes on: it takes care of this one
			}
			run, err := r.Ledger.Update(ctx, id, func(run *ledger.Run) { run.CancelRequested = true })
			if err != nil {
				return err
			}
			if run.State.Terminal() {
				return ended(run)
			}
			asked = true
		}
		// The process that runs it heeds the request within seconds.
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("wait for the run to stop: %w", err)
		}
	}
}

func (r *Runner) cancelLocked(ctx context.Context, id string, asked bool) (err error) {
	place, err := r.hold(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, place.Close()) }()
	run, err := r.Ledger.Run(ctx, id)
	if err != nil {
		return err
	}
	if run.State == Cancelled && asked {
		return nil
	}
	if run.State.Terminal() {
		return ended(run)
	}
	m, err := r.Store.Published(ctx, run.Job, id)
	if err != nil {
		return fmt.Errorf("look for snapshot of the run: %w", err)
	}
	x := r.newExecution(Options{}, run)
	if m != nil {
		if err := x.finish(ctx, m); err != nil {
			return err
		}
		return ended(x.run)
	}
	return x.drop(ctx, Cancelled)
}

func ended(run ledger.Run) error {
	return &Failure{Text: "the run is " + string(run.State) + " already", Kind: classUsage}
}
