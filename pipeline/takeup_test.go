package pipeline

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/sinks"
)

// interrupted runs the job and stops it at a step; the run can be resumed.
func (w *world) interrupted(t *testing.T, o Options, step string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := w.open(t)
	r.probe = func(at string) {
		if at == step {
			cancel()
		}
	}
	sum, err := r.Run(ctx, o)
	w.sync()
	if err == nil {
		t.Fatal("the run was not interrupted")
	}
	if err := r.Ledger.Close(); err != nil {
		t.Fatal(err)
	}
	return sum.Run
}

// state reads a run from the ledger.
func (w *world) state(t *testing.T, run string) ledger.Run {
	t.Helper()
	l, err := ledger.Open(t.Context(), filepath.Join(w.Dir, "state"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, err := l.Run(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A run that is taken up again keeps its export when the server cannot tell just
// then what it is.
func TestTakenUpWithoutCapability(t *testing.T) {
	s := newExportServer(t)
	s.population(2, 2, "Patient", "Observation")
	w := newWorld(t, s)
	run := w.interrupted(t, Options{}, "landed")
	s.page = true
	if sum := w.run(t, Options{}); sum.Run != run || !sum.Resumed || sum.Manifest.Server.FHIRVersion != "4.0.1" || s.kickoffs != 1 {
		t.Errorf("resumed %v, FHIR version %q, %d kick-offs; want the run to go on", sum.Resumed, sum.Manifest.Server.FHIRVersion, s.kickoffs)
	}
	w.publishedAll(t, s)
	w.clean(t)
}

// A run that must not be taken up again is abandoned: its export is deleted and
// a new one begun, and what it left is removed.
func TestAbandoned(t *testing.T) {
	for name, tt := range map[string]struct {
		options Options
		change  func(t *testing.T, w *world, r *Runner, run string)
	}{
		"fresh":             {Options{Fresh: true}, nil},
		"the job's types":   {Options{}, func(t *testing.T, w *world, r *Runner, run string) { r.Job.Export.Types = []string{"Patient"} }},
		"the job's filters": {Options{}, func(t *testing.T, w *world, r *Runner, run string) { r.Job.Export.Elements = []string{"id"} }},
		"the job's sinks":   {Options{}, func(t *testing.T, w *world, r *Runner, run string) { r.Job.Sinks[0].Level = 3 }},
		"the watermark":     {Options{}, func(t *testing.T, w *world, r *Runner, run string) { must(t, r.ClearWatermark(t.Context())) }},
		"too old": {Options{}, func(t *testing.T, w *world, r *Runner, run string) {
			r.Now = func() time.Time { return time.Now().Add(defaultResumeWithin) }
		}},
		"longer than max_duration": {Options{}, func(t *testing.T, w *world, r *Runner, run string) {
			r.Job.Policies.MaxDuration = time.Hour
			r.Now = func() time.Time { return time.Now().Add(time.Hour) }
		}},
		"lasting failure": {Options{}, func(t *testing.T, w *world, r *Runner, run string) {
			_, err := r.Ledger.Update(t.Context(), run, func(run *ledger.Run) { run.Class = classQuality })
			must(t, err)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newExportServer(t)
			s.population(1, 2, "Patient", "Observation")
			w := newWorld(t, s)
			old := w.interrupted(t, Options{}, "landed")
			r := w.open(t)
			if tt.change != nil {
				tt.change(t, w, r, old)
			}
			sum, err := r.Run(t.Context(), tt.options)
			w.sync()
			must(t, err)
			must(t, r.Ledger.Close())
			if sum.Resumed || sum.Run == old || s.kickoffs != 2 || s.deletes != 2 {
				t.Errorf("resumed %v, %d kick-offs, %d deletes; want a new run, 2, 2", sum.Resumed, s.kickoffs, s.deletes)
			}
			if run := w.state(t, old); run.State != Abandoned || run.StatusURL != "" {
				t.Errorf("the old run is %s, its status URL known: %v", run.State, run.StatusURL != "")
			}
			w.publishedAll(t, s)
			w.clean(t)
		})
	}
}

func TestFullAbandonsADeltaOnly(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	first := w.interrupted(t, Options{}, "landed")
	if sum := w.run(t, Options{Full: true}); sum.Run != first {
		t.Error("a full run was not taken up by --full")
	}
	delta := w.interrupted(t, Options{}, "landed")
	if w.state(t, delta).Kind != string(sinks.Delta) {
		t.Fatal("the second run is no delta")
	}
	sum := w.run(t, Options{Full: true})
	if sum.Run == delta || sum.Manifest.Kind != sinks.Full {
		t.Errorf("--full gave %s, the same run %v", sum.Manifest.Kind, sum.Run == delta)
	}
}

// I4: a refused token and an unset variable can be mended, so what the server has
// done is worth keeping.
func TestI4MendableFailureIsResumed(t *testing.T) {
	for _, class := range []string{classAuth, classUsage} {
		for _, step := range []string{"state exporting", "landed"} {
			t.Run(class+" after "+step, func(t *testing.T) {
				s := newExportServer(t)
				s.population(1, 2, "Patient", "Observation")
				w := newWorld(t, s)
				old := w.interrupted(t, Options{}, step)
				for range 2 {
					r := w.open(t)
					r.Auth = &authorizer{err: &Failure{Text: "not authorized", Kind: class}}
					_, err := r.Run(t.Context(), Options{})
					w.sync()
					if classOf(err) != class {
						t.Fatalf("run = %v, want class %s", err, class)
					}
					must(t, r.Ledger.Close())
				}
				if sum := w.run(t, Options{}); sum.Run != old || s.kickoffs != 1 {
					t.Errorf("run %s instead of %s, %d kick-offs", sum.Run, old, s.kickoffs)
				}
				w.publishedAll(t, s)
				w.clean(t)
			})
		}
	}
}

// Before the server has done anything for it, a run that failed by its
// configuration is given up.
func TestUsageFailureBeforeTheKickoff(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	r := w.open(t)
	r.Auth = &authorizer{err: &Failure{Text: "not set", Kind: classUsage}}
	old, err := r.Run(t.Context(), Options{})
	if classOf(err) != classUsage {
		t.Fatalf("run = %v, want class usage", err)
	}
	must(t, r.Ledger.Close())
	if sum := w.run(t, Options{}); sum.Run == old.Run {
		t.Error("it was taken up again")
	}
	w.clean(t)
}

// I2: a chain of snapshots, by what the server is asked.
func TestI2Chain(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	full := w.run(t, Options{}).Manifest
	first := w.run(t, Options{}).Manifest
	second := w.run(t, Options{}).Manifest
	if first.Kind != sinks.Delta || first.Base != full.Name || first.Previous != full.Name {
		t.Errorf("first delta rests on %q behind %q, want %q", first.Base, first.Previous, full.Name)
	}
	if second.Kind != sinks.Delta || second.Base != full.Name || second.Previous != first.Name || !second.BaseStarted.Equal(full.Started) {
		t.Errorf("second delta rests on %q behind %q, want %q behind %q", second.Base, second.Previous, full.Name, first.Name)
	}
	since := s.tx.Add(-10 * time.Minute).Format(time.RFC3339)
	got := s.asked[1].Get("_since")
	if at, err := time.Parse(time.RFC3339, got); err != nil || !at.Equal(s.tx.Add(-10*time.Minute)) {
		t.Errorf("_since = %q, want %q", got, since)
	}
	if s.asked[0].Has("_since") {
		t.Error("a full run asks since a time")
	}

	// The chain grows old.
	r := w.open(t)
	r.Now = func() time.Time { return time.Now().Add(defaultFullEvery) }
	sum, err := r.Run(t.Context(), Options{})
	w.sync()
	must(t, err)
	must(t, r.Ledger.Close())
	if sum.Manifest.Kind != sinks.Full {
		t.Errorf("after full_every came a %s", sum.Manifest.Kind)
	}

	// Another request: the watermarks are not its own.
	w.Job.Export.TypeFilters = []string{"Patient?active=true"}
	if m := w.run(t, Options{}).Manifest; m.Kind != sinks.Full {
		t.Errorf("another request gave a %s", m.Kind)
	}
}

func TestWatermarkOverride(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	w.run(t, Options{})
	mark := time.Date(2025, 2, 3, 0, 0, 0, 0, time.UTC)

	r := w.open(t)
	must(t, r.SetWatermark(t.Context(), mark))
	known, err := r.Watermarks(t.Context())
	must(t, err)
	if known.Override == nil || !known.Override.Equal(mark) || len(known.Marks) != 2 || !strings.Contains(known.Next, "2025-02-03") {
		t.Errorf("Watermarks = %+v", known)
	}
	must(t, r.Ledger.Close())
	if m := w.run(t, Options{}).Manifest; m.Kind != sinks.Delta || !m.Request.Since.Equal(mark) {
		t.Errorf("the run asked %s since %v, want a delta since %v", m.Kind, m.Request.Since, mark)
	}
	// It holds for one run.
	if m := w.run(t, Options{}).Manifest; m.Request.Since.Equal(mark) {
		t.Error("the override outlived the run that heeded it")
	}
	r = w.open(t)
	must(t, r.ClearWatermark(t.Context()))
	must(t, r.Ledger.Close())
	if m := w.run(t, Options{}).Manifest; m.Kind != sinks.Full {
		t.Errorf("a cleared watermark gave a %s", m.Kind)
	}
	r = w.open(t)
	if err := r.SetWatermark(t.Context(), time.Now().Add(time.Hour)); classOf(err) != classUsage {
		t.Errorf("a watermark in the future: %v", err)
	}
	r.Job.Export.Since = config.Since{}
	if err := r.SetWatermark(t.Context(), mark); classOf(err) != classUsage {
		t.Errorf("a watermark of a job without: %v", err)
	}
}

// F4, F31: types that are not granted fail the run, or are left out by name.
func TestF4MissingScope(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient")
	w := newWorld(t, s)
	grant := Grant{Requested: []string{"system/Patient.rs", "system/Observation.rs"}, Missing: []string{"system/Observation.rs"}, Types: []string{"Observation"}}
	r := w.open(t)
	r.Auth = &authorizer{grant: grant}
	_, err := r.Run(t.Context(), Options{})
	w.sync()
	if classOf(err) != classAuth || !strings.Contains(err.Error(), "system/Observation.rs") || s.kickoffs != 0 {
		t.Errorf("run = %v of class %q after %d kick-offs, want auth, naming the scope, 0", err, classOf(err), s.kickoffs)
	}
	r.Job.Policies.MissingScope = "skip"
	sum, err := r.Run(t.Context(), Options{})
	w.sync()
	must(t, err)
	m := sum.Manifest
	if got := s.asked[0].Get("_type"); got != "Patient" {
		t.Errorf("_type = %q, want Patient only", got)
	}
	// Two tries of one run: the first failed for its scopes.
	i := slices.IndexFunc(m.Types, func(c sinks.TypeCount) bool { return c.Type == "Observation" })
	if i < 0 || m.Types[i].Complete || m.Types[i].Reason != "not granted" {
		t.Errorf("types %+v", m.Types)
	}
	if _, ok := m.Watermarks["Observation"]; ok || len(m.Watermarks) != 1 || m.Stats.Tokens != 14 || !warned(m, "type-not-granted") {
		t.Errorf("watermarks %v, tokens %d, warnings %v", m.Watermarks, m.Stats.Tokens, m.Warnings)
	}
	grant.Types = []string{"Patient", "Observation"}
	r.Auth = &authorizer{grant: grant}
	_, err = r.Run(t.Context(), Options{Fresh: true})
	w.sync()
	if classOf(err) != classAuth {
		t.Errorf("nothing granted: %v", err)
	}
	must(t, r.Ledger.Close())
}

type authorizer struct {
	grant  Grant
	lost   Grant // by a later token
	err    error
	tokens int64
}

func (a *authorizer) Authorize(context.Context) (Grant, error) {
	a.tokens += 7
	return a.grant, a.err
}

func (a *authorizer) Tokens() int64 { return a.tokens }

func (a *authorizer) Lost() (scopes, types []string) {
	return append(a.lost.Missing, a.grant.Missing...), append(a.lost.Types, a.grant.Types...)
}

// I10: a second run of the job is refused while the first goes on, and cancel
// reaches into the other process.
func TestI10HeldAndCancelled(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	s.block = make(chan struct{})
	w := newWorld(t, s)
	first := w.open(t)
	landing := make(chan struct{})
	first.probe = func(step string) {
		if step == "state landing" {
			close(landing)
		}
	}
	ended := make(chan error, 1)
	var sum *Summary
	go func() {
		var err error
		sum, err = first.Run(context.Background(), Options{})
		w.sync()
		ended <- err
	}()
	<-landing
	second := w.open(t)
	_, err := second.Run(t.Context(), Options{})
	w.sync()
	var held *ledger.HeldError
	if !errors.As(err, &held) || held.Holder.Run == "" {
		t.Errorf("second run = %v, want *HeldError that names the run", err)
	}
	must(t, second.Cancel(t.Context(), held.Holder.Run))
	if err := <-ended; !errors.Is(err, ErrCancelled) || sum.State != Cancelled {
		t.Errorf("the cancelled run = %s, %v", sum.State, err)
	}
	if s.deletes != 1 {
		t.Errorf("%d exports deleted, want 1", s.deletes)
	}
	must(t, first.Ledger.Close())
	must(t, second.Ledger.Close())
	if w.latest(t) != nil {
		t.Error("a cancelled run is published")
	}
	w.clean(t)
	if err := w.open(t).Cancel(t.Context(), held.Holder.Run); classOf(err) != classUsage {
		t.Errorf("cancelling twice: %v", err)
	}
}

func TestCancelAFailedRun(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	run := w.interrupted(t, Options{}, "landed")
	r := w.open(t)
	must(t, r.Cancel(t.Context(), run))
	must(t, r.Ledger.Close())
	if got := w.state(t, run); got.State != Cancelled || s.deletes != 1 {
		t.Errorf("run is %s after %d deletes", got.State, s.deletes)
	}
	w.clean(t)
	if sum := w.run(t, Options{}); sum.Run == run {
		t.Error("a cancelled run was taken up again")
	}
}

func TestMaxDuration(t *testing.T) {
	s := newExportServer(t)
	s.polls = 1 << 30
	w := newWorld(t, s)
	w.Job.Policies.MaxDuration = 100 * time.Millisecond
	err := w.fails(t, Options{})
	if classOf(err) != classServer || !strings.Contains(err.Error(), "max_duration") || s.deletes != 1 {
		t.Errorf("run = %v of class %q, %d deletes; want class server, and the export deleted", err, classOf(err), s.deletes)
	}
}

// What dead runs left goes at the next start; what others may need stays.
func TestSweep(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 1, "Patient", "Observation")
	w := newWorld(t, s)
	r := w.open(t)
	other, err := r.Ledger.Begin(t.Context(), ledger.Run{ID: ledger.NewID(time.Now()), Job: "other"})
	must(t, err)
	dead, err := r.Ledger.Begin(t.Context(), ledger.Run{ID: ledger.NewID(time.Now()), Job: "other"})
	must(t, err)
	_, err = r.Ledger.Update(t.Context(), dead.ID, func(r *ledger.Run) { r.State = Abandoned })
	must(t, err)
	want := map[string]bool{
		other.ID: true, dead.ID: false, "not-a-run": true,
		ledger.NewID(time.Now()): true, ledger.NewID(time.Now().Add(-orphanAge - time.Hour)): false,
	}
	for name := range want {
		must(t, os.MkdirAll(filepath.Join(w.Dir, "spool", name), 0o700))
	}
	must(t, os.MkdirAll(filepath.Join(w.Dir, "out", "nightly", ".staging-"+dead.ID), 0o700))
	must(t, r.Ledger.Close())
	w.run(t, Options{})
	for name, stays := range want {
		if _, err := os.Stat(filepath.Join(w.Dir, "spool", name)); (err == nil) != stays {
			t.Errorf("spool of %s stays %v, want %v", name, err == nil, stays)
		}
	}
	if _, err := os.Stat(filepath.Join(w.Dir, "out", "nightly", ".staging-"+dead.ID)); err == nil {
		t.Error("the staging of a dead run is left")
	}
}

func TestCheck(t *testing.T) {
	s := newExportServer(t)
	w := newWorld(t, s)
	r := w.open(t)
	r.Auth = &authorizer{grant: Grant{Requested: []string{"system/Patient.rs"}}}
	var names []string
	r.Check(t.Context(), func(f Finding) {
		names = append(names, f.Name)
		if f.Err != nil || f.Text == "" {
			t.Errorf("%s: %q, %v", f.Name, f.Text, f.Err)
		}
	})
	if got := strings.Join(names, " "); got != "authorization server destination spool plan" {
		t.Errorf("checks: %s", got)
	}
	s.version = "5.0.0"
	failed := false
	r.Check(t.Context(), func(f Finding) { failed = failed || f.Name == "server" && f.Err != nil })
	if !failed {
		t.Error("FHIR R5 passes the check")
	}
	if s.kickoffs != 0 {
		t.Error("a check kicked off an export")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
