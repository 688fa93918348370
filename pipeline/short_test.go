package pipeline

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/sinks"
)

// searchWorld is a world whose server answers a search for a type with a Bundle of
// the members that answer gives, or with 403 for "".
func searchWorld(t *testing.T, types []string, answer func(typ string) string) *world {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		typ := strings.TrimPrefix(r.URL.Path, "/fhir/")
		if typ == "metadata" {
			fmt.Fprint(w, `{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}`)
			return
		}
		members := answer(typ)
		if members == "" {
			w.WriteHeader(http.StatusForbidden) // a run that can be resumed
			return
		}
		fmt.Fprintf(w, `{"resourceType":"Bundle","type":"searchset",%s}`, members)
	}))
	t.Cleanup(srv.Close)
	w := &world{Dir: tempDir(t), URL: srv.URL + "/fhir", Job: newWorldJob()}
	w.Job.Export = config.Export{Mode: "search", Types: types, Since: config.Since{Last: true}}
	return w
}

const (
	onePatient     = `"total":1,"entry":[{"resource":{"resourceType":"Patient","id":"a"}}]`
	cutPatients    = `"total":100,"entry":[{"resource":{"resourceType":"Patient","id":"a"}}]`
	oneObservation = `"total":1,"link":[{"relation":"self","url":"?patient=a"}],"entry":[{"resource":{"resourceType":"Observation","id":"o"}}]`
)

func warnedOf(m *sinks.Manifest, text string) bool {
	return slices.ContainsFunc(m.Warnings, func(w sinks.Warning) bool { return strings.Contains(w.Text, text) })
}

func countOf(t *testing.T, m *sinks.Manifest, typ string) sinks.TypeCount {
	t.Helper()
	i := slices.IndexFunc(m.Types, func(c sinks.TypeCount) bool { return c.Type == typ })
	if i < 0 {
		t.Fatalf("no counts of %s in %+v", typ, m.Types)
	}
	return m.Types[i]
}

// heldBack wants the type to be in the snapshot as not whole, and without a
// watermark (I2).
func heldBack(t *testing.T, m *sinks.Manifest, typ, reason string) {
	t.Helper()
	if c := countOf(t, m, typ); c.Complete || c.Reason != reason {
		t.Errorf("%s: complete %v, reason %q, want %q", typ, c.Complete, c.Reason, reason)
	}
	if mark, ok := m.Watermarks[typ]; ok {
		t.Errorf("%s has a watermark, %s", typ, mark)
	}
}

// F49: a next link that leads nowhere ends no search as if all had come.
func TestF49NextLinkWithoutURL(t *testing.T) {
	for _, link := range []string{`{"relation":"next"}`, `{"relation":"next","url":""}`, `{"relation":"next","url":null}`} {
		w := searchWorld(t, []string{"Patient"}, func(string) string {
			return cutPatients + `,"link":[{"relation":"self","url":"x"},` + link + `]`
		})
		if err := w.fails(t, Options{}); classOf(err) != classServer || !strings.Contains(err.Error(), "next link") {
			t.Errorf("%s: %v of class %q, want server", link, err, classOf(err))
		}
	}
}

// F52, I2: a type of which the server counts more than it sends is published, but
// is not whole.
func TestF52FewerThanCountedHoldTheWatermark(t *testing.T) {
	w := searchWorld(t, []string{"Patient", "Observation"}, func(typ string) string {
		if typ == "Observation" {
			return strings.Replace(oneObservation, `"total":1`, `"total":3`, 1)
		}
		return onePatient
	})
	m := w.run(t, Options{}).Manifest
	heldBack(t, m, "Observation", sentShort)
	if _, ok := m.Watermarks["Patient"]; !ok || countOf(t, m, "Observation").Published != 1 || !warnedOf(m, "counted 3 matches and sent 1") {
		t.Errorf("watermarks %v, types %+v, warnings %v", m.Watermarks, m.Types, m.Warnings)
	}
	if m = w.run(t, Options{}).Manifest; m.Kind != sinks.Full {
		t.Errorf("the next run is %s, want full", m.Kind)
	}
}

