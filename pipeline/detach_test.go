package pipeline

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flue-fhir/flue/sinks"
)

// detached runs the job and wants its export to be left at the server.
func (w *world) detached(t *testing.T, o Options) *Summary {
	t.Helper()
	o.Detach = true
	r := w.open(t)
	sum, err := r.Run(t.Context(), o)
	w.sync()
	if err != nil {
		t.Fatalf("run: %v (%s)", err, hintOf(err))
	}
	must(t, r.Ledger.Close())
	if !sum.Detached || sum.Manifest != nil || sum.State.Terminal() || sum.Error != "" {
		t.Fatalf("the run is %s, detached %v", sum.State, sum.Detached)
	}
	return sum
}

// F24, I4: an export that was left at the server is fetched by the next run of the
// job, days later, without a second kick-off.
func TestF24I4DetachedExportIsFetchedLater(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	s.polls = 1
	w := newWorld(t, s)
	sum := w.detached(t, Options{})
	if s.kickoffs != 1 || s.manifests != 0 || s.deletes != 0 || w.latest(t) != nil {
		t.Fatalf("%d kick-offs, %d manifests, %d deletes", s.kickoffs, s.manifests, s.deletes)
	}
	if again := w.detached(t, Options{}); again.Run != sum.Run || s.kickoffs != 1 {
		t.Errorf("a second time: run %s after %s, %d kick-offs", again.Run, sum.Run, s.kickoffs)
	}
	r := w.open(t)
	r.Now = func() time.Time { return time.Now().Add(20 * 24 * time.Hour) }
	done, err := r.Run(t.Context(), Options{})
	w.sync()
	must(t, err)
	must(t, r.Ledger.Close())
	if done.Run != sum.Run || !done.Resumed || done.Detached || s.kickoffs != 1 || s.deletes != 1 {
		t.Errorf("run %s after %s, resumed %v, %d kick-offs, %d deletes", done.Run, sum.Run, done.Resumed, s.kickoffs, s.deletes)
	}
	w.publishedAll(t, s)
	w.clean(t)
}

// The patience with what was left at the server has an end, which the job sets.
func TestDetachedWithin(t *testing.T) {
	for _, tt := range []struct {
		within, age time.Duration
		taken       bool
	}{
		{0, 29 * 24 * time.Hour, true},
		{0, 30 * 24 * time.Hour, false},
		{time.Hour, 59 * time.Minute, true},
		{time.Hour, time.Hour, false},
	} {
		s := newExportServer(t)
		s.population(1, 2, "Patient", "Observation")
		w := newWorld(t, s)
		w.Job.Policies.DetachedWithin = tt.within
		run := w.detached(t, Options{}).Run
		r := w.open(t)
		r.Now = func() time.Time { return time.Now().Add(tt.age) }
		sum, err := r.Run(t.Context(), Options{})
		w.sync()
		must(t, err)
		must(t, r.Ledger.Close())
		if got := sum.Run == run; got != tt.taken {
			t.Errorf("within %v, after %v: taken up %v, want %v", tt.within, tt.age, got, tt.taken)
		}
		w.clean(t)
	}
}

// runLater runs the job when so much time has passed.
func (w *world) runLater(t *testing.T, after time.Duration, o Options) *Summary {
	t.Helper()
	r := w.open(t)
	r.Now = func() time.Time { return time.Now().Add(after) }
	sum, err := r.Run(t.Context(), o)
	w.sync()
	must(t, err)
	must(t, r.Ledger.Close())
	return sum
}

// F24: max_duration bounds what a try takes, not how long the server works meanwhile.
func TestF24DetachedBeyondMaxDuration(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	w.Job.Policies.MaxDuration = time.Hour
	run := w.detached(t, Options{}).Run
	sum := w.runLater(t, 26*time.Hour, Options{})
	if sum.Run != run || s.kickoffs != 1 {
		t.Errorf("run %s after %s, %d kick-offs, want the same and 1", sum.Run, run, s.kickoffs)
	}
	w.clean(t)
}

// P28: to adopt what the job itself detached changes nothing of what is known of its
// kick-off.
func TestP28AdoptedOwnExport(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	run := w.state(t, w.detached(t, Options{}).Run)
	later := run.KickoffDate.Add(time.Hour)
	sum := w.runLater(t, 2*time.Hour, Options{Adopt: &Adoption{StatusURL: run.StatusURL, KickedOff: later}})
	if m := sum.Manifest; sum.Run != run.ID || m.Request.Adopted || !m.KickoffDate.Equal(run.KickoffDate) {
		t.Errorf("run %s after %s, adopted %v, kicked off at %v, want %v", sum.Run, run.ID, m.Request.Adopted, m.KickoffDate, run.KickoffDate)
	}
	w.clean(t)
}

