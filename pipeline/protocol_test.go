package pipeline

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/sinks"
)

// before puts a handler before the server's own.
func (s *exportServer) before(do func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	next := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { do(w, r, next) })
}

// P20, I9: each parameter of a job reaches the server, and stands in the manifest;
// P22: whether the server heeded a filter is not known, and the manifest says so.
func TestP20P22EveryParameterIsAskedAndRecorded(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	since, until := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2025, 4, 1, 0, 0, 0, 0, time.UTC)
	w.Job.Export = config.Export{
		Mode: "bulk", Level: "group", Group: "g1", Types: []string{"Patient", "Observation"},
		Since: config.Since{Time: since}, Until: until, Elements: []string{"id", "Patient.name"},
		TypeFilters:           []string{"Observation?code=a,b", "Observation?date=ge2024-01-01T00:00:00+02:00"},
		IncludeAssociatedData: []string{"LatestProvenanceResources"}, OrganizeOutputBy: "Patient", AllowPartialManifests: true,
		OutputFormat: "application/fhir+ndjson", Extra: map[string]string{"_ext": "1+1"}, Lenient: true,
	}
	m := w.run(t, Options{}).Manifest
	asked := url.Values{
		"_type": {"Patient,Observation"}, "_since": {"2025-01-02T03:04:05.000Z"}, "_until": {"2025-04-01T00:00:00.000Z"},
		"_elements": {"id,Patient.name"}, "_typeFilter": w.Job.Export.TypeFilters, "includeAssociatedData": {"LatestProvenanceResources"},
		"organizeOutputBy": {"Patient"}, "allowPartialManifests": {"true"}, "_outputFormat": {"application/fhir+ndjson"}, "_ext": {"1+1"},
	}
	if d := cmp.Diff([]url.Values{asked}, s.asked); d != "" {
		t.Errorf("asked for (-want +got):\n%s", d)
	}
	want := sinks.Request{
		Mode: "bulk", Level: "group", Group: "g1", Types: w.Job.Export.Types, Since: &since, Until: &until,
		Elements: w.Job.Export.Elements, TypeFilters: w.Job.Export.TypeFilters, Extra: w.Job.Export.Extra, Lenient: true,
		OutputFormat: "application/fhir+ndjson", IncludeAssociatedData: []string{"LatestProvenanceResources"}, OrganizeOutputBy: "Patient", AllowPartialManifests: true,
		Unchecked: []string{"_typeFilter"},
	}
	if d := cmp.Diff(want, m.Request, cmpopts.IgnoreFields(sinks.Request{}, "Fingerprint")); d != "" {
		t.Errorf("recorded (-want +got):\n%s", d)
	}
}

// P21, F18, I9: what the server says it ignored is in the manifest and a warning,
// also when the run was taken up again after the kick-off.
func TestP21F18IgnoredParametersAreRecorded(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	s.before(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(w, r)
		if strings.HasSuffix(r.URL.Path, "$export") {
			fmt.Fprint(w, `{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"not-supported","diagnostics":"parameter _elements is not supported"}]}`)
		}
	})
	w := newWorld(t, s)
	w.Job.Export.Lenient, w.Job.Export.Elements = true, []string{"id"}
	w.interrupted(t, Options{}, "state kicked_off")
	m := w.run(t, Options{}).Manifest
	if want := []string{"warning not-supported: parameter _elements is not supported"}; !slices.Equal(m.Request.Ignored, want) || !warned(m, "parameter-ignored") || s.kickoffs != 1 {
		t.Errorf("ignored %q, warnings %v after %d kick-offs; want %q", m.Request.Ignored, m.Warnings, s.kickoffs, want)
	}
}