// I2: who is missing in the list of patients has none of the types that are
// searched by it.
func TestI2ListOfPatientsCutShort(t *testing.T) {
	for name, list := range map[string]string{
		"counted":     cutPatients,
		"no resource": strings.Replace(onePatient, `"entry":[`, `"entry":[{"fullUrl":"x"},`, 1),
		"no patient":  strings.Replace(onePatient, `"entry":[`, `"entry":[{"resource":{"id":"b"}},`, 1),
	} {
		lists := 0
		fail := true
		w := searchWorld(t, []string{"Observation", "Organization"}, func(typ string) string {
			switch {
			case typ == "Patient":
				lists++
				return list
			case typ == "Organization":
				return `"total":0,"link":[{"relation":"self","url":"x"}]`
			case fail:
				return ""
			}
			return oneObservation
		})
		w.fails(t, Options{})
		fail = false
		m := w.run(t, Options{}).Manifest // takes the list from the spool
		heldBack(t, m, "Observation", "patients missing")
		if _, ok := m.Watermarks["Organization"]; !ok || lists != 1 || !warnedOf(m, "list of patients: ") {
			t.Errorf("%s: watermarks %v, %d lists, warnings %v", name, m.Watermarks, lists, m.Warnings)
		}
	}
}

// I9: what the pages of a search were warned of is in the manifest of the try that
// publishes them.
func TestI9WarningsOfASearchSurviveAResume(t *testing.T) {
	fail := true
	w := searchWorld(t, []string{"Patient", "Observation"}, func(typ string) string {
		switch {
		case typ == "Patient":
			return cutPatients
		case fail:
			return ""
		}
		return oneObservation
	})
	w.fails(t, Options{})
	fail = false
	m := w.run(t, Options{}).Manifest
	if m.Stats.Resumed == 0 || !warnedOf(m, "counted 100 matches and sent 1") {
		t.Errorf("resumed %d times, warnings %v", m.Stats.Resumed, m.Warnings)
	}
	heldBack(t, m, "Patient", sentShort)
}

// F18, I2: of a type that the server may have ignored nothing came; that is not
// "none".
func TestF18IgnoredTypeHasNoWatermark(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	s.accept = `{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"not-supported","diagnostics":"_type Condition is not supported and was ignored"}]}`
	w := newWorld(t, s)
	w.Job.Export.Types = append(w.Job.Export.Types, "Condition")
	w.Job.Export.Lenient = true
	m := w.run(t, Options{}).Manifest
	heldBack(t, m, "Condition", notListed)
	if len(m.Watermarks) != 2 {
		t.Errorf("watermarks %v, want those of the types that came", m.Watermarks)
	}
}

// I2: a manifest without an output list is taken as one without files, but it does
// not say that nothing has changed.
func TestI2ManifestWithoutOutputMovesNoWatermark(t *testing.T) {
	for _, types := range [][]string{{"Patient", "Observation"}, nil} {
		s := newExportServer(t)
		s.population(1, 2, "Patient", "Observation")
		w := newWorld(t, s)
		w.Job.Export.Types = types
		full := w.run(t, Options{}).Manifest
		s.unlisted, s.tx = true, s.tx.Add(time.Hour)
		m := w.run(t, Options{}).Manifest
		if m.Kind != sinks.Delta || len(full.Watermarks) == 0 {
			t.Fatalf("the second run is %s on %v", m.Kind, full.Watermarks)
		}
		if d := cmp.Diff(full.Watermarks, m.Watermarks); d != "" {
			t.Errorf("types %v: watermarks (-before +after):\n%s", types, d)
		}
		s.unlisted, s.output = false, nil
		if m = w.run(t, Options{}).Manifest; m.Watermarks["Patient"].Equal(full.Watermarks["Patient"]) {
			t.Errorf("types %v: an empty list has moved no watermark", types)
		}
	}
}