func TestDetachedIsCancelled(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	run := w.detached(t, Options{}).Run
	r := w.open(t)
	must(t, r.Cancel(t.Context(), run))
	must(t, r.Ledger.Close())
	w.sync()
	if s.deletes != 1 || w.state(t, run).State != Cancelled {
		t.Errorf("%d deletes, the run is %s", s.deletes, w.state(t, run).State)
	}
	w.clean(t)
}

// A search leaves nothing at the server to come back for.
func TestDetachNeedsAnExport(t *testing.T) {
	s := newExportServer(t)
	w := newWorld(t, s)
	w.Job.Export.Mode = "search"
	for _, o := range []Options{{Detach: true}, {Adopt: &Adoption{StatusURL: s.URL + "/status/1"}}} {
		if err := w.fails(t, o); classOf(err) != classUsage {
			t.Errorf("%v", err)
		}
	}
}

// started has the server run an export that no run of the job asked for.
func (s *exportServer) started(says string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.says = says
	s.kickoffs++
	s.known[s.kickoffs] = 0
	return s.URL + "/status/1?secret=s3cr3t"
}

// wants is the request of the world's job.
const wants = "$export?_type=Observation,Patient"

// I2, I9: an adopted export is published as if the job had asked for it, and the
// watermark moves when it is known when it was asked for.
func TestI2I9Adopted(t *testing.T) {
	noon := time.Date(2025, 5, 1, 12, 0, 0, 0, time.UTC)
	told := Adoption{KickedOff: noon.Add(-time.Hour)}
	trusted := told
	trusted.Trust = true
	for _, tt := range []struct {
		name, says string
		adoption   Adoption
		polls      int
		tx         time.Time
		reported   string
		mark       time.Time
	}{
		{"when and what are known", wants, told, 2, noon, "/fhir/$export?_type", noon.Add(-time.Hour - defaultOverlap)},
		{"when is not known", wants, Adoption{}, 0, noon, "/fhir/$export?_type", time.Time{}},
		{"it ran after its transaction time", wants, Adoption{}, 2, noon, "/fhir/$export?_type", noon.Add(-defaultOverlap)},
		{"it ran by a clock that may differ", wants, Adoption{}, 2, time.Now().Add(-defaultOverlap / 2), "/fhir/$export?_type", time.Time{}},
		{"what is a person's word", "$export", trusted, 2, noon, "/fhir/$export", time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newExportServer(t)
			s.population(1, 2, "Patient", "Observation")
			s.polls, s.tx = tt.polls, tt.tx
			w := newWorld(t, s)
			tt.adoption.StatusURL = s.started(tt.says)
			sum := w.run(t, Options{Adopt: &tt.adoption})
			m := sum.Manifest
			if m.Kind != sinks.Full || !m.Request.Adopted || m.Request.Reported != s.URL+tt.reported || m.Stats.Kickoffs != 0 || s.deletes != 1 {
				t.Errorf("%s, adopted %v, reported %q, %d kick-offs, %d deletes", m.Kind, m.Request.Adopted, m.Request.Reported, m.Stats.Kickoffs, s.deletes)
			}
			held := slices.ContainsFunc(m.Warnings, func(w sinks.Warning) bool { return w.Code == "watermark-held" })
			if got := m.Watermarks["Patient"]; !got.Equal(tt.mark) || (len(m.Watermarks) == 0) != tt.mark.IsZero() || held != tt.mark.IsZero() {
				t.Errorf("watermarks %v, want %v; warned %v", m.Watermarks, tt.mark, held)
			}
			w.publishedAll(t, s)
			w.clean(t)
			next := w.run(t, Options{}).Manifest
			if want := map[bool]sinks.Kind{true: sinks.Delta, false: sinks.Full}[!tt.mark.IsZero()]; next.Kind != want || next.Request.Adopted {
				t.Errorf("the next run is %s, want %s; adopted %v", next.Kind, want, next.Request.Adopted)
			}
		})
	}
}

