package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"time"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/sinks"
)

const (
	// kickoffGrace is how long a kick-off that is under way may still take when
	// the run is to stop: an answer is better than not knowing (F16).
	kickoffGrace = 15 * time.Second
	// kickoffPatience is how long a server that is busy is waited for (F15).
	kickoffPatience = 30 * time.Minute
	maxAmbiguous    = 3
)

// request is the export request of the plan.
func (x *execution) request() export.Request {
	e := x.r.Job.Export
	r := export.Request{
		Level: export.Level(e.Level), Group: e.Group,
		Types: x.plan.Types, Since: x.plan.Since, Until: e.Until,
		Elements: e.Elements, TypeFilters: e.TypeFilters, OutputFormat: e.OutputFormat,
		IncludeAssociatedData: e.IncludeAssociatedData, OrganizeOutputBy: e.OrganizeOutputBy,
		AllowPartialManifests: e.AllowPartialManifests,
		Post:                  e.Post, Repeat: e.Repeat, Lenient: e.Lenient,
	}
	for _, id := range e.Patients {
		r.Patients = append(r.Patients, "Patient/"+id)
	}
	if len(e.Extra) > 0 {
		r.Extra = url.Values{}
		for k, v := range e.Extra {
			r.Extra.Set(k, v)
		}
	}
	return r
}

