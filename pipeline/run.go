package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/export/search"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
)

// Run runs the job once: it takes up a run that failed or crashed where that is
// right, and starts a new one otherwise. The Summary is filled in failure too.
// When ctx ends, the run stops as failed and can be resumed.
func (r *Runner) Run(ctx context.Context, o Options) (*Summary, error) {
	sum := &Summary{Job: r.Job.Name}
	lock, err := r.Ledger.Lock(ctx, r.Job.Name)
	if err != nil {
		return sum.fail(err), err
	}
	place, err := r.hold(ctx)
	if err == nil {
		err = r.runLocked(ctx, o, lock, sum)
		if cerr := place.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("release destination: %w", cerr)
		}
	}
	if cerr := lock.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("release job: %w", cerr)
	}
	if err != nil {
		return sum.fail(err), err
	}
	return sum, nil
}

func (r *Runner) runLocked(ctx context.Context, o Options, lock *ledger.Lock, sum *Summary) error {
	if err := r.attended(ctx, &o); err != nil {
		return err
	}
	x, done, err := r.takeUp(ctx, o, lock)
	if x == nil {
		return err
	}
	sum.Run, sum.Resumed = x.id, x.resumed
	if err == nil && done == nil {
		done, err = x.execute(ctx)
	}
	if errors.Is(err, errDetached) {
		sum.State, sum.Detached = x.run.State, true
		return nil
	}
	if err != nil && ctx.Err() != nil {
		// What failed was cut short: the reason is why.
		err = context.Cause(ctx)
	}
	x.settle(ctx, err)
	if x.spool != nil {
		_ = x.spool.Close() // what it holds is durable
	}
	sum.State, sum.Location = x.run.State, x.run.Location
	sum.Manifest, sum.Deleted = done, x.deleted
	return err
}

func (s *Summary) fail(err error) *Summary {
	s.Error, s.Hint = err.Error(), hintOf(err)
	if s.State == "" {
		s.State = Failed
	}
	return s
}

// execution is one try of a run, by this process.
type execution struct {
	r  *Runner
	o  Options
	id string // of the run, for goroutines that run beside update
	ground
	resumed bool
	began   time.Time // of this try

	// mu guards run and plan where several goroutines run: those that land. The
	// others read them while nobody else changes them.
	mu   sync.Mutex
	run  ledger.Run
	plan plan

	spool  *spool.Run
	stage  sinks.Staging
	bulk   *export.Client
	search *search.Client
	obs    *observer
	before stats // of earlier tries
	tokens int64 // received before this try
	meter  meter

	repairs int      // damaged parts that this try fetched again
	deleted []string // snapshots that retention let go

	attachments *sinks.Attachments // what came of them; nil when there are none to fetch

	warnMu   sync.Mutex
	warnings []sinks.Warning
}

// stats are the figures of all tries of a run that ended properly.
type stats struct {
	Tokens    int64   `json:"tokens,omitempty"`
	Requests  int64   `json:"requests,omitempty"`
	Retries   int64   `json:"retries,omitempty"`
	BytesRead int64   `json:"bytesRead,omitempty"`
	Seconds   float64 `json:"seconds,omitempty"`
}

// meter counts what this try does.
type meter struct {
	requests, retries, bytes atomic.Int64
}

// newExecution prepares a try of the run; nothing is asked of the server yet.
func (r *Runner) newExecution(o Options, run ledger.Run) *execution {
	x := &execution{r: r, o: o, id: run.ID, run: run, began: r.now()}
	x.obs = &observer{tell: r.Observe, now: r.now, job: run.Job, run: run.ID, state: run.State}
	if r.Auth != nil {
		x.tokens = r.Auth.Tokens()
	}
	if run.Stats != "" {
		_ = json.Unmarshal([]byte(run.Stats), &x.before) // unreadable figures count as none
	}
	// An unreadable plan is an error where it is needed: when the run goes on.
	x.plan, _ = decodePlan(run.Plan)
	retry := func(also func(string)) func(string) {
		return func(reason string) {
			x.retried(reason)
			if also != nil {
				also(reason)
			}
		}
	}
	if c := r.Bulk; c != nil {
		x.bulk = &export.Client{
			Base: c.Base, HTTP: x.metered(c.HTTP), Bare: x.metered(c.Bare), Fresh: x.metered(c.Fresh),
			AllowHTTP: c.AllowHTTP, Limits: c.Limits, Retries: c.Retries, Idle: c.Idle, Log: c.Log, OnRetry: retry(c.OnRetry),
		}
	}
	if c := r.Search; c != nil {
		x.search = &search.Client{
			Base: c.Base, HTTP: x.metered(c.HTTP), AllowHTTP: c.AllowHTTP, Count: c.Count, Retries: c.Retries,
			MaxPages: c.MaxPages, MaxPage: c.MaxPage, Idle: c.Idle, Log: c.Log, OnRetry: retry(c.OnRetry),
		}
	}
	return x
}

// metered returns a copy of the client that counts its requests.
func (x *execution) metered(c *http.Client) *http.Client {
	if c == nil {
		return nil
	}
	counted := *c
	next := counted.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	counted.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
		x.meter.requests.Add(1)
		return next.RoundTrip(req)
	})
	return &counted
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (x *execution) retried(reason string) {
	x.meter.retries.Add(1)
	x.obs.count(func(p *Progress) { p.Retries++ })
	x.obs.event(Event{Kind: "retry", Text: reason})
}

