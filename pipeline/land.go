package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
)

const (
	defaultDownloads = 4
	// committers is how many parts may wait for the disk while others download:
	// the syncs of many small files are shared then.
	committers = 12
	// unknownCount stands for the lines of a file that the server does not count,
	// when the largest type is looked for.
	unknownCount = 20_000
	// defaultStall is how long a file's body may bring less than minFlow before it
	// is cut and asked for again.
	defaultStall = 2 * time.Minute
	minFlow      = 1 << 10 // bytes
	// maxAttempts bounds the attempts for one file, also of those that bring it on.
	maxAttempts = 10_000
	maxWait     = 30 * time.Second
)

// source fetches the bodies of tasks: from a bulk export, by searches, or from
// the files of a conversion.
type source interface {
	// fetch copies the task's body into the landing, from where it stands. got is
	// how far it came, in bytes.
	fetch(ctx context.Context, t ledger.Task, l *spool.Landing) (got int64, err error)
}

// fetchAll makes every task's part land and converts each type as soon as its
// last part has landed, while the others are still being fetched.
func (x *execution) fetchAll(ctx context.Context) (*board, error) {
	var tasks []ledger.Task
	var src source
	var err error
	switch x.r.Job.Export.Mode {
	case "search":
		tasks, src, err = x.listSearch(ctx)
	case modeFiles:
		tasks, src, err = x.listInputs(ctx)
	default:
		if err = x.prelude(ctx); err == nil {
			tasks, src, err = x.listExport(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	if x.run.State != Landing {
		if err := x.enter(ctx, Landing, nil); err != nil {
			return nil, err
		}
	}
	b := newBoard(inOrder(tasks))
	c, err := x.newConverter(ctx, b)
	if err != nil {
		return nil, err
	}
	x.obs.count(func(p *Progress) { p.Files, p.Types = int64(len(tasks)), len(c.expected()) })

	slots := semaphore.NewWeighted(int64(x.downloads()))
	all, actx := errgroup.WithContext(ctx)
	all.Go(func() error {
		landings, lctx := errgroup.WithContext(actx)
		landings.SetLimit(x.downloads() + committers)
		for _, t := range biggestFirst(b.tasks) {
			// Here and not in the goroutine: the order of the tasks is kept.
			if slots.Acquire(lctx, 1) != nil {
				break
			}
			landings.Go(func() error {
				release := sync.OnceFunc(func() { slots.Release(1) })
				defer release()
				p, err := x.land(lctx, &t, src, release)
				if err != nil {
					return err
				}
				ready, err := x.landed(lctx, b, t, p)
				if err != nil {
					return err
				}
				for _, typ := range ready {
					all.Go(func() error { return c.convert(actx, typ) })
				}
				return nil
			})
		}
		if err := landings.Wait(); err != nil {
			return err
		}
		if err := context.Cause(actx); err != nil {
			return err // the loop may have ended before the last task
		}
		if err := x.r.Ledger.Flush(actx); err != nil {
			return err
		}
		if err := x.judgeBad(actx, b, 0); err != nil {
			return err
		}
		return x.enter(actx, Converting, nil)
	})
	if err := all.Wait(); err != nil {
		return nil, err
	}
	// What was not ready then: types of which a late file brought more, and those
	// that brought nothing but must have their files all the same.
	rest, rctx := errgroup.WithContext(ctx)
	for _, typ := range c.all() {
		rest.Go(func() error { return c.convert(rctx, typ) })
	}
	if err := rest.Wait(); err != nil {
		return nil, err
	}
	return b, x.r.Ledger.Flush(ctx)
}

func (x *execution) downloads() int {
	if x.r.Job.Export.Mode == modeFiles {
		return runtime.GOMAXPROCS(0)
	}
	if n := x.r.Server.Limits.Downloads; n > 0 {
		return n
	}
	return defaultDownloads
}

// inOrder sorts tasks in the order of delivery, which does not change between
// tries: among equal versions of a resource the one delivered last is published.
func inOrder(tasks []ledger.Task) []ledger.Task {
	slices.SortFunc(tasks, func(a, b ledger.Task) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Type, b.Type),
			cmp.Compare(generationOf(a.Key), generationOf(b.Key)), cmp.Compare(a.Ordinal, b.Ordinal), cmp.Compare(a.Key, b.Key))
	})
	return tasks
}