// I2: an export of changes goes on the chain when it begins where the chain ends,
// and is refused when it leaves a gap or is of another time.
func TestI2AdoptedChanges(t *testing.T) {
	for _, tt := range []struct {
		name, since string
		older       bool
		published   bool
	}{
		{"since the watermark", "2025-05-01T11:50:00Z", false, true},
		{"since before the watermark", "2025-04-30T00:00:00%2B02:00", false, true},
		{"since after the watermark", "2025-05-01T11:51:00Z", false, false},
		{"unreadable", "yesterday", false, false},
		{"older than the snapshot", "2025-04-30T00:00:00Z", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newExportServer(t)
			s.population(1, 2, "Patient", "Observation")
			w := newWorld(t, s)
			first := w.run(t, Options{}).Manifest
			a := Adoption{StatusURL: strings.Replace(s.started(wants+"&_since="+tt.since), "/1?", "/2?", 1)}
			if tt.older {
				s.tx = s.tx.Add(-time.Hour)
			}
			if !tt.published {
				err := w.fails(t, Options{Adopt: &a})
				if classOf(err) != classUsage || hintOf(err) == "" || s.deletes != 1 {
					t.Errorf("%v (%s), %d deletes; the export is not ours to delete", err, hintOf(err), s.deletes)
				}
				if m := w.latest(t); m.Run != first.Run {
					t.Error("something was published")
				}
				return
			}
			m := w.run(t, Options{Adopt: &a}).Manifest
			if m.Kind != sinks.Delta || m.Previous != first.Name || m.Request.Since == nil || m.Request.Since.After(first.Watermarks["Patient"]) {
				t.Errorf("%s on %q since %v", m.Kind, m.Previous, m.Request.Since)
			}
			if !m.Watermarks["Patient"].Equal(first.Watermarks["Patient"]) {
				t.Errorf("the watermark moved to %v", m.Watermarks["Patient"])
			}
			w.clean(t)
		})
	}
}

// I2, I9: an export that the job did not mean is not published, stays at the server,
// and the job goes on without it.
func TestI9AdoptedForeignRequest(t *testing.T) {
	for says, want := range map[string]string{
		"$export":                         "does not repeat",
		"$export?_type=Patient":           "_type",
		wants + "&_elements=id":           "_elements",
		wants + "&_typeFilter=Patient%3F": "_typeFilter",
		"Patient/" + wants:                "level",
		"Group/1/" + wants:                "level",
		"nothing":                         "does not repeat",
		"/tenant-b/" + wants:              "another base URL",
	} {
		s := newExportServer(t)
		s.population(1, 2, "Patient", "Observation")
		w := newWorld(t, s)
		a := &Adoption{StatusURL: s.started(says)}
		err := w.fails(t, Options{Adopt: a})
		if classOf(err) != classUsage || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v, want %q", says, err, want)
		}
		if s.deletes != 0 || len(s.known) != 1 || w.latest(t) != nil {
			t.Errorf("%s: %d deletes, published %v", says, s.deletes, w.latest(t) != nil)
		}
		if sum := w.run(t, Options{}); sum.Resumed || sum.Manifest.Request.Adopted {
			t.Errorf("%s: the next run is not one of its own", says)
		}
		w.clean(t)
	}
}

// P15, F32: a status URL goes through the same checks as one of the server's, and
// what does not answer as an export does is never deleted.
func TestP15F32AdoptedURL(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	other := newExportServer(t)
	w := newWorld(t, s)
	for _, link := range []string{
		"", "status/1", "ftp://127.0.0.1/status/1", "https://user:s3cr3t@127.0.0.1/status/1", "http://ehr.example.org/status/1?s3cr3t",
		other.started(wants), s.URL + "/fhir/metadata?s3cr3t", s.URL + "/status/77?s3cr3t",
	} {
		err := w.fails(t, Options{Adopt: &Adoption{StatusURL: link}})
		if strings.Contains(err.Error(), "s3cr3t") || classOf(err) == "" {
			t.Errorf("%q: %v", link, err)
		}
	}
	if err := w.fails(t, Options{Adopt: &Adoption{StatusURL: s.started(wants), KickedOff: time.Now().Add(time.Hour)}}); classOf(err) != classUsage {
		t.Errorf("a kick-off in the future: %v", err)
	}
	if s.deletes+other.deletes != 0 || other.manifests != 0 || len(s.stray)+len(other.stray) != 0 {
		t.Errorf("%d deletes, %d asked elsewhere, stray %v %v", s.deletes+other.deletes, other.manifests, s.stray, other.stray)
	}
	r := w.open(t)
	runs, err := r.Ledger.Runs(t.Context(), "", 0)
	must(t, err)
	if len(runs) != 0 {
		t.Errorf("%d runs are recorded", len(runs))
	}
}