// I2, F40: a type with a line in quarantine did not come whole, and one with a
// deletion that cannot be read may be any.
func TestI2QuarantinedLinesHoldTheWatermark(t *testing.T) {
	const bad = `{"resourceType":"Observation","id":"lost","meta":{"lastUpdated":"2025-04-01T00:00:00Z"},}`
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	s.output[1].lines = append(s.output[1].lines, bad)
	w := newWorld(t, s)
	w.Job.Policies.MaxBadLines.Lines = 5
	m := w.run(t, Options{}).Manifest
	heldBack(t, m, "Observation", badLines)
	if _, ok := m.Watermarks["Patient"]; !ok || countOf(t, m, "Observation").Quarantined != 1 {
		t.Errorf("watermarks %v, types %+v", m.Watermarks, m.Types)
	}

	for name, line := range map[string]string{"no JSON": bad, "no deletion": `{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"PUT","url":"Patient/1"}}]}`} {
		s := newExportServer(t)
		s.population(1, 2, "Patient", "Observation")
		s.deleted = []exportFile{{typ: "Bundle", name: "deleted.ndjson", lines: []string{line}}}
		w := newWorld(t, s)
		w.Job.Policies.MaxBadLines.Lines = 5
		m := w.run(t, Options{}).Manifest
		for _, typ := range []string{"Patient", "Observation"} {
			heldBack(t, m, typ, badLines)
		}
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// granted runs the job with a grant; the run is interrupted at the step stop, "" for
// none.
func (w *world) granted(t *testing.T, g Grant, stop string) *sinks.Manifest {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := w.open(t)
	r.Auth = &authorizer{grant: g}
	r.probe = func(step string) {
		if step == stop {
			cancel()
		}
	}
	sum, err := r.Run(ctx, Options{})
	w.sync()
	if (err != nil) != (stop != "") {
		t.Fatalf("run interrupted at %q: %v", stop, err)
	}
	if err := r.Ledger.Close(); err != nil {
		t.Fatal(err)
	}
	return sum.Manifest
}

// I2, F4: where the job names no types, nobody knows which ones a missing scope
// leaves out.
func TestI2MissingScopeOfAJobWithoutTypes(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient")
	w := newWorld(t, s)
	w.Job.Export.Types = nil
	w.Job.Policies.MissingScope = "skip"
	narrow := Grant{Requested: []string{"system/*.rs"}, Granted: []string{"system/Patient.rs"}, Missing: []string{"system/*.rs"}}
	m := w.granted(t, narrow, "")
	heldBack(t, m, "Patient", "scope missing")
	if len(m.Watermarks) != 0 || !warned(m, "scope-missing") {
		t.Errorf("watermarks %v, warnings %v", m.Watermarks, m.Warnings)
	}
	wide := w.granted(t, Grant{Requested: []string{"system/*.rs"}, Granted: []string{"system/*.rs"}}, "")
	if wide.Kind != sinks.Full || len(wide.Watermarks) != 2 {
		t.Errorf("with all scopes, the run is %s with watermarks %v", wide.Kind, wide.Watermarks)
	}
	s.tx = s.tx.Add(time.Hour)
	if m = w.granted(t, narrow, ""); m.Kind != sinks.Delta || !cmp.Equal(m.Watermarks, wide.Watermarks) {
		t.Errorf("a delta with fewer scopes has watermarks %v, those before are %v", m.Watermarks, wide.Watermarks)
	}
}

// I2: a scope that is gone when the run is taken up again may leave out a part of
// the type without a word, also when it comes back.
func TestI2ScopeGoneWhenTheRunIsResumed(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	w.Job.Policies.MissingScope = "skip"
	w.granted(t, Grant{}, "state landing")
	w.granted(t, Grant{Missing: []string{"system/Observation.rs"}, Types: []string{"Observation"}}, "state authorized")
	m := w.granted(t, Grant{}, "")
	heldBack(t, m, "Observation", notGranted)
	if _, ok := m.Watermarks["Patient"]; !ok || !warned(m, "scope-narrowed") || s.kickoffs != 1 {
		t.Errorf("watermarks %v, warnings %v, %d kick-offs", m.Watermarks, m.Warnings, s.kickoffs)
	}
}

// I2: whoever may not list all patients does not know whose resources to search for.
func TestI2PatientsOfASearchNotGranted(t *testing.T) {
	s := newSearchServer(t, 3, 2)
	w := s.world(t)
	w.Job.Policies.MissingScope = "skip"
	w.Job.Export.Types = []string{"Observation"}
	m := w.granted(t, Grant{Missing: []string{"system/Patient.rs"}, Types: []string{"Patient"}}, "")
	heldBack(t, m, "Observation", "patients not granted")
}

// I2, F4: what a token that was renewed in the midst of the run does not grant any more
// may have been left out; the policy decides whether the rest is published.
func TestI2ScopeGoneWhenTheTokenIsRenewed(t *testing.T) {
	for _, policy := range []string{"skip", "fail"} {
		s := newExportServer(t)
		s.population(1, 2, "Patient", "Observation")
		w := newWorld(t, s)
		w.Job.Policies.MissingScope = policy
		r := w.open(t)
		r.Auth = &authorizer{lost: Grant{Missing: []string{"system/Observation.rs"}, Types: []string{"Observation"}}}
		sum, err := r.Run(t.Context(), Options{})
		must(t, r.Ledger.Close())
		m := sum.Manifest
		if policy == "fail" {
			if classOf(err) != classAuth {
				t.Fatalf("run = %v of class %q", err, classOf(err))
			}
			m = w.granted(t, Grant{}, "") // the scope is back, what was fetched without it is not
		}
		heldBack(t, m, "Observation", notGranted)
		if _, ok := m.Watermarks["Patient"]; !ok || !warned(m, "scope-narrowed") {
			t.Errorf("%s: watermarks %v, warnings %v", policy, m.Watermarks, m.Warnings)
		}
	}
}
