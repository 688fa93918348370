package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/sinks"
)

// listExport has the server export, unless it did so already, and returns the
// files as tasks.
func (x *execution) listExport(ctx context.Context) ([]ledger.Task, source, error) {
	if x.run.Listed {
		tasks, err := x.r.Ledger.Tasks(ctx, x.id)
		if err != nil {
			return nil, nil, err
		}
		return tasks, x.newBulkSource(tasks, nil), nil
	}
	switch {
	case x.run.StatusURL != "":
	case x.plan.Adopted:
		return nil, nil, &Failure{Text: "the export that was taken over is not known any more", Advice: "run the job again: it asks for an export of its own", Kind: classServer}
	default:
		if err := x.kickOff(ctx); err != nil {
			return nil, nil, err
		}
	}
	if x.plan.Leg == legNewcomers && len(x.plan.Ignored) > 0 {
		return nil, nil, errUnable
	}
	if x.o.Detach && x.plan.Leg == legData {
		return nil, nil, x.detach(ctx)
	}
	if err := x.enter(ctx, Exporting, nil); err != nil {
		return nil, nil, err
	}
	ectx, stop := context.WithCancel(ctx)
	defer stop()
	e, err := x.newEarly(ctx)
	if err != nil {
		return nil, nil, err
	}
	m, err := x.bulk.Poll(ctx, x.run.StatusURL, func(p export.Progress) {
		x.obs.count(func(total *Progress) { total.Percent = max(p.Percent, 0) })
		x.obs.event(Event{Kind: "poll", Text: p.Text})
		x.logProgress(p)
		x.plan.Running = x.r.now()
		e.offer(ectx, p.Partial)
		x.step("polled")
	})
	if err != nil {
		stop()
	}
	taken, eerr := e.end()
	if err != nil {
		x.log("status_error", logError(err))
		if x.plan.Leg != legData && failed(err) {
			err = errors.Join(errUnable, err)
		}
		return nil, nil, fmt.Errorf("wait for export: %w", err)
	}
	if eerr != nil {
		return nil, nil, eerr
	}
	x.logManifest(m)
	if x.plan.Adopted {
		if err := x.recognize(ctx, m); err != nil {
			return nil, nil, err
		}
	}
	if m.Unlisted {
		x.plan.doubt(anyType, "no output list")
	}
	for _, text := range m.Warnings {
		x.keep(sinks.Warning{Code: "manifest", Text: text, Count: 1})
	}
	x.plan.OpenFiles = !m.RequiresAccessToken
	generation := x.plan.Generation
	fresh, files := x.complete(m, taken)
	tasks, err := x.earlier(ctx, generation)
	if err != nil {
		return nil, nil, err
	}
	tasks = append(tasks, x.plan.Leg.kinds(fresh)...)
	if n := len(x.plan.Exports); n > 0 {
		x.plan.Exports[n-1].TransactionTime = timeOrNil(m.TransactionTime)
	}
	run, err := x.r.Ledger.List(ctx, x.id, tasks, func(r *ledger.Run) {
		r.State, r.Kind = Landing, string(x.plan.Kind)
		if r.TransactionTime.IsZero() || m.TransactionTime.Before(r.TransactionTime) {
			r.TransactionTime = m.TransactionTime
		}
		r.Plan = x.plan.encode()
	})
	if err != nil {
		return nil, nil, err
	}
	x.run = run
	if x.plan.Generation != generation && x.plan.Past == 0 {
		if err := x.spool.Clear(); err != nil {
			return nil, nil, err
		}
	}
	x.obs.enter(Landing)
	x.step("state landing")
	return tasks, x.newBulkSource(tasks, files), nil
}

func (x *execution) newLinks(tasks []ledger.Task, files map[string]export.File) *links {
	tasks = listedAs(ofGeneration(tasks, x.plan.Generation))
	l := &links{files: files}
	status, generation, known := x.run.StatusURL, x.plan.Generation, x.plan.Moved
	l.fetch = func(ctx context.Context) (map[string]export.File, error) {
		m, err := x.bulk.Refresh(ctx, status)
		if err != nil {
			return nil, fmt.Errorf("fetch manifest again: %w", err)
		}
		files, moved, err := match(tasks, m, generation)
		if err != nil {
			return nil, err
		}
		if moved && !known {
			if err := x.update(ctx, func(r *ledger.Run) {
				x.plan.Moved = true
				r.Plan = x.plan.encode()
			}); err != nil {
				return nil, err
			}
			known = true // nobody else renews
		}
		return files, nil
	}
	return l
}

const maxRelists = 1

// relist gives up the files of an export whose manifest lists others now, and
// has them listed anew: the export is the same.
func (x *execution) relist(ctx context.Context, moved error) error {
	if x.plan.Relists >= maxRelists {
		return moved
	}
	x.plan.Relists++
	x.plan.Moved = false
	x.keep(sinks.Warning{Code: "manifest-changed", Text: "the server listed other files when asked again; all were fetched anew", Count: 1})
	if x.plan.Past > 0 { // the files of the other legs go too
		x.deleteExport(ctx)
		x.plan.startOver()
		return x.forget(ctx, func(r *ledger.Run) { r.State, r.StatusURL = Authorized, "" })
	}
	// The transaction time stays: the first that was told is the safe one (P28).
	return x.forget(ctx, func(r *ledger.Run) { r.State = Authorized })
}
