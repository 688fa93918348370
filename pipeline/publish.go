package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/sinks"
)

// extras is the name under which the ledger keeps what lies beside the sinks'
// files: outcomes, quarantined lines, deletions.
const extras = "extras"

// publish checks that the numbers add up (I3), applies the job's policies, and
// makes the snapshot visible (I1).
func (x *execution) publish(ctx context.Context, b *board) (*sinks.Manifest, error) {
	if err := x.renewed(ctx); err != nil {
		return nil, err
	}
	sum, err := x.account(ctx, b)
	if err != nil {
		return nil, err
	}
	if err := x.judge(sum); err != nil {
		return nil, err
	}
	if err := x.unique(sum.deliveries); err != nil {
		return nil, err
	}
	index, err := x.fetchAttachments(ctx, b)
	if err != nil {
		return nil, err
	}
	more, err := x.writeExtras(ctx, b, sum)
	if err != nil {
		return nil, err
	}
	more.files = append(more.files, index...)
	if err := x.enter(ctx, Publishing, nil); err != nil {
		return nil, err
	}
	m, err := x.manifest(ctx, sum, more)
	if err != nil {
		return nil, err
	}
	if err := x.unmoved(ctx); err != nil {
		return nil, err
	}
	location, err := x.stage.Publish(ctx, m)
	if errors.Is(err, sinks.ErrChanged) {
		return nil, x.reconvert(ctx, err)
	}
	if err != nil {
		return nil, fmt.Errorf("publish snapshot: %w", err)
	}
	x.step("visible")
	return m, x.published(ctx, m, location)
}

// reconvert makes the next try convert everything again, because a file that
// was durable is not what was committed to the staging.
func (x *execution) reconvert(ctx context.Context, changed error) error {
	if err := x.spool.DropNotes(); err != nil { // what was fetched may be gone as well
		return errors.Join(changed, err)
	}
	run, err := x.r.Ledger.Reland(ctx, x.id)
	if err != nil {
		return errors.Join(changed, err)
	}
	x.run = run
	return &Failure{
		Text: "publish snapshot", Err: changed,
		Advice: "something changed or removed a file of the staging; run the job again: the files are made anew from what has landed",
	}
}

// finish completes the publication of a run whose snapshot a crash left visible
// but not noted.
func (x *execution) finish(ctx context.Context, m *sinks.Manifest) error {
	stage, err := x.r.Store.Stage(ctx, x.r.Job.Name, x.id)
	if err != nil {
		return fmt.Errorf("open staging: %w", err)
	}
	location, err := stage.Publish(ctx, m)
	if err != nil {
		return fmt.Errorf("publish snapshot: %w", err)
	}
	if x.spool, err = x.r.Spool.Run(x.id); err != nil {
		return err
	}
	return x.published(ctx, m, location)
}

// published cleans up behind a snapshot that is visible, and then notes that it
// is published: a process that dies in between is found by the snapshot, and the
// next one ends its work instead of asking for the data again. From here on
// nothing fails the run but the ledger.
func (x *execution) published(ctx context.Context, m *sinks.Manifest, location string) error {
	ctx = context.WithoutCancel(ctx) // what is visible is published, whatever ends the run
	if err := x.r.Ledger.FinishTasks(ctx, x.id); err != nil {
		return err
	}
	if err := x.r.Ledger.CacheWatermarks(ctx, x.r.Job.Name, m.Name, m.Watermarks); err != nil {
		return err
	}
	if !x.plan.Override.IsZero() {
		if err := x.r.Ledger.DropOverride(ctx, x.r.Job.Name, x.plan.Override); err != nil {
			return err
		}
	}
	x.deleteExport(ctx)
	if err := x.spool.Remove(); err != nil {
		// The next run sweeps it.
		x.warn("spool-not-removed", "the landed files could not be removed from the spool", 1)
		x.r.log().Warn("remove spool", "run", x.id, "error", err)
	}
	x.retire(ctx)
	x.step("cleaned up")
	return x.enter(ctx, Published, func(r *ledger.Run) {
		r.Snapshot, r.Location = m.Name, location
		r.KickoffIntent = time.Time{}
		r.Error, r.Class, r.Hint = "", "", ""
		r.Ended = x.r.now()
	})
}

// account gathers what the numbers are made of and adds them up. The
// conversions are read from the ledger: what is not recorded there does not
// count (I5).
func (x *execution) account(ctx context.Context, b *board) (*tally, error) {
	c, err := x.newConverter(ctx, b)
	if err != nil {
		return nil, err
	}
	var deliveries []delivery
	for _, t := range b.tasks {
		p := b.parts[t.Key]
		if p == nil {
			return nil, bug("a file has not landed")
		}
		deliveries = append(deliveries, delivery{t, p.Info()})
	}
	for typ, by := range c.done {
		parts, _ := b.of(typ)
		input := inputOf(parts)
		for name, v := range by {
			if name != extras && v.Input != input {
				return nil, bug("%s was not made of all that came of %s", name, typ)
			}
		}
	}
	delete(c.done, extras)
	return reconcile(account{
		plan: x.plan, asked: x.plan.Types, deliveries: deliveries, conversions: c.done,
		takers: func(typ string) (names []string) {
			list, err := x.r.takers(typ)
			if err != nil {
				return nil
			}
			for _, s := range list {
				names = append(names, s.Name())
			}
			if len(names) < len(x.r.Sinks) {
				x.warn("type-not-in-format", typ+" is no type of R4: only "+strings.Join(names, ", ")+" holds it", 1)
			}
			return names
		},
	})
}

