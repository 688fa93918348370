package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/sinks"
)

const (
	defaultResumeWithin = 20 * time.Hour
	// defaultDetachedWithin suits the servers that work for weeks (F24).
	defaultDetachedWithin = 30 * 24 * time.Hour
	// orphanAge is how old a folder of a run must be that the ledger does not
	// know, before it is swept.
	orphanAge = 7 * 24 * time.Hour
	// pruneAfter is how long the ledger keeps the files of ended runs.
	pruneAfter = 30 * 24 * time.Hour
	// deleteWithin is how long after its end the DELETE of a run's export is tried
	// again by later runs.
	deleteWithin = 24 * time.Hour
)

// takeUp finds the run to go on with, or begins a new one; what is left of the
// others is cleaned up. When the run to go on with turns out to be published,
// its manifest is returned: only the note of it was missing. The job is locked.
func (r *Runner) takeUp(ctx context.Context, o Options, lock *ledger.Lock) (*execution, *sinks.Manifest, error) {
	g, err := r.ground(ctx)
	if err != nil {
		return nil, nil, err
	}
	runs, err := r.Ledger.Unfinished(ctx, r.Job.Name)
	if err != nil {
		return nil, nil, err
	}

	if err := o.Adopt.among(runs); err != nil {
		return nil, nil, err
	}
	var chosen *execution
	var done *sinks.Manifest
	for i, run := range runs {
		x := r.newExecution(o, run)
		if run.State.Terminal() {
			x.deleteExport(ctx)
			continue
		}
		m, err := r.Store.Published(ctx, run.Job, run.ID)
		if err != nil {
			return nil, nil, fmt.Errorf("look for snapshot of the run: %w", err)
		}
		if m != nil {
			// The crash came between the rename and the note of it.
			if err := x.finish(ctx, m); err != nil {
				return nil, nil, err
			}
			if g, err = r.ground(ctx); err != nil {
				return nil, nil, err
			}
			// What another plan asks for, or a full run in place of a delta, is still to be
			// done, whatever was published.
			same := run.Fingerprint == planFingerprint(r.request(), r.Job, x.plan.Latest, x.plan.Override) && !(o.Full && m.Kind != sinks.Full)
			if chosen == nil && i == 0 && !o.Fresh && same && r.now().Sub(run.Started) < r.resumeWithin(x.plan) {
				chosen, done = x, m
				chosen.resumed = true
			}
			continue
		}
		if chosen == nil && i == 0 {
			why := x.unfit(g)
			if why == "" {
				if _, err = decodePlan(run.Plan); err != nil {
					return nil, nil, err
				}
				chosen = x
				continue
			}
			if o.Adopt != nil && run.StatusURL == o.Adopt.StatusURL { // to give the run up would delete the very export
				return nil, nil, &Failure{Text: "run " + run.ID + " has taken over this export and cannot go on: " + why, Kind: classUsage}
			}
			r.log().Info("run is not taken up again", "run", run.ID, "reason", why)
		}
		if err := x.drop(ctx, Abandoned); err != nil {
			return nil, nil, err
		}
	}
	if chosen != nil && done != nil {
		if err := r.sweep(ctx, ""); err != nil { // the next run tries again; this one is published
			r.log().Warn("clean up behind a published run", "run", chosen.run.ID, "error", err)
		}
		return chosen, done, nil
	}

	if chosen == nil {
		run, err := r.begin(ctx, o, g)
		if err != nil {
			return nil, nil, err
		}
		chosen = r.newExecution(o, run)
	} else {
		chosen.resumed = true
		if o.Adopt != nil {
			chosen.plan.Trusted = chosen.plan.Trusted || o.Adopt.Trust
		}
		if err := chosen.update(ctx, func(run *ledger.Run) {
			if o.Adopt != nil && chosen.plan.Adopted && !o.Adopt.KickedOff.IsZero() { // the server's word on a kick-off of flue's own stays
				run.KickoffDate = o.Adopt.KickedOff
			}
			run.State = Planned
			run.Resumes++
			run.Error, run.Class, run.Hint, run.Ended = "", "", "", time.Time{}
			run.CancelRequested = false
		}); err != nil {
			return chosen, nil, err
		}
		chosen.obs.event(Event{Kind: "resume", Text: "taking up run " + chosen.run.ID + " again, which was " + string(chosen.run.Phase)})
	}
	chosen.ground = g
	if err := lock.Tell(chosen.run.ID); err != nil {
		return chosen, nil, err
	}
	chosen.obs.enter(Planned)
	chosen.step("state planned")
	return chosen, nil, r.sweep(ctx, chosen.run.ID)
}

// unfit says why a failed or crashed run is not taken up again; "" when it is.
func (x *execution) unfit(g ground) string {
	r, run, o := x.r, x.run, x.o
	age := r.now().Sub(run.Started)
	limit := r.Job.Policies.MaxDuration
	switch {
	case o.Fresh:
		return "a fresh run was asked for"
	case o.Full && run.Kind != string(sinks.Full):
		return "a full run was asked for"
	case run.CancelRequested:
		return "it was cancelled"
	case run.Fingerprint != r.planFingerprint(g), run.Kind == string(sinks.Delta) && g.gone != "":
		return "the job or what it rests on has changed"
	case age < 0:
		return "it began in the future: a clock was changed"
	case age >= r.resumeWithin(x.plan):
		return "it is older than resume_within, or detached_within, allows"
	case limit > 0 && x.spent() >= limit:
		return "it took longer than max_duration"
	case run.State == Failed && !resumable(run):
		return "it failed for a reason that does not pass"
	}
	return ""
}

