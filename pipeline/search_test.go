package pipeline

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/sinks"
)

// searchServer answers paged searches over patients that have observations.
type searchServer struct {
	*httptest.Server
	mu       sync.Mutex
	patients int
	each     int // observations of a patient
	requests map[string]int
	fail     map[string]int // type: answers 503 so many times
	outcome  string         // severity of an outcome entry on each page of observations
	since    []string
	date     time.Time
}

func newSearchServer(t *testing.T, patients, each int) *searchServer {
	s := &searchServer{patients: patients, each: each, requests: map[string]int{}, fail: map[string]int{}, date: time.Now().UTC().Truncate(time.Second)}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *searchServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	typ := strings.TrimPrefix(r.URL.Path, "/fhir/")
	w.Header().Set("Content-Type", "application/fhir+json")
	w.Header().Set("Date", s.date.Format(http.TimeFormat))
	s.date = s.date.Add(time.Second)
	if typ == "metadata" {
		fmt.Fprint(w, `{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}`)
		return
	}
	s.requests[typ]++
	if s.fail[typ] > 0 {
		s.fail[typ]--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	q := r.URL.Query()
	if v := q.Get("_lastUpdated"); v != "" {
		s.since = append(s.since, typ+" "+v)
	}
	var all []string
	switch typ {
	case "Patient":
		for i := range s.patients {
			all = append(all, resource("Patient", i, "en"))
		}
	case "Observation":
		for _, id := range strings.Split(q.Get("patient"), ",") {
			n, err := strconv.Atoi(strings.TrimPrefix(strings.TrimPrefix(id, "Patient/"), "patient-"))
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			for i := range s.each {
				all = append(all, resource("Observation", n*s.each+i, "en"))
			}
		}
	}
	count, _ := strconv.Atoi(q.Get("_count"))
	from, _ := strconv.Atoi(q.Get("from"))
	page := all[min(from, len(all)):min(from+count, len(all))]
	bundle := map[string]any{"resourceType": "Bundle", "type": "searchset"}
	self := *r.URL
	links := []map[string]string{{"relation": "self", "url": s.URL + self.String()}}
	if from+count < len(all) {
		q.Set("from", strconv.Itoa(from+count))
		links = append(links, map[string]string{"relation": "next", "url": s.URL + r.URL.Path + "?" + q.Encode()})
	}
	bundle["link"] = links
	entries := []map[string]any{}
	for _, line := range page {
		entries = append(entries, map[string]any{"resource": json.RawMessage(line), "search": map[string]string{"mode": "match"}})
	}
	if s.outcome != "" && typ == "Observation" {
		entries = append(entries, map[string]any{
			"resource": json.RawMessage(fmt.Sprintf(`{"resourceType":"OperationOutcome","issue":[{"severity":%q,"code":"incomplete"}]}`, s.outcome)),
			"search":   map[string]string{"mode": "outcome"},
		})
	}
	bundle["entry"] = entries
	_ = json.NewEncoder(w).Encode(bundle)
}

func (s *searchServer) want() (lines []string) {
	for i := range s.patients {
		lines = append(lines, resource("Patient", i, "en"))
	}
	for i := range s.patients * s.each {
		lines = append(lines, resource("Observation", i, "en"))
	}
	slices.Sort(lines)
	return lines
}

func (s *searchServer) world(t *testing.T) *world {
	return &world{Dir: tempDir(t), URL: s.URL + "/fhir", server: &s.mu, Job: config.Job{
		Name: "searched", Server: "fake",
		Export: config.Export{Mode: "search", Types: []string{"Patient", "Observation"}, Since: config.Since{Last: true}},
	}}
}

func TestSearchPublishes(t *testing.T) {
	s := newSearchServer(t, 45, 3)
	began := s.date
	w := s.world(t)
	m := w.run(t, Options{}).Manifest
	if d := cmp.Diff(s.want(), w.lines(t, "ndjson")); d != "" {
		t.Errorf("published lines (-want +got):\n%s", d)
	}
	w.clean(t)
	// F57: the server's clock at the first page, less the overlap.
	for _, typ := range []string{"Patient", "Observation"} {
		mark := m.Watermarks[typ]
		if at := mark.Add(defaultOverlap); at.Before(began) || at.After(began.Add(2*time.Second)) {
			t.Errorf("watermark of %s is %s, the first page came at %s", typ, mark, began)
		}
	}
	if m.Stats.Kickoffs != 0 || m.Stats.Requests < 10 || m.TransactionTime != nil {
		t.Errorf("stats %+v, transaction time %v", m.Stats, m.TransactionTime)
	}

	// The next run asks for changes, of all patients.
	m = w.run(t, Options{}).Manifest
	if m.Kind != sinks.Delta || len(s.since) < 2 {
		t.Errorf("the second run is %s and asked %v", m.Kind, s.since)
	}
}

func TestSearchIsResumed(t *testing.T) {
	for _, step := range []string{"patients listed", "state landing", "landed", "conversion recorded"} {
		s := newSearchServer(t, 45, 3)
		w := s.world(t)
		run := w.interrupted(t, Options{}, step)
		listed := s.requests["Patient"]
		sum := w.run(t, Options{})
		if d := cmp.Diff(s.want(), w.lines(t, "ndjson")); d != "" {
			t.Errorf("%s: published lines (-want +got):\n%s", step, d)
		}
		if sum.Run != run {
			t.Errorf("%s: another run", step)
		}
		if step != "patients listed" && s.requests["Patient"]-listed > 5 {
			t.Errorf("%s: the patients were listed again", step)
		}
		w.clean(t)
	}
}

// F54, I2: an outcome of error severity on a page is not forgotten by a crash:
// it lies in the part.
func TestF54ErrorOutcomeHoldsTheWatermark(t *testing.T) {
	s := newSearchServer(t, 3, 2)
	s.outcome = "error"
	w := s.world(t)
	if err := w.fails(t, Options{}); classOf(err) != classQuality {
		t.Errorf("run = %v of class %q, want quality", err, classOf(err))
	}
	w.Job.Policies.OnServerErrors = "warn"
	w.interrupted(t, Options{}, "state converting")
	m := w.run(t, Options{}).Manifest
	if _, ok := m.Watermarks["Observation"]; ok || len(m.Watermarks) != 1 {
		t.Errorf("watermarks %v, want that of Patient only", m.Watermarks)
	}
	if len(m.Outcomes) != 1 || m.Outcomes[0].Severity != "error" || fileRows(m, "outcomes/") == 0 {
		t.Errorf("outcomes %v, files %v", m.Outcomes, m.Files)
	}
}

func TestSearchFaultsPass(t *testing.T) {
	t.Parallel() // it waits
	s := newSearchServer(t, 45, 1)
	s.fail["Observation"], s.fail["Patient"] = 2, 2
	w := s.world(t)
	w.run(t, Options{})
	if d := cmp.Diff(s.want(), w.lines(t, "ndjson")); d != "" {
		t.Errorf("published lines (-want +got):\n%s", d)
	}
}