// kickOff has the server begin the export, once (I4): the intent is durable
// before the request goes out, and the status URL before it is first polled.
// An intent without a URL is a kick-off of which nobody knows what became of it.
func (x *execution) kickOff(ctx context.Context) error {
	request, err := x.requestOf(ctx)
	if err != nil {
		return err
	}
	began := x.r.now()
	ambiguous := 0
	var last error // of the kick-off before, in this try
	for attempt := 1; ; attempt++ {
		if !x.run.KickoffIntent.IsZero() {
			if err := x.ambiguous(ctx, last); err != nil {
				return err
			}
			ambiguous++
			if f := tooOften(ambiguous, last); f != nil && x.plan.Leg != legData {
				return errUnable
			} else if f != nil {
				return f
			}
		}
		err := x.update(ctx, func(r *ledger.Run) {
			r.KickoffIntent = x.r.now()
			r.Kickoffs++
		})
		if err != nil {
			return err
		}
		x.step("kick-off intended")

		k, err := x.send(ctx, request)
		last = err
		x.logKickoff(request, k, err)
		if err == nil {
			x.step("kick-off answered")
			return x.accepted(ctx, request, k)
		}
		wait, giveUp := x.refused(ctx, err, attempt)
		if !isAmbiguous(err) {
			if uerr := x.withdraw(ctx, err); uerr != nil {
				return uerr
			}
		}
		if giveUp || x.r.now().Add(wait).Sub(began) > kickoffPatience {
			return fmt.Errorf("kick off export: %w", err)
		}
		x.retried("kick-off")
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// send sends one kick-off. When the run is to stop meanwhile, the answer is
// waited for a little longer.
func (x *execution) send(ctx context.Context, request export.Request) (*export.Kickoff, error) {
	sctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	grace := time.AfterFunc(365*24*time.Hour, func() { cancel(context.Cause(ctx)) })
	defer grace.Stop()
	defer context.AfterFunc(ctx, func() { grace.Reset(kickoffGrace) })()
	return x.bulk.KickOff(sctx, request)
}

// isAmbiguous reports whether nobody knows what became of the kick-off (F16).
func isAmbiguous(err error) bool {
	var a *export.AmbiguousError
	return errors.As(err, &a) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// refused says how long to wait before another kick-off, and whether not to
// send one.
func (x *execution) refused(ctx context.Context, err error, attempt int) (wait time.Duration, giveUp bool) {
	wait = backoff(attempt, rand.Float64(), time.Minute)
	var refused *export.RefusedError
	switch {
	case ctx.Err() != nil:
		return 0, true
	case errors.As(err, &refused):
		return max(wait, refused.RetryAfter), !refused.Temporary()
	case isAmbiguous(err):
		return wait, false
	}
	// Nothing was sent: no connection, no token.
	return wait, classOf(err) != "" || attempt > x.retries()
}

// withdraw records that the kick-off had a complete answer, or was not sent:
// no export runs because of it.
func (x *execution) withdraw(ctx context.Context, err error) error {
	var refused *export.RefusedError
	unsent := !errors.As(err, &refused) && classOf(err) == ""
	return x.update(context.WithoutCancel(ctx), func(r *ledger.Run) {
		r.KickoffIntent = time.Time{}
		if unsent {
			r.Kickoffs--
		}
	})
}

// tooOften says why not to send another kick-off after so many whose answers were
// lost or unclear, the last with the error; nil to send one. What the server explains
// is asked once more, for a gateway may have said it (F16).
func tooOften(ambiguous int, last error) error {
	var a *export.AmbiguousError
	switch {
	case ambiguous > 1 && errors.As(last, &a) && a.Explained():
		return &Failure{
			Text:   "kick-off: the server fails at it each time",
			Advice: "mend what it complains of, in the job or at the server; whether an export runs there all the same, nobody knows",
			Kind:   classServer, Err: last,
		}
	case ambiguous > maxAmbiguous:
		return &Failure{Text: "kick-off: its answer was lost too often", Advice: "check the network to the server and run the job again", Err: last}
	}
	return nil
}

// ambiguous applies the job's policy to a kick-off whose answer never came, or was
// the error last, which may be nil.
func (x *execution) ambiguous(ctx context.Context, last error) error {
	err := x.update(ctx, func(r *ledger.Run) {
		r.KickoffIntent = time.Time{}
		r.Ambiguous++
	})
	if err != nil {
		return err
	}
	if x.r.Job.Policies.AmbiguousKickoff == "stop" {
		return &Failure{
			Text:   "a kick-off was sent and its answer never came, or was unclear: an export may be running at the server",
			Err:    last,
			Advice: "look for it at the server and delete it, then run the job again; policies.ambiguous_kickoff: repeat does so unasked",
			Kind:   classServer,
		}
	}
	x.keep(sinks.Warning{Code: "kickoff-ambiguous", Text: "a kick-off was sent and its answer never came, or was unclear; another one was sent", Count: 1})
	return nil
}

// accepted makes the status URL durable (I4).
func (x *execution) accepted(ctx context.Context, request export.Request, k *export.Kickoff) error {
	x.plan.Ignored = k.Ignored
	x.asked(request, k)
	for _, text := range k.Ignored {
		x.keep(sinks.Warning{Code: "parameter-ignored", Text: text, Count: 1})
	}
	for _, text := range k.Warnings {
		x.keep(sinks.Warning{Code: "kickoff", Text: text, Count: 1})
	}
	err := x.enter(context.WithoutCancel(ctx), KickedOff, func(r *ledger.Run) {
		r.StatusURL = k.StatusURL
		r.KickoffIntent = time.Time{}
		if r.KickoffDate.IsZero() || k.Date.Before(r.KickoffDate) { // of several exports the first
			r.KickoffDate = k.Date
		}
	})
	if err != nil {
		// Nobody will know of this export: do not leave it running.
		dctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), kickoffGrace)
		defer cancel()
		return errors.Join(err, x.bulk.Delete(dctx, k.StatusURL))
	}
	return nil
}

// keep tells a warning and keeps it with the plan, each code and text once: a later
// try of the run would not hear of it again.
func (x *execution) keep(w sinks.Warning) {
	x.mu.Lock()
	known := slices.ContainsFunc(x.plan.Warnings, func(k sinks.Warning) bool { return k.Code == w.Code && k.Text == w.Text })
	if !known {
		x.plan.Warnings = append(x.plan.Warnings, w)
	}
	x.mu.Unlock()
	x.obs.event(Event{Kind: "warning", Code: w.Code, Text: w.Text})
}

const maxRestarts = 2

// restart prepares another export in place of one that the server lost (F22).
func (x *execution) restart(ctx context.Context, lost error) error {
	if x.r.Job.Policies.OnExportLost == "fail" || x.plan.Adopted {
		return lost
	}
	if x.run.Restarts >= maxRestarts {
		return fmt.Errorf("%d exports were lost: %w", x.run.Restarts+1, lost)
	}
	x.keep(sinks.Warning{Code: "export-lost", Text: "the server lost the export; another one was asked for", Count: 1})
	x.plan.startOver()
	return x.forget(ctx, func(r *ledger.Run) {
		r.State = Authorized
		r.Restarts++
		r.StatusURL = "" // the server does not know it: a kick-off may follow (I4)
		r.KickoffDate, r.TransactionTime = time.Time{}, time.Time{}
	})
}

// forget gives up the files listed so far with all that was made of them, and
// changes the run in the same transaction.
func (x *execution) forget(ctx context.Context, f func(*ledger.Run)) error {
	x.plan.Generation++ // first: what is left of their parts is never taken for new ones
	run, err := x.r.Ledger.Unlist(ctx, x.id, nil, func(r *ledger.Run) {
		r.Plan = x.plan.encode()
		f(r)
	})
	if err != nil {
		return err
	}
	x.run = run
	x.obs.enter(run.State)
	x.step("files forgotten")
	if err := x.spool.Clear(); err != nil {
		return err
	}
	if err := x.stage.Discard(ctx); err != nil {
		return fmt.Errorf("discard staging: %w", err)
	}
	if x.stage, err = x.r.Store.Stage(ctx, x.r.Job.Name, x.id); err != nil {
		return fmt.Errorf("open staging: %w", err)
	}
	return nil
}

func (x *execution) retries() int {
	if n := x.r.Server.Limits.Retries; n > 0 {
		return n
	}
	return 5
}
