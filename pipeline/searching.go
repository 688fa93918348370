package pipeline

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/export/search"
	"github.com/flue-fhir/flue/internal/definition"
	"github.com/flue-fhir/flue/internal/fhirjson"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
)

// patientsKey is the spool's key of the list of patients.
const patientsKey = "patients"

// listSearch lists the patients where a type needs them, durably, and cuts the
// request into partitions, which are the tasks. The same list gives the same
// partitions whenever the run is taken up again.
func (x *execution) listSearch(ctx context.Context) ([]ledger.Task, source, error) {
	if x.run.State != Exporting && !x.run.Listed {
		if err := x.enter(ctx, Exporting, nil); err != nil {
			return nil, nil, err
		}
	}
	request := x.searchRequest()
	ids, err := x.patients(ctx, request)
	if err != nil {
		return nil, nil, err
	}
	x.doubtList(request)
	for _, typ := range request.Types {
		if _, without := request.Params(typ); len(without) > 0 {
			x.warn("compartment-partial", "resources that belong to a patient only by "+strings.Join(without, ", ")+
				" are not found: the server does not declare these search parameters of "+typ, 1)
		}
	}
	src := &searchSource{x: x, partitions: map[string]search.Partition{}}
	var tasks []ledger.Task
	for p := range x.search.Partitions(request, ids) {
		t := ledger.Task{
			Key: fmt.Sprintf("%d/%s/%s", x.plan.Generation, kindPartition, p.Key), Kind: kindPartition,
			Type: p.Type, Ordinal: len(tasks), Count: -1,
		}
		if _, twice := src.partitions[t.Key]; twice {
			return nil, nil, bug("two partitions have one key")
		}
		src.partitions[t.Key] = p
		tasks = append(tasks, t)
	}
	if !x.run.Listed {
		run, err := x.r.Ledger.List(ctx, x.id, tasks, func(r *ledger.Run) { r.State = Landing })
		if err != nil {
			return nil, nil, err
		}
		x.run = run
		x.obs.enter(Landing)
		x.step("state landing")
		return tasks, src, nil
	}
	listed, err := x.r.Ledger.Tasks(ctx, x.id)
	if err != nil {
		return nil, nil, err
	}
	if len(listed) != len(tasks) {
		return nil, nil, bug("the partitions are not those listed before")
	}
	for _, t := range listed {
		if _, ok := src.partitions[t.Key]; !ok {
			return nil, nil, bug("a partition is not among those listed before")
		}
	}
	return listed, src, nil
}

func (x *execution) searchRequest() search.Request {
	e := x.r.Job.Export
	return search.Request{
		Types: x.plan.Types, Since: x.plan.Since, Elements: e.Elements,
		Filters: e.TypeFilters, Patients: e.Patients, Include: e.Include,
		Supports: func(typ, param string) bool { return slices.Contains(x.plan.Params[typ], param) },
	}
}

// searchParams keeps of the server's search parameters those that the types are
// found by: the partitions follow from them, also when the run is taken up again.
func searchParams(c *export.Capability, types []string) map[string][]string {
	params := map[string][]string{}
	for _, typ := range types {
		for _, code := range definition.Compartment(typ) {
			if c != nil && slices.Contains(c.SearchParams[typ], code) {
				params[typ] = append(params[typ], code)
			}
		}
	}
	return params
}

// doubtCompartments doubts the types that are searched for by the list of
// patients: who is not on it has none of them.
func (x *execution) doubtCompartments(request search.Request, why string) {
	for _, typ := range byPatient(request) {
		x.plan.doubt(typ, why)
	}
}

// doubtList doubts them where the list may not be read in full.
func (x *execution) doubtList(request search.Request) {
	if len(request.Patients) > 0 {
		return // nobody is listed
	}
	if slices.Contains(x.plan.NotGranted, patientType) || x.plan.Doubts[patientType] == notGranted {
		x.doubtCompartments(request, "patients not granted")
	}
}

// byPatient are the types that are searched for patient by patient.
func byPatient(request search.Request) (types []string) {
	for _, typ := range request.Types {
		if by, _ := request.Params(typ); len(by) > 0 {
			types = append(types, typ)
		}
	}
	return types
}

// patients returns the ids of the patients to search by, from the spool or,
// the first time, from the server. nil when no type needs them.
func (x *execution) patients(ctx context.Context, request search.Request) ([]string, error) {
	if len(request.Patients) > 0 || len(byPatient(request)) == 0 {
		return request.Patients, nil
	}
	key := fmt.Sprintf("%d/%s", x.plan.Generation, patientsKey)
	part, err := x.spool.Part(key)
	if err != nil {
		return nil, err
	}
	for attempt := 1; part == nil; attempt++ {
		if part, err = x.listPatients(ctx, request, key); err == nil {
			break
		}
		err = fmt.Errorf("list patients: %w", err)
		if !retryable(ctx, err) || attempt > x.retries() {
			return nil, err
		}
		x.retried("patients")
		if err := sleep(ctx, backoff(attempt, rand.Float64(), maxWait)); err != nil {
			return nil, err
		}
	}
	for _, text := range part.Info().Notes {
		x.warn("search", "list of patients: "+text, 1)
	}
	if part.Info().Short {
		x.doubtCompartments(request, "patients missing")
	}
	return readPatients(part)
}