// biggestFirst is the order of fetching: what the server says went wrong, then
// type after type, the biggest first, so that its conversion begins early and
// nothing large is left for the end.
func biggestFirst(tasks []ledger.Task) []ledger.Task {
	size := map[string]int64{}
	for _, t := range tasks {
		n := t.Count
		if n < 0 {
			n = unknownCount
		}
		size[t.Type] += n
	}
	rank := map[string]int{kindError: 0, kindOutput: 1, kindMember: 1, kindPartition: 1, kindFile: 1, kindDeleted: 2}
	order := slices.Clone(tasks)
	slices.SortStableFunc(order, func(a, b ledger.Task) int {
		return cmp.Or(cmp.Compare(rank[a.Kind], rank[b.Kind]), cmp.Compare(size[b.Type], size[a.Type]), cmp.Compare(a.Type, b.Type))
	})
	return order
}

// landed notes that a part is whole and checked in the spool.
func (x *execution) landed(ctx context.Context, b *board, t ledger.Task, p *spool.Part) ([]string, error) {
	info := p.Info()
	// The note comes first: once the board knows of the type's last part, another
	// goroutine records the conversion of all of them.
	if t.State != ledger.TaskConverted && t.State != ledger.TaskDone {
		note := ledger.Note{Key: t.Key, State: ledger.TaskLanded, Bytes: info.RawBytes, Lines: info.Lines}
		if err := x.r.Ledger.Note(ctx, x.id, note); err != nil {
			return nil, err
		}
	}
	ready, err := b.landed(t, p)
	if err != nil {
		return nil, err
	}
	for _, text := range info.Notes {
		x.warn("search", text, 1)
	}
	b.mu.Lock()
	bad := b.bad
	b.mu.Unlock()
	// Whose part has such lines says where they are; the sum may be another's.
	if info.Quarantined > 0 && x.r.Job.Policies.MaxBadLines.Exceeded(bad) {
		return nil, x.tooManyBad(ctx, bad, -1, []*spool.Part{p})
	}
	x.obs.count(func(p *Progress) {
		p.FilesDone++
		p.Resources += info.Lines - info.Outcomes - info.Headers - info.Quarantined
		p.Tokens = x.tokensUsed()
	})
	x.obs.event(Event{Kind: "file", Type: t.Type, Text: t.Kind})
	x.step("landed")
	return ready, nil
}

// land brings one part into the spool: what broke goes on at its byte, what
// expired gets a fresh link, and what fails for a reason that may pass is tried
// again as long as it comes on. copied is called when the body has come and only
// the disk is waited for. The task is noted as landing unless its part is there.
func (x *execution) land(ctx context.Context, task *ledger.Task, src source, copied func()) (*spool.Part, error) {
	t := *task
	if l, ok := src.(lender); ok {
		if o, ok := l.lend(t); ok {
			task.State = ledger.TaskLanding
			return x.borrow(ctx, t, o, copied)
		}
	}
	p, err := x.spool.Part(t.Key)
	if damaged := (*spool.DamagedError)(nil); errors.As(err, &damaged) {
		err = x.dropDamaged(ctx, t.Key)
	}
	if b, ok := src.(*bulkSource); ok && p != nil {
		b.logFound(t, p.Info())
	}
	if p != nil || err != nil {
		return p, err
	}
	task.State = ledger.TaskLanding
	o := spool.Options{Type: t.Type, Expect: -1, AllowMismatch: x.r.Job.Policies.OnCountMismatch == "warn"}
	if t.Count >= 0 && (t.Kind == kindOutput || t.Kind == kindMember) {
		o.Expect = t.Count
	}
	if t.Kind == kindFile {
		o.Name = t.Path
	}
	l, err := x.spool.Land(t.Key, o)
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }() // keeps what it has; the error that matters is the one on the way
	var furthest int64
	for failures, attempt := 0, 1; ; attempt++ {
		if err := x.r.Ledger.Note(ctx, x.id, ledger.Note{Key: t.Key, State: ledger.TaskLanding, Attempt: true}); err != nil {
			return nil, err
		}
		got, err := src.fetch(ctx, t, l)
		if err == nil {
			copied()
			x.step("copied")
			p, err := l.Commit()
			if b, ok := src.(*bulkSource); ok && err == nil {
				b.logLanded(t, p.Info())
			}
			return p, err
		}
		if got > furthest {
			furthest, failures = got, 0
		}
		failures++
		if t.Kind != kindFile { // whose error names it
			err = fmt.Errorf("fetch %s file %d of %s: %w", t.Kind, t.Ordinal, typeName(t.Type), err)
		}
		if ctx.Err() != nil {
			return nil, err
		}
		var expired *export.ExpiredError // its link has been renewed
		if !errors.As(err, &expired) && !retryable(ctx, err) {
			return nil, mayPass(err)
		}
		if failures > x.retries() || attempt >= maxAttempts {
			return nil, err
		}
		x.retried("file")
		if err := sleep(ctx, backoff(failures, rand.Float64(), maxWait)); err != nil {
			return nil, err
		}
	}
}