// unique refuses to publish one body as two: where a server gives its files
// other paths each time it is asked, their order is all that tells them apart,
// and two equal bodies say that it does not (P35).
func (x *execution) unique(deliveries []delivery) error {
	type content struct {
		generation int // of two exports both may have them
		kind, sum  string
	}
	seen := map[content]bool{}
	for _, d := range deliveries {
		if d.task.Kind != kindOutput && d.task.Kind != kindFile || d.info.Lines == 0 || d.info.SHA256 == "" {
			continue
		}
		c := content{generationOf(d.task.Key), d.task.Kind, d.info.SHA256}
		if seen[c] {
			if x.plan.Moved {
				return &movedError{"two files hold the same lines"}
			}
			x.warn("duplicate-file", x.r.advice("the server sent the same lines in two files of "+typeName(d.task.Type),
				"two files, or two stretches of one, hold the same lines; they are published once"), 1)
		}
		seen[c] = true
	}
	return nil
}

// beside is what a snapshot holds beside the sinks' files of types.
type beside struct {
	files     []sinks.File
	deletions *sinks.Deletions
	members   *sinks.Members
}

// writeExtras writes what is not for a sink: outcomes, quarantined lines,
// deletions. They are written anew by each try: the same parts give the same.
func (x *execution) writeExtras(ctx context.Context, b *board, sum *tally) (*beside, error) {
	all := b.every(kindOutput, kindPartition, kindFile, kindError, kindDeleted, kindMember)
	var files []sinks.File
	add := func(f *sinks.File, err error) error {
		if f != nil {
			files = append(files, *f)
		}
		return err
	}
	var outcomes, bad int64
	for _, p := range all {
		outcomes += p.Info().Outcomes
		bad += p.Info().Quarantined
	}
	if outcomes > 0 {
		f, err := x.writeFile(ctx, "outcomes/part-00000.ndjson", "OperationOutcome", outcomes, func(w io.Writer) (int64, error) {
			return x.spool.WriteOutcomes(ctx, all, w)
		})
		if err := add(f, err); err != nil {
			return nil, err
		}
	}
	if bad > 0 {
		f, err := x.writeFile(ctx, "quarantine/part-00000.ndjson", "", bad, func(w io.Writer) (int64, error) {
			return x.spool.WriteQuarantine(ctx, all, w)
		})
		if err := add(f, err); err != nil {
			return nil, err
		}
	}
	deletions, list, err := x.stageDeletions(ctx, b)
	if err != nil {
		return nil, err
	}
	files = append(files, list...)
	if deletions != nil {
		if err := x.judgeBad(ctx, b, deletions.Rejected); err != nil {
			return nil, err
		}
		if deletions.Rejected > 0 {
			sum.doubtAll(badLines) // deletions of any type are lost
		}
	}
	members, f, err := x.stageMembers(ctx, b.tasks, sum)
	if err := add(f, err); err != nil {
		return nil, err
	}
	if x.r.Job.Export.Mode == "bulk" {
		f, err := x.writeFile(ctx, logName, "", -1, func(w io.Writer) (int64, error) { return x.writeLog(w, b) })
		if err := add(f, err); err != nil {
			return nil, err
		}
	}
	for _, p := range b.every(kindError) {
		if n := p.Info().Lines - p.Info().Outcomes - p.Info().Quarantined; n > 0 {
			x.warn("error-file", "a file of errors holds lines that are no OperationOutcome; they are not published", n)
		}
	}
	text, err := json.Marshal(conversion{Files: files})
	if err != nil {
		return nil, fmt.Errorf("encode files: %w", err)
	}
	tasks, err := x.r.Ledger.Tasks(ctx, x.id)
	if err != nil {
		return nil, err
	}
	var rest []string // tasks without a line for any sink
	for _, t := range tasks {
		if t.State == ledger.TaskLanded {
			rest = append(rest, t.Key)
		}
	}
	rec := ledger.Conversion{Sink: extras, Type: extras, Output: string(text)}
	if err := x.r.Ledger.Convert(ctx, x.id, rec, rest); err != nil {
		return nil, err
	}
	x.step("extras recorded")
	return &beside{files: files, deletions: deletions, members: members}, nil
}

// writeFile stages one file and checks its rows; want is negative when they are
// not known before.
func (x *execution) writeFile(ctx context.Context, path, typ string, want int64, write func(io.Writer) (int64, error)) (*sinks.File, error) {
	w, err := x.stage.Create(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	rows, err := write(w)
	if err == nil && want >= 0 && rows != want {
		err = bug("%s has %d lines, %d are counted", path, rows, want)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), w.Abort())
	}
	size, sum, err := w.Commit()
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return &sinks.File{Path: path, Type: typ, Rows: rows, Bytes: size, SHA256: sum}, nil
}