// stats returns the figures so far, earlier tries included.
func (x *execution) stats() stats {
	s := x.before
	s.Tokens += x.tokensUsed()
	s.Requests += x.meter.requests.Load()
	s.Retries += x.meter.retries.Load()
	s.BytesRead += x.meter.bytes.Load()
	s.Seconds += x.r.now().Sub(x.began).Seconds()
	return s
}

// tokensUsed is how many access tokens this try received.
func (x *execution) tokensUsed() int64 {
	if x.r.Auth == nil {
		return 0
	}
	return x.r.Auth.Tokens() - x.tokens
}

// update changes the run in the ledger, durably, and in x.
func (x *execution) update(ctx context.Context, f func(*ledger.Run)) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	figures, err := json.Marshal(x.stats())
	if err != nil {
		return fmt.Errorf("encode figures: %w", err)
	}
	run, err := x.r.Ledger.Update(ctx, x.id, func(r *ledger.Run) {
		r.Stats = string(figures)
		r.Plan = x.plan.encode()
		f(r)
	})
	if err != nil {
		return err
	}
	x.run = run
	return nil
}

// enter moves the run to a state.
func (x *execution) enter(ctx context.Context, s State, f func(*ledger.Run)) error {
	err := x.update(ctx, func(r *ledger.Run) {
		r.State = s
		if f != nil {
			f(r)
		}
	})
	if err != nil {
		return err
	}
	x.obs.enter(s)
	x.step("state " + string(s))
	return nil
}

// warn tells a warning and keeps it for the manifest, each code and text once.
func (x *execution) warn(code, text string, count int64) {
	x.warnMu.Lock()
	for i, w := range x.warnings {
		if w.Code == code && w.Text == text {
			x.warnings[i].Count += count
			x.warnMu.Unlock()
			return
		}
	}
	x.warnings = append(x.warnings, sinks.Warning{Code: code, Text: text, Count: count})
	x.warnMu.Unlock()
	x.obs.event(Event{Kind: "warning", Code: code, Text: text})
}

// step is a place where tests stop the process.
func (x *execution) step(name string) {
	if x.r.probe != nil {
		x.r.probe(name)
	}
}

func (r *Runner) now() time.Time {
	if r.Now != nil {
		return r.Now().UTC()
	}
	return time.Now().UTC()
}

func (r *Runner) log() *slog.Logger {
	if r.Log != nil {
		return r.Log
	}
	return slog.New(slog.DiscardHandler)
}

// execute leads the run from where it is to its publication.
func (x *execution) execute(ctx context.Context) (*sinks.Manifest, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if limit := x.r.Job.Policies.MaxDuration; limit > 0 {
		timer := time.AfterFunc(limit-x.spent(), func() { cancel(tooLong(limit)) })
		defer timer.Stop()
	}
	var watch sync.WaitGroup
	defer watch.Wait()
	stop := make(chan struct{})
	defer close(stop)
	watch.Go(func() { x.heedCancel(ctx, stop, cancel) })

	m, err := x.advance(ctx)
	if err != nil && ctx.Err() != nil && !errors.Is(err, errDetached) {
		err = context.Cause(ctx) // cancelled, or too long
	}
	return m, err
}

func tooLong(limit time.Duration) error {
	return &Failure{
		Text:   "the run took longer than max_duration, " + limit.String(),
		Advice: "raise policies.max_duration, or ask for less; the next run starts anew",
		Kind:   classServer,
	}
}

// heedCancel ends the run when another process asks for it.
func (x *execution) heedCancel(ctx context.Context, stop <-chan struct{}, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// An unreadable ledger shows itself where the run writes to it.
		if run, err := x.r.Ledger.Run(ctx, x.id); err == nil && run.CancelRequested {
			cancel(ErrCancelled)
			return
		}
	}
}

func (x *execution) advance(ctx context.Context) (*sinks.Manifest, error) {
	if err := x.authorize(ctx); err != nil {
		return nil, err
	}
	var err error
	if x.spool, err = x.r.Spool.Run(x.id); err != nil {
		return nil, err
	}
	if x.stage, err = x.r.Store.Stage(ctx, x.r.Job.Name, x.id); err != nil {
		return nil, fmt.Errorf("open staging: %w", err)
	}
	for {
		b, err := x.fetchAll(ctx)
		var damaged *spool.DamagedError
		if err == nil {
			var m *sinks.Manifest
			if m, err = x.publish(ctx, b); !errors.As(err, &damaged) {
				return m, err
			}
		}
		var lost *export.LostError
		var moved *movedError
		switch {
		case errors.As(err, &damaged):
			err = x.repair(ctx, damaged)
		case errors.As(err, &lost):
			err = x.restart(ctx, err)
		case errors.As(err, &moved):
			err = x.relist(ctx, err)
		}
		if err != nil {
			return nil, err
		}
	}
}

// settle records how the try ended. It works after ctx has ended.
func (x *execution) settle(ctx context.Context, err error) {
	if err == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if errors.Is(err, ErrCancelled) {
		if cerr := x.drop(ctx, Cancelled); cerr != nil {
			x.r.log().Warn("clean up after cancelling", "run", x.id, "error", cerr)
		}
		return
	}
	class := classOf(err)
	uerr := x.update(ctx, func(r *ledger.Run) {
		r.State, r.Error, r.Class, r.Hint = Failed, err.Error(), class, hintOf(err)
		r.Ended = x.r.now()
	})
	if uerr != nil {
		// The ledger cannot tell; the next run finds this one as crashed.
		x.r.log().Warn("record failure", "run", x.id, "error", uerr)
		return
	}
	x.obs.enter(Failed)
	if !resumable(x.run) {
		// Nobody will come back for the export.
		x.deleteExport(ctx)
		x.clear(ctx)
	}
}
