package pipeline

import (
	"context"
	"errors"

	"github.com/flue-fhir/flue/pipeline/ledger"
)

// errDetached ends a try whose export goes on at the server, as it was told to.
var errDetached = errors.New("the export was left running at the server")

// detach leaves the export to the server: its status URL is durable (I4), and the
// next run of the job goes on with it.
func (x *execution) detach(ctx context.Context) error {
	x.plan.Detached = true
	if err := x.update(ctx, func(*ledger.Run) {}); err != nil {
		return err
	}
	x.step("detached")
	return errDetached
}

// attended refuses what needs an export in the other modes, and looks at the export
// that is to be taken over before anything is made of it.
func (r *Runner) attended(ctx context.Context, o *Options) error {
	if (o.Detach || o.Adopt != nil) && r.Job.Export.Mode != "bulk" {
		return &Failure{Text: "the job has no export that a server works at by itself", Advice: "this needs a job of mode bulk", Kind: classUsage}
	}
	if o.Adopt == nil {
		return nil
	}
	a, err := r.inspect(ctx, *o.Adopt)
	o.Adopt = &a
	return err
}
