package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/sinks"
)

// leg is one of the exports of a run. A delta of a group would miss the older data
// of those who joined it, which a _since leaves out. So the run asks for up to three
// exports, one after the other, since many servers run only one for a client:
//
//	members     who is in the group, for this run and the next one
//	newcomers   everything of those whom the last snapshot did not know, if any
//	data        what the job asks for: changes, or everything
//
// Each is kicked off (I4), polled and landed like any other, and deleted at the server
// before the next (P27). The newcomers' files are converted with those of the data.
// Where a step cannot be done, the data are asked for in full.
type leg string

const (
	legMembers   leg = "members"
	legNewcomers leg = "newcomers"
	legData      leg = "" // the only one of most runs
)

// patientType is the type of the members.
const patientType = "Patient"

// maxNewcomers bounds the patients that are named in one request.
const maxNewcomers = 10_000

// tracks reports whether a run for these types looks for newcomers: a group's, when
// the job goes on from its watermark and may read patients.
func (r *Runner) tracks(types []string) bool {
	e := r.Job.Export
	return r.grouped() && e.Newcomers != "ignore" && (len(types) == 0 || slices.Contains(types, patientType))
}

// grouped reports whether people may join those whom the job's deltas are about.
func (r *Runner) grouped() bool {
	e := r.Job.Export
	return e.Mode == "bulk" && (e.Level == string(export.Group) || e.Level == string(export.Patient)) &&
		e.Since.Last && len(e.Patients) == 0
}

