package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/sinks"
)

// ground is what the plan of a run rests on.
type ground struct {
	latest   *sinks.Manifest  // nil when nothing is published
	gone     string           // a snapshot of latest's chain that is not there; "" when all are
	override *ledger.Override // a person's word about the watermark; nil when there is none
}

func (r *Runner) ground(ctx context.Context) (g ground, err error) {
	if g.latest, err = r.Store.Latest(ctx, r.Job.Name); err != nil {
		return g, fmt.Errorf("read latest snapshot: %w", err)
	}
	if g.gone, err = r.missingBelow(ctx, g.latest); err != nil {
		return g, err
	}
	o, ok, err := r.Ledger.Override(ctx, r.Job.Name)
	if err == nil && ok {
		g.override = &o
	}
	return g, err
}

// missingBelow names a snapshot that m rests on and that is not there, or cannot
// be read: a delta behind m could not be put together with the others.
func (r *Runner) missingBelow(ctx context.Context, m *sinks.Manifest) (string, error) {
	for m != nil && m.Kind == sinks.Delta && m.Previous != "" {
		before, err := r.Store.Snapshot(ctx, r.Job.Name, m.Previous)
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if err != nil || before == nil || before.Name >= m.Name { // names sort by time: a chain has an end
			return m.Previous, nil
		}
		m = before
	}
	return "", nil
}

// name is that of the latest snapshot, "" when there is none.
func (g ground) name() string {
	if g.latest == nil {
		return ""
	}
	return g.latest.Name
}

// made is when the override was, zero when there is none.
func (g ground) made() time.Time {
	if g.override == nil {
		return time.Time{}
	}
	return g.override.Made
}
