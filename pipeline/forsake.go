package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/flue-fhir/flue/pipeline/ledger"
)

// forsake gives up the runs of jobs that the configuration does not have any more:
// no run of theirs comes to take them up, and what they landed are patients' data.
// Since another configuration may share the ledger, they have to be old.
func (r *Runner) forsake(ctx context.Context) error {
	if r.Jobs == nil {
		return nil
	}
	runs, err := r.Ledger.Unfinished(ctx, "")
	if err != nil {
		return err
	}
	for _, run := range runs {
		if run.Job == r.Job.Name || slices.Contains(r.Jobs, run.Job) {
			continue
		}
		x := r.newExecution(Options{}, run)
		if r.now().Sub(run.Started) < max(orphanAge, r.resumeWithin(x.plan)) {
			continue
		}
		lock, err := r.Ledger.Lock(ctx, run.Job)
		var held *ledger.HeldError
		if errors.As(err, &held) {
			continue
		}
		if err == nil {
			err = errors.Join(x.forsake(ctx), lock.Close())
		}
		if err != nil {
			return fmt.Errorf("give up run %s: %w", run.ID, err)
		}
	}
	return nil
}

func (x *execution) forsake(ctx context.Context) error {
	if x.plan.Server != x.r.Server.URL {
		x.bulk = nil // nobody can ask the other server to delete the export
	}
	if x.run.State.Terminal() {
		x.deleteExport(ctx)
		return nil
	}
	x.r.log().Info("run is given up: the configuration does not have its job", "run", x.id, "job", x.run.Job)
	return x.drop(ctx, Abandoned)
}

// discard removes the staging of a run that nobody goes on with, where the run had
// it: its job may have had another destination then.
func (x *execution) discard(ctx context.Context) error {
	store := x.r.Store
	place := x.plan.Destination
	moved := place != "" && place != x.r.Job.Destination.Path && x.r.Elsewhere != nil
	if moved {
		store = x.r.Elsewhere(place)
	}
	err := store.Discard(ctx, x.run.Job, x.id)
	if err != nil && moved { // which must not keep the job from its new one
		x.warn("staging-left", "what run "+x.id+" had staged in "+place+" could not be removed", 1)
		x.r.log().Warn("discard staging", "run", x.id, "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("discard staging: %w", err)
	}
	return nil
}