// I5: no adoption costs the job an export that it has, and one that was interrupted
// goes on, by either command.
func TestI5AdoptedBesideOthers(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	w.detached(t, Options{})
	foreign := strings.Replace(s.started(wants), "/1?", "/2?", 1)
	err := w.fails(t, Options{Adopt: &Adoption{StatusURL: foreign}})
	if classOf(err) != classUsage || s.deletes != 0 {
		t.Fatalf("%v, %d deletes", err, s.deletes)
	}
	w.run(t, Options{}) // ends the first
	if s.kickoffs != 2 {
		t.Fatalf("%d kick-offs", s.kickoffs)
	}
	a := w.detached(t, Options{Adopt: &Adoption{StatusURL: foreign}})
	b := w.detached(t, Options{Adopt: &Adoption{StatusURL: foreign}})
	if a.Run != b.Run {
		t.Errorf("the export was adopted by %s and %s", a.Run, b.Run)
	}
	if done := w.run(t, Options{}); done.Run != a.Run || !done.Manifest.Request.Adopted || s.kickoffs != 2 {
		t.Errorf("run %s of %s, %d kick-offs", done.Run, a.Run, s.kickoffs)
	}
	w.clean(t)
	if err := w.fails(t, Options{Adopt: &Adoption{StatusURL: foreign}}); classOf(err) != classServer {
		t.Errorf("an export that is gone: %v", err)
	}
}

// I4: no job takes over what a run of another one waits for.
func TestI4AdoptedFromAnotherJob(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	s.says = wants
	w := newWorld(t, s)
	run := w.state(t, w.detached(t, Options{}).Run)
	other := *w
	other.Job.Name = "other"
	err := other.fails(t, Options{Adopt: &Adoption{StatusURL: run.StatusURL}})
	if classOf(err) != classUsage || !strings.Contains(err.Error(), run.ID+" of job "+run.Job) || s.deletes != 0 {
		t.Errorf("%v, %d deletes", err, s.deletes)
	}
	if sum := w.run(t, Options{}); sum.Run != run.ID || s.kickoffs != 1 || len(sum.Manifest.Warnings) != 0 {
		t.Errorf("run %s after %s, %d kick-offs, warnings %v", sum.Run, run.ID, s.kickoffs, sum.Manifest.Warnings)
	}
	w.clean(t)
}

// F22: the server has no other copy of an adopted export; nothing is asked for in
// its place.
func TestF22AdoptedExportIsLost(t *testing.T) {
	s := newExportServer(t)
	s.polls = 3
	w := newWorld(t, s)
	w.detached(t, Options{Adopt: &Adoption{StatusURL: s.started(wants)}})
	s.lose = 2
	err := w.fails(t, Options{})
	if classOf(err) != classServer || s.kickoffs != 1 || errors.Is(err, errDetached) {
		t.Errorf("%v, %d kick-offs", err, s.kickoffs)
	}
}

// I4, I5: a process that is killed anywhere while it adopts, and a plain run after
// it, publish the adopted export and ask for no other one.
func TestI4I5AdoptionKilled(t *testing.T) {
	for _, step := range []string{"state planned", "state authorized", "state exporting", "polled", "state landing", "landed", "visible"} {
		s := newExportServer(t)
		s.population(1, 2, "Patient", "Observation")
		s.polls = 2
		w := newWorld(t, s)
		w.Options.Adopt = &Adoption{StatusURL: s.started(wants)}
		t.Setenv("FLUE_TEST_CRASH_STEP", step)
		if said, killed := w.process(t, 0); !killed {
			t.Fatalf("%s: the process was not killed: %s", step, said)
		}
		t.Setenv("FLUE_TEST_CRASH_STEP", "")
		w.Options = Options{}
		w.whole(t, s, step)
		w.process(t, 0)
		if m := w.latest(t); m == nil || !m.Request.Adopted || s.kickoffs != 1 {
			t.Errorf("%s: published %v, %d kick-offs", step, m != nil, s.kickoffs)
		}
		w.publishedAll(t, s)
		w.clean(t)
	}
}

// I4: the same for a run that detaches.
func TestI4DetachKilled(t *testing.T) {
	for _, step := range []string{"state kicked_off", "detached"} {
		s := newExportServer(t)
		s.population(1, 2, "Patient", "Observation")
		w := newWorld(t, s)
		w.Options.Detach = true
		t.Setenv("FLUE_TEST_CRASH_STEP", step)
		if said, killed := w.process(t, 0); !killed {
			t.Fatalf("%s: the process was not killed: %s", step, said)
		}
		t.Setenv("FLUE_TEST_CRASH_STEP", "")
		w.process(t, 0)
		w.Options = Options{}
		w.process(t, 0)
		if s.kickoffs != 1 {
			t.Errorf("%s: %d kick-offs", step, s.kickoffs)
		}
		w.publishedAll(t, s)
		w.clean(t)
	}
}