// manifest describes the snapshot.
func (x *execution) manifest(ctx context.Context, sum *tally, more *beside) (*sinks.Manifest, error) {
	conversions, err := x.r.Ledger.Conversions(ctx, x.id)
	if err != nil {
		return nil, err
	}
	p, run, e := x.plan, x.run, x.r.Job.Export
	m := &sinks.Manifest{
		Version: sinks.ManifestVersion, Kind: p.Kind, Job: run.Job, Run: run.ID,
		Base: p.Base, Previous: p.Previous,
		Started: run.Started, Published: x.r.now(),
		Server: sinks.Server{URL: x.r.Server.URL, FHIRVersion: p.FHIRVersion, Software: p.Software},
		Request: sinks.Request{
			Mode: e.Mode, Level: e.Level, Group: e.Group, Types: p.Types, Since: timeOrNil(p.Since),
			Elements: e.Elements, TypeFilters: e.TypeFilters, Ignored: p.Ignored, Fingerprint: p.Request,
			Until: timeOrNil(e.Until), Patients: len(e.Patients), Extra: e.Extra, Lenient: e.Lenient, Post: e.Post,
			OutputFormat: e.OutputFormat, IncludeAssociatedData: e.IncludeAssociatedData,
			OrganizeOutputBy: e.OrganizeOutputBy, AllowPartialManifests: e.AllowPartialManifests,
			Inputs: x.r.Asked, Adopted: p.Adopted, Reported: p.Reported,
		},
		Exports: p.Exports, Members: more.members,
		Scopes:          p.Scopes,
		TransactionTime: timeOrNil(run.TransactionTime), KickoffDate: timeOrNil(run.KickoffDate),
		Types: sum.types, Files: []sinks.File{}, Schemas: map[string]map[string]string{}, Flue: x.r.Version,
	}
	if e.Mode == "bulk" && len(e.TypeFilters) > 0 {
		m.Request.Unchecked = []string{"_typeFilter"}
	}
	if p.Kind == sinks.Delta {
		m.BaseStarted = timeOrNil(p.BaseTime)
	}
	for _, s := range x.r.Sinks {
		m.Sinks = append(m.Sinks, s.Name())
	}
	m.Watermarks = x.watermarks(sum)
	repeated := map[string]bool{}
	for _, rec := range conversions {
		if rec.Sink == extras {
			continue
		}
		var v conversion
		if err := json.Unmarshal([]byte(rec.Output), &v); err != nil {
			return nil, fmt.Errorf("read conversion: %w", err)
		}
		m.Files = append(m.Files, v.Files...)
		if v.Schema != nil {
			if m.Schemas[rec.Sink] == nil {
				m.Schemas[rec.Sink] = map[string]string{}
			}
			m.Schemas[rec.Sink][rec.Type] = string(v.Schema)
		}
		if v.Repeated > 0 && !repeated[rec.Type] {
			repeated[rec.Type] = true
			x.warn("repeated-ids", "lines of "+rec.Type+" have the id of another one and no lastUpdated tells which is newer: all are published", v.Repeated)
		}
		if v.Left > 0 {
			x.warn("columns-left", "elements of "+rec.Type+" have no column of their own, there are too many", int64(v.Left))
		}
	}
	x.warnSubsetted(sum.deliveries)
	x.keepSchemas(m)
	m.Files = append(m.Files, more.files...)
	m.Deletions, m.Lists = more.deletions, listCounts(sum.deliveries, more.deletions)
	slices.SortFunc(m.Files, func(a, b sinks.File) int { return strings.Compare(a.Path, b.Path) })
	m.Outcomes = outcomesOf(sum.deliveries)
	m.Attachments = x.attachments
	m.Warnings = append(slices.Clone(p.Warnings), x.warningsSoFar()...)
	s := x.stats()
	m.Stats = sinks.Stats{
		Tokens: s.Tokens, Kickoffs: run.Kickoffs, Requests: s.Requests, Retries: s.Retries,
		BytesRead: s.BytesRead, Seconds: s.Seconds, Resumed: run.Resumes,
	}
	return m, nil
}

// watermarks are those of the snapshot (I2).
func (x *execution) watermarks(sum *tally) map[string]time.Time {
	return x.plan.watermarks(x.mark(), sum.types, sum.doubt != "")
}

// keepSchemas takes over the column records of types that this snapshot has
// nothing of: a published column never vanishes, also after a pause.
func (x *execution) keepSchemas(m *sinks.Manifest) {
	if x.latest == nil {
		return
	}
	for sink, types := range x.latest.Schemas {
		for typ, schema := range types {
			if m.Schemas[sink] == nil {
				m.Schemas[sink] = map[string]string{}
			}
			if _, ok := m.Schemas[sink][typ]; !ok {
				m.Schemas[sink][typ] = schema
			}
		}
	}
}

func (x *execution) warningsSoFar() []sinks.Warning {
	x.warnMu.Lock()
	defer x.warnMu.Unlock()
	return slices.Clone(x.warnings)
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