// prelude sees the exports through that come before the data.
func (x *execution) prelude(ctx context.Context) error {
	for x.plan.Leg != legData {
		if err := x.runLeg(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (x *execution) runLeg(ctx context.Context) error {
	tasks, src, err := x.listExport(ctx)
	if unsupported(err) {
		return x.without(ctx, err)
	}
	if err != nil {
		return err
	}
	tasks = ofGeneration(tasks, x.plan.Generation)
	if err := x.landAll(ctx, tasks, src); err != nil {
		return err
	}
	x.step("leg landed")
	next := legData
	check := x.came
	if x.plan.Leg == legMembers {
		check = x.meet
	}
	why, err := check(ctx, tasks)
	if err != nil {
		return err
	}
	if why != "" {
		return x.fallBack(ctx, why)
	}
	if x.plan.Leg == legMembers && x.plan.Joined > 0 && x.plan.Kind == sinks.Delta {
		next = legNewcomers
	}
	return x.endLeg(ctx, next)
}

// landAll makes the part of every task land.
func (x *execution) landAll(ctx context.Context, tasks []ledger.Task, src source) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(x.downloads())
	for _, t := range biggestFirst(tasks) {
		g.Go(func() error {
			_, err := x.land(gctx, &t, src, func() {})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// endLeg deletes the export of a leg whose files have landed, or that the server does
// not do, and goes on to the next.
func (x *execution) endLeg(ctx context.Context, next leg) error {
	x.deleteExport(ctx)
	x.plan.Leg = next
	x.plan.Past++
	x.plan.Generation++ // the files of the next are others
	x.plan.Moved = false
	return x.enter(ctx, Authorized, func(r *ledger.Run) {
		r.StatusURL, r.Listed, r.Kind = "", false, string(x.plan.Kind)
	})
}

// fallBack has the data asked for in full, for a reason.
func (x *execution) fallBack(ctx context.Context, why string) error {
	if !x.plan.Tracked {
		x.keep(sinks.Warning{Code: "members-unknown", Count: 1, Text: why + ": the next run asks for everything, unless the job has newcomers: ignore"})
	}
	if x.plan.Kind == sinks.Delta {
		x.keep(sinks.Warning{Code: "newcomers-full", Count: 1, Text: why + ": everything was asked for, so that nothing of those who joined is missing"})
		p := &x.plan
		p.Kind, p.Reason = sinks.Full, why
		p.Base, p.Previous, p.Earlier, p.BaseTime = "", "", nil, x.run.Started
		p.Since = x.r.Job.Export.Since.Time
	}
	return x.endLeg(ctx, legData)
}

// errUnable is a server that ignores what an export is about, or breaks at it.
var errUnable = errors.New("the server does not do the export")

// unsupported reports whether the server cannot do what a leg asks for.
func unsupported(err error) bool {
	var refused *export.RefusedError
	if errors.As(err, &refused) {
		switch refused.Status {
		case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
			http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
			http.StatusUnprocessableEntity, http.StatusNotImplemented:
			return true
		}
	}
	return errors.Is(err, errUnable)
}

// failed reports whether the server says that an export has failed, for good.
func failed(err error) bool {
	var lost *export.LostError
	return !errors.As(err, &lost) && classOf(err) == classServer
}

// without goes on without a leg that the server does not do.
func (x *execution) without(ctx context.Context, err error) error {
	x.r.log().Info("the server does not do an export", "run", x.id, "export", string(x.plan.Leg), "error", err)
	if x.run.StatusURL != "" { // it accepted the export, and may have handed out files early
		tasks, err := x.earlier(ctx, x.plan.Generation)
		if err != nil {
			return err
		}
		if x.run, err = x.r.Ledger.Unlist(ctx, x.id, tasks, func(*ledger.Run) {}); err != nil {
			return err
		}
	}
	if x.plan.Leg == legNewcomers {
		return x.fallBack(ctx, "the server does not export single patients")
	}
	if !x.plan.WholeMembers {
		x.plan.WholeMembers = true // it may not know _elements
		return x.endLeg(ctx, legMembers)
	}
	x.plan.Tracked = false
	return x.fallBack(ctx, "the server does not list the members")
}

// startOver makes the first leg the next one, because what landed of the others is
// given up.
func (p *plan) startOver() {
	p.Leg, p.Past, p.Exports, p.Joined, p.Left = legData, 0, nil, 0, 0
	if p.Tracked {
		p.Leg = legMembers
	}
}

// asked notes an export that the server accepted, for the manifest (I9).
func (x *execution) asked(r export.Request, k *export.Kickoff) {
	if !x.plan.Tracked && x.plan.Past == 0 {
		return // the only one
	}
	purpose := string(x.plan.Leg)
	switch {
	case x.plan.Leg != legData:
	case x.plan.Since.IsZero():
		purpose = "everything"
	default:
		purpose = "changes"
	}
	x.plan.Exports = append(x.plan.Exports, sinks.Export{
		Purpose: purpose, Types: r.Types, Elements: r.Elements, Patients: len(r.Patients),
		Since: timeOrNil(r.Since), KickoffDate: timeOrNil(k.Date), Ignored: k.Ignored,
	})
}

// requestOf is the export request of the leg that the run is at.
func (x *execution) requestOf(ctx context.Context) (export.Request, error) {
	r := x.request()
	switch x.plan.Leg {
	case legMembers:
		list := export.Request{
			Level: r.Level, Group: r.Group, Types: []string{patientType}, Elements: []string{"id"},
			OutputFormat: r.OutputFormat, Extra: r.Extra, Post: r.Post, Repeat: r.Repeat, Lenient: r.Lenient,
		}
		if x.plan.WholeMembers {
			list.Elements = nil
		}
		return list, nil
	case legNewcomers:
		tasks, err := x.r.Ledger.Tasks(ctx, x.id)
		if err != nil {
			return r, err
		}
		m, err := x.census(ctx, tasks)
		if err != nil {
			return r, err
		}
		if m.joined == 0 || m.joined > maxNewcomers {
			return r, bug("%d newcomers were found again, not those that were", m.joined)
		}
		r.Since = time.Time{} // everything of theirs
		for _, id := range m.newcomers {
			r.Patients = append(r.Patients, "Patient/"+id)
		}
	}
	return r, nil
}

// earlier are the tasks of the legs that are over, when that of the generation is not.
func (x *execution) earlier(ctx context.Context, generation int) ([]ledger.Task, error) {
	if x.plan.Past == 0 {
		return nil, nil
	}
	all, err := x.r.Ledger.Tasks(ctx, x.id)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(t ledger.Task) bool { return generationOf(t.Key) >= generation }), nil
}

// ofGeneration are the tasks of one listing.
func ofGeneration(tasks []ledger.Task, generation int) (list []ledger.Task) {
	for _, t := range tasks {
		if generationOf(t.Key) == generation {
			list = append(list, t)
		}
	}
	return list
}

// generationOf reads the generation that a task's key begins with.
func generationOf(key string) (n int) {
	head, _, _ := strings.Cut(key, "/")
	if _, err := fmt.Sscan(head, &n); err != nil {
		return 0
	}
	return n
}

// kinds gives the tasks of a leg their kind: a list of members is not published.
func (l leg) kinds(tasks []ledger.Task) []ledger.Task {
	if l != legMembers {
		return tasks
	}
	for i := range tasks {
		if tasks[i].Kind == kindOutput {
			tasks[i].Kind = kindMember
		}
	}
	return tasks
}

// listedAs gives tasks the kind of the list of the manifest that they are from.
func listedAs(tasks []ledger.Task) []ledger.Task {
	for i := range tasks {
		if tasks[i].Kind == kindMember {
			tasks[i].Kind = kindOutput
		}
	}
	return tasks
}

// newcomers reports whether the run has an export of them beside that of the data.
func (p *plan) newcomers() bool {
	return slices.ContainsFunc(p.Exports, func(e sinks.Export) bool { return e.Purpose == string(legNewcomers) })
}
