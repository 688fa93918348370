package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/sinks"
)

// Adoption is an export that something else started and that a run takes over:
// from then on it is deleted at the server like one of its own.
type Adoption struct {
	StatusURL string // a secret (I6)
	// KickedOff is when the export was asked for, as a person knows it. Without it
	// the transaction time alone is believed only of an export that was seen to run
	// after it: otherwise it may be that of the end (P28), and no watermark moves.
	KickedOff time.Time
	// Trust takes a person's word that the export was asked for as the job asks, for
	// everything, where the server does not repeat the request. No watermark moves
	// then (I2).
	Trust bool

	running time.Time // when the server said that the export runs; zero: it did not
}

// inspect checks the adoption and asks the server once how the export stands. What
// does not answer as an export does is none: a DELETE must never go to it.
func (r *Runner) inspect(ctx context.Context, a Adoption) (Adoption, error) {
	if a.KickedOff.After(r.now()) {
		return a, &Failure{Text: "the kick-off lies in the future", Kind: classUsage}
	}
	status, err := r.Bulk.AdoptURL(a.StatusURL, r.Server.Origins)
	if err != nil {
		return a, &Failure{Text: "the export cannot be taken over", Err: err, Kind: classUsage, Advice: "give the Content-Location that the kick-off was answered with, at the server of the job"}
	}
	a.StatusURL = status
	if err := r.others(ctx, status); err != nil {
		return a, err
	}
	m, _, err := r.Bulk.Status(ctx, status)
	if err != nil {
		return a, fmt.Errorf("take over export: %w", err)
	}
	if m == nil {
		a.running = r.now()
	}
	return a, nil
}

// others refuses the export of a run of another job: whoever ends first deletes it
// under the other one, which then asks for another (I4).
func (r *Runner) others(ctx context.Context, statusURL string) error {
	runs, err := r.Ledger.Unfinished(ctx, "")
	if err != nil {
		return err
	}
	for _, run := range runs {
		if run.Job != r.Job.Name && run.StatusURL == statusURL {
			return &Failure{
				Text:   "the export is that of run " + run.ID + " of job " + run.Job,
				Advice: "run that job to end it, or give its run up with flue cancel " + run.ID + ", which deletes the export",
				Kind:   classUsage,
			}
		}
	}
	return nil
}

// among refuses an adoption that would cost another export of the job: runs are
// those that are not over, or whose export may still be there.
func (a *Adoption) among(runs []ledger.Run) error {
	if a == nil {
		return nil
	}
	for i, run := range runs {
		own := run.StatusURL == a.StatusURL
		switch {
		case own && run.State.Terminal():
			return &Failure{Text: "the export was that of run " + run.ID + ", which is " + string(run.State), Kind: classUsage}
		case own && i == 0 || run.State.Terminal():
		case !own && run.State == Failed && !resumable(run):
		default:
			return &Failure{
				Text:   "run " + run.ID + " of the job is not over",
				Advice: "run the job to end it, or give it up with flue cancel " + run.ID,
				Kind:   classUsage,
			}
		}
	}
	return nil
}

// adopt makes the run that is about to begin one that waits for the export. What it
// is to publish is known when the server repeats the request.
func (r *Runner) adopt(a *Adoption, run *ledger.Run, latest *sinks.Manifest) {
	p := r.decide(ground{latest: latest}, Options{Full: true}, r.Job.Export.Types, r.now())
	p.Adopted, p.Trusted, p.Running = true, a.Trust, a.running
	p.Tracked, p.Leg = false, legData // who was in the group then is not known
	run.Kind, run.Plan = string(p.Kind), p.encode()
	run.StatusURL, run.KickoffDate = a.StatusURL, a.KickedOff
}

// recognize holds what the server says was asked for against the job (I2, I9) and
// decides what the snapshot is: full when everything was asked for, a delta when
// what was asked for follows on the latest snapshot without a gap. Anything else is
// refused, and the export stays at the server.
func (x *execution) recognize(ctx context.Context, m *export.Manifest) error {
	said := m.Compare(x.bulk.Base, x.request())
	switch {
	case len(said.Differs) > 0:
		return x.disown(ctx, "it was not asked for as the job asks: other are "+strings.Join(said.Differs, ", "),
			"make a job that asks as the export was asked for, and adopt it for that one")
	case !said.Known && !x.plan.Trusted:
		return x.disown(ctx, "the server does not repeat how it was asked for, or repeats it with another base URL than the job's",
			"where you know that it asks for everything as the job does, say so with --trust-request")
	case x.latest != nil && x.latest.TransactionTime != nil && m.TransactionTime.Before(*x.latest.TransactionTime):
		return x.disown(ctx, "it is older than the latest snapshot of the job", "run the job instead")
	}
	full := x.r.decide(ground{latest: x.latest}, Options{Full: true}, x.plan.Types, x.run.Started)
	p := full
	if said.Known && !said.Since.Equal(full.Since.Truncate(time.Millisecond)) {
		p = x.r.decide(ground{latest: x.latest, gone: x.gone}, Options{}, x.plan.Types, x.run.Started)
		if p.Kind != sinks.Delta || said.Since.IsZero() || said.Since.After(p.Since) {
			return x.disown(ctx, "it asks for changes since an instant that no snapshot of the job reaches up to",
				"run the job instead: what changed before would be missing")
		}
		p.Since = said.Since
	}
	x.plan.Kind, x.plan.Base, x.plan.Previous, x.plan.BaseTime = p.Kind, p.Base, p.Previous, p.BaseTime
	x.plan.Since, x.plan.Earlier, x.plan.Latest = p.Since, p.Earlier, p.Latest
	x.plan.Reason = "something else asked for the export"
	x.plan.Shown, x.plan.Reported = said.Known, m.Request
	if x.plan.Relists == 0 && !x.dated(m.TransactionTime) {
		x.keep(sinks.Warning{Code: "watermark-held", Count: 1, Text: "an adopted export of which nobody knows for certain what was asked for, or when, moves no watermark"})
	}
	return nil
}

// disown gives an export back that cannot be published: it is not deleted at the
// server, and the run has failed for good.
func (x *execution) disown(ctx context.Context, why, advice string) error {
	f := &Failure{Text: "the export cannot be taken over: " + why, Advice: advice, Kind: classUsage}
	err := x.update(context.WithoutCancel(ctx), func(r *ledger.Run) {
		r.State, r.StatusURL, r.Ended = Failed, "", x.r.now()
		r.Error, r.Class, r.Hint = f.Text, f.Kind, f.Advice
	})
	if err != nil {
		return errors.Join(f, err)
	}
	return f
}

// mark is the watermark that the run comes to: none for an export of which nobody
// can say what was asked for, or when (I2, P28).
func (x *execution) mark() time.Time {
	run, e := x.run, x.r.Job.Export
	if x.plan.Adopted && !x.dated(run.TransactionTime) {
		return time.Time{}
	}
	return mark(run.TransactionTime, run.KickoffDate, run.Started, e.Until, x.r.Job.Policies.Overlap)
}

// dated reports whether it is certain what an adopted export was asked for, and when:
// a person says so, or it was seen to run when its transaction time was over for longer
// than clocks differ.
func (x *execution) dated(transaction time.Time) bool {
	overlap := cmp.Or(x.r.Job.Policies.Overlap, defaultOverlap)
	return x.plan.Shown && (!x.run.KickoffDate.IsZero() ||
		!transaction.IsZero() && transaction.Before(x.plan.Running.Add(-overlap)))
}