// resumeWithin is how old a run may be that is taken up again: longer where a
// person left its export to the server.
func (r *Runner) resumeWithin(p plan) time.Duration {
	if p.Detached || p.Adopted {
		if d := r.Job.Policies.DetachedWithin; d > 0 {
			return d
		}
		return defaultDetachedWithin
	}
	if d := r.Job.Policies.ResumeWithin; d > 0 {
		return d
	}
	return defaultResumeWithin
}

// spent is how much of max_duration is over: of a run whose export was left to the
// server, or taken over, what this try took.
func (x *execution) spent() time.Duration {
	since := x.run.Started
	if x.plan.Detached || x.plan.Adopted {
		since = x.began
	}
	return x.r.now().Sub(since)
}

func (r *Runner) planFingerprint(g ground) string {
	return planFingerprint(r.request(), r.Job, g.name(), g.made())
}

// begin records a new run.
func (r *Runner) begin(ctx context.Context, o Options, g ground) (ledger.Run, error) {
	now := r.now()
	trigger := o.Trigger
	if trigger == "" {
		trigger = "manual"
	}
	p := r.decide(g, o, r.Job.Export.Types, now)
	begun := ledger.Run{
		ID: ledger.NewID(now), Job: r.Job.Name, Fingerprint: r.planFingerprint(g),
		Kind: string(p.Kind), Plan: p.encode(), Trigger: trigger, Due: o.Due, Started: now, Stats: "{}",
	}
	if o.Adopt != nil {
		r.adopt(o.Adopt, &begun, g.latest)
	}
	return r.Ledger.Begin(ctx, begun)
}

func (r *Runner) decide(g ground, o Options, types []string, now time.Time) plan {
	names := make([]string, 0, len(r.Sinks))
	for _, s := range r.Sinks {
		names = append(names, s.Name())
	}
	p := decide(known{
		Export: r.Job.Export, FullEvery: r.Job.Policies.FullEvery, Types: types, Sinks: names,
		Request: r.request(),
		Latest:  g.latest, Gone: g.gone, Override: g.override, Full: o.Full, Tracked: r.tracks(types), Now: now,
	})
	p.AdHoc, p.Server, p.Destination = o.AdHoc, r.Server.URL, r.Job.Destination.Path
	return p
}

// sweep removes what dead runs left in the spool and in the destination.
func (r *Runner) sweep(ctx context.Context, keep string) error {
	now := r.now()
	if err := r.forsake(ctx); err != nil { // the next run tries again
		r.log().Warn("give up runs of jobs that are not configured", "error", err)
	}
	var failed error
	err := r.Spool.Sweep(func(name string) bool {
		if name == keep || failed != nil {
			return true
		}
		run, err := r.Ledger.Run(ctx, name)
		switch {
		case err == nil:
			// Those of other jobs may be running or resumable.
			return !run.State.Terminal()
		case !errors.Is(err, ledger.ErrNotFound):
			failed = err
			return true
		}
		// Another ledger may share the folder: only what is old is an orphan.
		began, ok := ledger.IDTime(name)
		return !ok || now.Sub(began) < orphanAge
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	if err := r.Store.Sweep(ctx, r.Job.Name, keep); err != nil {
		return fmt.Errorf("sweep stagings: %w", err)
	}
	return r.Ledger.Prune(ctx, now.Add(-pruneAfter))
}

// drop ends a run for good, as cancelled or abandoned: its export is deleted at
// the server, what it landed and staged is removed.
func (x *execution) drop(ctx context.Context, s State) error {
	if err := x.enter(ctx, s, func(run *ledger.Run) { run.Ended = x.r.now() }); err != nil {
		return err
	}
	x.deleteExport(ctx)
	landed, err := x.r.Spool.Run(x.id)
	if err == nil {
		err = landed.Remove()
	}
	if err != nil {
		return err
	}
	return x.discard(ctx)
}

// deleteExport deletes the run's export at the server and forgets its status
// URL (P27). A failure is only a warning; later runs of the job try again for a
// day after this one has ended.
func (x *execution) deleteExport(ctx context.Context) {
	if x.run.StatusURL == "" {
		return
	}
	if x.bulk != nil {
		dctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := x.bulk.Delete(dctx, x.run.StatusURL)
		cancel()
		x.step("delete")
		if err != nil {
			x.warn("export-not-deleted", "the export could not be deleted at the server", 1)
			x.r.log().Warn("delete export", "run", x.id, "error", err)
			if ended := x.run.Ended; ended.IsZero() || x.r.now().Sub(ended) < deleteWithin {
				return
			}
		}
	}
	run, err := x.r.Ledger.Update(ctx, x.id, func(r *ledger.Run) { r.StatusURL = "" })
	if err != nil {
		x.r.log().Warn("forget status URL", "run", x.id, "error", err)
		return
	}
	x.run = run
}