func (x *execution) listPatients(ctx context.Context, request search.Request, key string) (*spool.Part, error) {
	l, err := x.spool.Land(key, spool.Options{Type: "Patient", Expect: -1})
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }()
	var result search.Result
	err = pipe(ctx, l, func(ctx context.Context, w io.Writer) (err error) {
		result, err = x.search.Patients(ctx, request, func(id string) error {
			line, err := json.Marshal(struct {
				Type string `json:"resourceType"`
				ID   string `json:"id"`
			}{"Patient", id})
			if err == nil {
				_, err = w.Write(append(line, '\n'))
			}
			return err
		})
		if err != nil {
			return err
		}
		return x.firstPage(ctx, result.Date)
	})
	if err != nil {
		return nil, err
	}
	l.Note(result.Warnings, result.Short)
	x.step("patients listed")
	return l.Commit()
}

func readPatients(part *spool.Part) (ids []string, err error) {
	body, err := part.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	lines := fhirjson.NewReader(body, 0)
	for {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			// A listing that started over has some twice.
			slices.Sort(ids)
			return slices.Compact(ids), nil
		}
		if err != nil {
			return nil, fmt.Errorf("read patients: %w", err)
		}
		var p struct{ ID string }
		if err := json.Unmarshal(line, &p); err != nil {
			return nil, errors.New("read patients: a line is not what was written")
		}
		ids = append(ids, p.ID)
	}
}

// firstPage keeps the earliest date of a first page (F57), before what came
// with it is committed: a part that is there has its date in the ledger.
func (x *execution) firstPage(ctx context.Context, date time.Time) error {
	x.mu.Lock()
	known := x.run.KickoffDate
	x.mu.Unlock()
	if date.IsZero() || !known.IsZero() && !date.Before(known) {
		return nil
	}
	return x.update(ctx, func(r *ledger.Run) {
		if r.KickoffDate.IsZero() || date.Before(r.KickoffDate) {
			r.KickoffDate = date
		}
	})
}

// searchSource reads partitions from their first page to their last.
type searchSource struct {
	x          *execution
	partitions map[string]search.Partition
}

func (s *searchSource) fetch(ctx context.Context, t ledger.Task, l *spool.Landing) (int64, error) {
	p := s.partitions[t.Key]
	var got int64
	var result search.Result
	err := pipe(ctx, l, func(ctx context.Context, w io.Writer) (err error) {
		result, err = s.x.search.Read(ctx, p, countWriter{w, func(n int) {
			got += int64(n)
			s.x.meter.bytes.Add(int64(n))
			s.x.obs.count(func(p *Progress) { p.BytesRead += int64(n) })
		}})
		if err != nil {
			return err
		}
		if err := s.x.firstPage(ctx, result.Date); err != nil {
			return err
		}
		// What the pages said of errors must not be forgotten by a crash: it goes
		// into the part, where the outcomes of files are too (F54).
		return writeOutcomes(w, result)
	})
	if err == nil { // a run that is taken up again does not read these pages again (I9)
		l.Note(result.Warnings, result.Short)
	}
	return got, err
}

// writeOutcomes writes the outcome entries of a partition, and where they were
// too long to be kept, one line in their stead that says that something is
// missing.
func writeOutcomes(w io.Writer, r search.Result) error {
	var counted, kept int64
	for _, o := range r.Outcomes {
		counted += o.Count
	}
	for _, line := range r.OutcomeLines {
		var outcome struct {
			Issue []struct{} `json:"issue"`
		}
		if err := json.Unmarshal(line, &outcome); err == nil {
			kept += int64(len(outcome.Issue))
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	if kept >= counted {
		return nil
	}
	severity := "warning"
	if r.Incomplete() {
		severity = "error"
	}
	_, err := fmt.Fprintf(w, `{"resourceType":"OperationOutcome","issue":[{"severity":%q,"code":"incomplete","diagnostics":"flue: %d issues of this search were too long to be kept"}]}`+"\n", severity, counted-kept)
	return err
}

// pipe lands what write writes. When write fails, its error is returned and
// nothing of the body is taken for whole.
func pipe(ctx context.Context, l *spool.Landing, write func(ctx context.Context, w io.Writer) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		buffered := bufio.NewWriterSize(w, 256<<10)
		err := write(ctx, buffered)
		if err == nil {
			err = buffered.Flush()
		}
		w.CloseWithError(err) // nil is io.EOF
		done <- err
	}()
	err := l.Copy(ctx, spool.Source{Body: r, Length: -1})
	// Whatever the landing thought of it, the writer must come to its end.
	cancel(err)
	stop := err
	if stop == nil {
		stop = io.ErrClosedPipe
	}
	_ = r.CloseWithError(stop)
	if werr := <-done; werr != nil && (err == nil || !errors.Is(werr, err)) && !errors.Is(werr, context.Canceled) {
		return werr
	}
	return err
}

type countWriter struct {
	w     io.Writer
	count func(n int)
}

func (c countWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.count(n)
	return n, err
}