// dropDamaged removes a part that is not what was written, so that it lands again. A
// later try finds nothing that would tell of it: the warning is durable first (I9).
func (x *execution) dropDamaged(ctx context.Context, key string) error {
	x.keep(sinks.Warning{Code: "part-damaged", Text: "a landed part was damaged on the local disk and is fetched again", Count: 1})
	if err := x.update(ctx, func(*ledger.Run) {}); err != nil {
		return err
	}
	return x.spool.Drop(key)
}

// maxRepairs bounds the parts that one try fetches again: a disk that damages more
// is one to look at.
const maxRepairs = 10

// repair drops a part whose damage shows when its lines are read, so that it lands
// again: at once where a server can send it, otherwise by the next try. What was
// converted of it stays when the same comes again.
func (x *execution) repair(ctx context.Context, damaged *spool.DamagedError) error {
	if err := x.dropDamaged(ctx, damaged.Key); err != nil {
		return errors.Join(damaged, err)
	}
	if x.r.Job.Export.Mode == modeFiles || x.repairs >= maxRepairs {
		return damaged
	}
	x.repairs++
	if damaged.Key != patientsKey && generationOf(damaged.Key) == x.plan.Generation {
		return x.enter(ctx, Authorized, nil)
	}
	// What came after it rests on it, or its export is deleted: all is asked for anew.
	x.deleteExport(ctx)
	x.plan.startOver()
	return x.forget(ctx, func(r *ledger.Run) { r.State, r.StatusURL = Authorized, "" })
}

// mayPass makes the server's own faults, which were retried in vain, such that
// the run can be resumed: the export is not lost, and what has landed is kept.
func mayPass(err error) error {
	var t interface{ Temporary() bool }
	if errors.As(err, &t) && t.Temporary() && classOf(err) == classServer {
		return &Failure{Text: "the server is in trouble", Advice: "run the job again later: what has landed is kept", Err: err}
	}
	return err
}

// bulkSource fetches the files of an export.
type bulkSource struct {
	x      *execution
	links  *links
	logged func() map[string]bool // the parts whose landing an earlier try logged
}

func (x *execution) newBulkSource(tasks []ledger.Task, files map[string]export.File) *bulkSource {
	return &bulkSource{x: x, links: x.newLinks(tasks, files), logged: sync.OnceValue(x.loggedParts)}
}

func (s *bulkSource) fetch(ctx context.Context, t ledger.Task, l *spool.Landing) (got int64, err error) {
	f, round, ok := s.links.get(t.Key)
	if !ok {
		// The run was taken up again: its manifest is fetched when the first file
		// needs it.
		if err := s.links.renew(ctx, round); err != nil {
			return 0, err
		}
		if f, round, ok = s.links.get(t.Key); !ok {
			return 0, &movedError{"a file is missing"}
		}
	}
	offset, validator, _ := l.Resume()
	s.x.log("download_request", map[string]any{"fileId": t.Key, "fileUrl": bareURL(f.URL), "itemType": t.Kind, "resourceType": textOrNull(t.Type)})
	defer func() {
		if err != nil {
			detail := logError(err)
			detail["fileId"], detail["fileUrl"] = t.Key, bareURL(f.URL)
			s.x.log("download_error", detail)
		}
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body, err := s.x.bulk.Open(ctx, f, offset, validator)
	if err != nil {
		var expired *export.ExpiredError
		if errors.As(err, &expired) {
			if rerr := s.links.renew(ctx, round); rerr != nil {
				return offset, rerr
			}
		}
		return offset, err
	}
	r := newStallReader(body, s.x.stall(), cancel, func(n int) {
		s.x.meter.bytes.Add(int64(n))
		s.x.obs.count(func(p *Progress) { p.BytesRead += int64(n) })
	})
	defer r.stop()
	err = l.Copy(ctx, spool.Source{Body: r, Encoding: body.Encoding, Offset: body.Offset, Length: body.Length, Endless: body.Endless, Validator: body.Validator})
	got = body.Offset + r.read
	if cerr := body.Close(); err == nil && cerr != nil {
		err = cerr
	}
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		err = errStalled
	}
	return got, err
}

// processors bounds the conversions at once.
func processors() *semaphore.Weighted {
	return semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0)))
}