// P27: a DELETE that fails does not fail the run, and is tried again by the next.
func TestP27FailedDeleteNeverFailsTheRun(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	refuse := true
	s.before(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		s.mu.Lock()
		no := r.Method == http.MethodDelete && refuse
		s.mu.Unlock()
		if no {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
	w := newWorld(t, s)
	w.run(t, Options{})
	w.publishedAll(t, s)
	if s.deletes != 0 {
		t.Fatalf("%d exports are deleted, want none", s.deletes)
	}
	s.mu.Lock()
	refuse = false
	s.mu.Unlock()
	w.run(t, Options{})
	if s.deletes != 2 || len(s.known) != 0 {
		t.Errorf("%d exports are deleted and %d left, want both deleted", s.deletes, len(s.known))
	}
	w.clean(t)
}

// P27: for a day after its end a run's export is tried again, however long ago the run
// began; then it is left to the server.
func TestP27FailedDeleteIsTriedForADay(t *testing.T) {
	for hours, forgotten := range map[time.Duration]bool{26 + 23: false, 26 + 25: true} {
		s := newExportServer(t)
		s.population(1, 2, "Patient", "Observation")
		s.before(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method == http.MethodDelete {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			next.ServeHTTP(w, r)
		})
		w := newWorld(t, s)
		run := w.detached(t, Options{}).Run
		w.runLater(t, 26*time.Hour, Options{})
		if w.state(t, run).StatusURL == "" {
			t.Error("the export is forgotten at the first try")
		}
		w.runLater(t, hours*time.Hour, Options{})
		if got := w.state(t, run).StatusURL == ""; got != forgotten {
			t.Errorf("%d hours after the beginning: forgotten %v, want %v", hours, got, forgotten)
		}
	}
}

// P28: the manifest keeps the transaction's time, the kick-off's and the watermark,
// which is the earlier of the two less an overlap.
func TestP28ManifestKeepsTheTimes(t *testing.T) {
	for name, tx := range map[string]time.Time{
		"of the past": time.Date(2025, 5, 1, 12, 0, 0, 0, time.UTC), "of the job's end": time.Now().Add(time.Hour).Truncate(time.Second).UTC(),
	} {
		s := newExportServer(t)
		s.population(1, 2, "Patient", "Observation")
		s.tx = tx
		began := time.Now().Truncate(time.Second)
		m := newWorld(t, s).run(t, Options{}).Manifest
		if m.TransactionTime == nil || !m.TransactionTime.Equal(tx) || m.KickoffDate == nil || m.KickoffDate.Before(began) || m.KickoffDate.After(time.Now()) {
			t.Fatalf("%s: transaction %v, kick-off %v; want %v and now", name, m.TransactionTime, m.KickoffDate, tx)
		}
		earlier := tx
		for _, other := range []time.Time{*m.KickoffDate, m.Started} {
			if other.Before(earlier) {
				earlier = other
			}
		}
		if got := m.Watermarks["Patient"]; !got.Equal(earlier.Add(-10 * time.Minute)) {
			t.Errorf("%s: watermark %v, want 10 minutes before %v", name, got, earlier)
		}
	}
}

// F27: a file that is listed twice is fetched once and published once.
func TestF27FileListedTwice(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 3, "Patient")
	s.output = append(s.output, s.output[0])
	w := newWorld(t, s)
	m := w.run(t, Options{}).Manifest
	if got := len(w.lines(t, "ndjson")); got != 3 || s.opened["Patient.0.ndjson"] != 1 || !warned(m, "manifest") {
		t.Errorf("%d lines, fetched %d times, warnings %v; want 3 lines of one request and a warning", got, s.opened["Patient.0.ndjson"], m.Warnings)
	}
}

// F48: a resource that came SUBSETTED does not take the place of a whole one, however
// new it is; where nobody asked for a part, the manifest says so.
func TestF48SubsettedNeverOverwritesFullData(t *testing.T) {
	const whole = `{"resourceType":"Patient","id":"a","meta":{"lastUpdated":"2024-01-01T00:00:00Z"},"gender":"female"}`
	const part = `{"resourceType":"Patient","id":"a","meta":{"lastUpdated":"2025-01-01T00:00:00Z","tag":[{"code":"SUBSETTED"}]}}`
	for _, order := range [][]string{{whole, part}, {part, whole}} {
		for _, elements := range [][]string{nil, {"id"}} {
			s := newExportServer(t)
			s.output = []exportFile{{typ: "Patient", name: "1", lines: order[:1]}, {typ: "Patient", name: "2", lines: order[1:]}}
			w := newWorld(t, s)
			w.Job.Export.Elements = elements
			m := w.run(t, Options{}).Manifest
			if got := w.lines(t, "ndjson"); !slices.Equal(got, []string{whole}) || m.Types[1].Superseded != 1 {
				t.Errorf("published %q, want the whole one", got)
			}
			if warned(m, "subsetted") != (elements == nil) {
				t.Errorf("elements %v: warnings %v", elements, m.Warnings)
			}
		}
	}
}

// P30: files without a type, in blocks of patients that headers lead: every line goes to
// the files of its own type in each format, headers to none, and a resource that several
// blocks repeat is published once.
func TestP30BlocksOfPatients(t *testing.T) {
	header := func(id string) string {
		return `{"resourceType":"Parameters","parameter":[{"name":"header","valueReference":{"reference":"Patient/` + id + `"}}]}`
	}
	shared := resource("Organization", 1, "en")
	s := newExportServer(t)
	s.output = []exportFile{
		{name: "1", count: -1, lines: []string{header("patient-0"), resource("Patient", 0, "en"), resource("Observation", 0, "en"), shared}},
		{name: "2", count: -1, gzip: true, lines: []string{header("patient-0"), resource("Observation", 1, "en"), header("patient-1"), resource("Patient", 1, "en"), shared}},
		{name: "3", count: -1, lines: []string{header("patient-2")}},
	}
	w := newWorld(t, s).withParquet()
	w.Job.Export.Types = []string{"Patient", "Observation", "Organization"}
	w.Job.Export.OrganizeOutputBy = "Patient"
	m := w.run(t, Options{}).Manifest
	want := []string{
		resource("Observation", 0, "en"), resource("Observation", 1, "en"), shared, resource("Patient", 0, "en"), resource("Patient", 1, "en"),
	}
	slices.Sort(want)
	if d := cmp.Diff(want, w.lines(t, "ndjson")); d != "" {
		t.Errorf("published (-want +got):\n%s", d)
	}
	for _, typ := range []string{"Patient", "Observation", "Organization"} {
		n := fileRows(m, "ndjson/"+typ+"/")
		if n == 0 || fileRows(m, "parquet/"+typ+"/") != n {
			t.Errorf("%s: %d lines and %d rows", typ, n, fileRows(m, "parquet/"+typ+"/"))
		}
	}
	counts := []sinks.TypeCount{
		{Type: "Observation", Delivered: 2, Published: 2, Complete: true},
		{Type: "Organization", Delivered: 2, Published: 1, Superseded: 1, Complete: true},
		{Type: "Patient", Delivered: 2, Published: 2, Complete: true},
		{Type: untyped, Delivered: 4, Headers: 4, Complete: true},
	}
	if d := cmp.Diff(counts, m.Types); d != "" {
		t.Errorf("counts (-want +got):\n%s", d)
	}
	if len(m.Watermarks) != 3 {
		t.Errorf("watermarks %v, want those of three types", m.Watermarks)
	}
	w.verified(t)
}

// F15: a server that is busy for ever is not asked for ever: the run fails for a reason
// that may pass, and nothing was kicked off.
func TestF15BusyForEver(t *testing.T) {
	s := newExportServer(t)
	s.refuse = slices.Repeat([]int{http.StatusTooManyRequests}, 1000)
	w := newWorld(t, s)
	r := w.open(t)
	began := time.Now()
	r.Now = func() time.Time { // the server's patience is tried by the half hour
		s.mu.Lock()
		defer s.mu.Unlock()
		return began.Add(time.Duration(len(s.asked)) * kickoffPatience / 2)
	}
	_, err := r.Run(t.Context(), Options{})
	w.sync()
	if err == nil || classOf(err) != "" || hintOf(err) == "" || len(s.asked) != 2 || s.kickoffs != 0 {
		t.Errorf("run = %v of class %q with hint %q after %d kick-offs, want one that may pass after 2", err, classOf(err), hintOf(err), len(s.asked))
	}
	must(t, r.Ledger.Close())
	s.mu.Lock()
	s.refuse = nil
	s.population(1, 1, "Patient", "Observation")
	s.mu.Unlock()
	if sum := w.run(t, Options{}); !sum.Resumed || s.kickoffs != 1 {
		t.Errorf("resumed %v with %d kick-offs", sum.Resumed, s.kickoffs)
	}
}

// I3: what comes in a list of members is counted like that of any list; that it is
// SUBSETTED is what was asked for.
func TestI3MembersAreCounted(t *testing.T) {
	s := newGroupServer(t, "a", "b")
	w := newGroupWorld(t, s)
	m := w.run(t, Options{}).Manifest
	if want := []sinks.ListCount{{List: "member", Delivered: 2, Left: 2}}; !slices.Equal(m.Lists, want) || warned(m, "subsetted") {
		t.Errorf("lists %+v, warnings %v; want %+v", m.Lists, m.Warnings, want)
	}
	w.verified(t)
}
