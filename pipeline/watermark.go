package pipeline

import (
	"context"
	"fmt"
	"time"
)

// Watermarks is what the next run of a job knows of earlier ones.
type Watermarks struct {
	Snapshot string               // the published snapshot that they are from; "" when there is none
	Marks    map[string]time.Time // by type; "*" stands for types that the job does not name
	Override *time.Time           // a person's word for the next run; zero: make it full
	Next     string               // what the next run would be, and why: for people
}

// Watermarks reads the watermarks of the job's latest snapshot (I2) and the
// override for its next run.
func (r *Runner) Watermarks(ctx context.Context) (Watermarks, error) {
	g, err := r.ground(ctx)
	if err != nil {
		return Watermarks{}, err
	}
	var w Watermarks
	if m := g.latest; m != nil {
		w.Snapshot, w.Marks = m.Name, m.Watermarks
	}
	if o := g.override; o != nil {
		w.Override = &o.Mark
	}
	w.Next = r.decide(g, Options{}, r.Job.Export.Types, r.now()).describe()
	return w, nil
}

// describe says what the run asks for, and why.
func (p plan) describe() string {
	if p.Since.IsZero() {
		return "full: " + p.Reason
	}
	return fmt.Sprintf("%s, since %s: %s", p.Kind, p.Since.UTC().Format(time.RFC3339), p.Reason)
}

// SetWatermark makes the next run ask for what has changed since t. It holds
// until a run that heeded it is published.
func (r *Runner) SetWatermark(ctx context.Context, t time.Time) error {
	switch {
	case t.IsZero():
		return &Failure{Text: "a watermark needs an instant", Kind: classUsage}
	case t.After(r.now()):
		return &Failure{Text: "the watermark lies in the future", Advice: "what changes until then would never be asked for", Kind: classUsage}
	case !r.Job.Export.Since.Last:
		return r.noWatermark()
	}
	_, err := r.Ledger.SetOverride(ctx, r.Job.Name, t)
	return err
}

// ClearWatermark makes the next run full.
func (r *Runner) ClearWatermark(ctx context.Context) error {
	if !r.Job.Export.Since.Last {
		return r.noWatermark()
	}
	_, err := r.Ledger.SetOverride(ctx, r.Job.Name, time.Time{})
	return err
}

func (r *Runner) noWatermark() error {
	return &Failure{Text: "the job does not use watermarks", Advice: "set since: last in the job's export", Kind: classUsage}
}
