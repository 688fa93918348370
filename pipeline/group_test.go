package pipeline

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flue-fhir/flue/pipeline/config"
)

// groupServer exports the Group g: what its members have, and of a later run what
// changed. Its switches are set before it is used, or under mu.
type groupServer struct {
	*httptest.Server

	mu       sync.Mutex
	members  []string
	data     []held
	now      time.Time      // when the next export is of
	refuse   []string       // parameters that kick-offs are refused for; "list": that of members
	tick     time.Duration  // between two exports
	answer   int            // to those; 0: 400
	ignore   bool           // the parameter patient, and it says so
	deaf     bool           // the same, and it does not say so
	one      bool           // of several patients that are named it exports the first
	withheld []string       // patients whose data no export holds, though they are members
	fresh    bool           // files have other paths in each manifest
	lose     int            // exports that are lost when asked for their status
	broken   bool           // the list of members has a line that is none
	expire   map[string]int // files that answer 410, by the purpose of their export

	// early hands out one file of each export before that is complete.
	early  bool
	handed map[int]bool

	// fail are the exports that are accepted and then fail for good, by their purpose.
	fail []string

	asked     []asking
	times     map[int]time.Time
	exports   map[int]map[string][]string // lines by type, of those that were not deleted
	most      int                         // of them at once
	deletes   int
	manifests int
}

// held is a resource that a patient has.
type held struct {
	patient, typ, id string
	updated          time.Time // zero: it has no meta
}

// asking is a kick-off.
type asking struct {
	method   string
	params   url.Values
	accepted bool
	number   int
}

// purpose tells the exports of a run apart.
func (a asking) purpose() string {
	switch {
	case a.params.Get("_type") == "Patient":
		return "members"
	case a.params.Has("patient"):
		return "newcomers"
	case a.params.Has("_since"):
		return "changes"
	}
	return "everything"
}

var groupDay = time.Date(2025, 5, 1, 12, 0, 0, 0, time.UTC)

func newGroupServer(t testing.TB, members ...string) *groupServer {
	s := &groupServer{now: groupDay, handed: map[int]bool{}, exports: map[int]map[string][]string{}, times: map[int]time.Time{}}
	for _, id := range []string{"a", "b", "c", "d"} {
		for i := range 3 {
			s.data = append(s.data, held{id, "Observation", fmt.Sprintf("%s-%d", id, i), groupDay.AddDate(0, -1, i)})
		}
		s.data = append(s.data, held{id, "Patient", id, groupDay.AddDate(-1, 0, 0)})
	}
	s.members = members
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func newGroupWorld(t *testing.T, s *groupServer) *world {
	w := &world{Dir: tempDir(t), URL: s.URL + "/fhir", Job: newWorldJob(), server: &s.mu}
	w.Job.Export = config.Export{
		Mode: "bulk", Level: "group", Group: "g", Types: []string{"Patient", "Observation"}, Since: config.Since{Last: true},
	}
	return w
}

func (h held) line() string {
	meta := ""
	if !h.updated.IsZero() {
		meta = fmt.Sprintf(`,"meta":{"lastUpdated":%q}`, h.updated.Format(time.RFC3339))
	}
	return fmt.Sprintf(`{"resourceType":%q,"id":%q%s}`, h.typ, h.id, meta)
}

// of are the lines of everything that the patients have, sorted.
func (s *groupServer) of(patients ...string) []string {
	lines := []string{}
	for _, h := range s.data {
		if slices.Contains(patients, h.patient) {
			lines = append(lines, h.line())
		}
	}
	slices.Sort(lines)
	return lines
}

func (s *groupServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	n := 0
	if len(parts) > 1 {
		n, _ = strconv.Atoi(parts[1])
	}
	switch {
	case r.URL.Path == "/fhir/metadata":
		fmt.Fprint(w, `{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}`)
	case r.URL.Path == "/fhir/Group/g/$export":
		s.kickOff(w, r)
	case parts[0] == "status" && r.Method == http.MethodDelete:
		delete(s.exports, n)
		s.deletes++
		w.WriteHeader(http.StatusAccepted)
	case parts[0] == "status":
		s.status(w, n)
	case parts[0] == "files" && s.expire[s.asked[n-1].purpose()] > 0:
		s.expire[s.asked[n-1].purpose()]--
		w.WriteHeader(http.StatusGone)
	case parts[0] == "files" && s.exports[n] != nil:
		w.Header().Set("Content-Type", "application/fhir+ndjson")
		for _, line := range s.exports[n][parts[len(parts)-1]] {
			fmt.Fprintln(w, line)
		}
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (s *groupServer) kickOff(w http.ResponseWriter, r *http.Request) {
	a := asking{method: r.Method, params: r.URL.Query()}
	if r.Method == http.MethodPost {
		var body struct {
			Parameter []struct {
				Name           string
				ValueString    string
				ValueInstant   string
				ValueReference struct{ Reference string }
			}
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		for _, p := range body.Parameter {
			a.params.Add(p.Name, p.ValueString+p.ValueInstant+p.ValueReference.Reference)
		}
	}
	for _, name := range s.refuse {
		if a.params.Has(name) || name == "list" && a.purpose() == "members" {
			s.asked = append(s.asked, a)
			w.WriteHeader(cmp.Or(s.answer, http.StatusBadRequest))
			return
		}
	}
	who := s.members
	if a.params.Has("patient") && !s.ignore && !s.deaf {
		who = nil
		for _, ref := range a.params["patient"] {
			who = append(who, strings.TrimPrefix(ref, "Patient/"))
		}
		if s.one {
			who = who[:1]
		}
	}
	since, _ := time.Parse(time.RFC3339, a.params.Get("_since"))
	files := map[string][]string{}
	for _, h := range s.data {
		if !slices.Contains(who, h.patient) || !h.updated.IsZero() && !h.updated.After(since) ||
			!slices.Contains(strings.Split(a.params.Get("_type"), ","), h.typ) ||
			slices.Contains(s.withheld, h.patient) && a.purpose() != "members" {
			continue
		}
		line := h.line()
		if a.params.Get("_elements") == "id" {
			line = fmt.Sprintf(`{"resourceType":"Patient","id":%q,"meta":{"tag":[{"code":"SUBSETTED"}]}}`, h.id)
		}
		files[h.typ] = append(files[h.typ], line)
	}
	if s.broken && a.purpose() == "members" {
		files["Patient"] = append(files["Patient"], "{oops")
	}
	a.accepted, a.number = true, len(s.asked)+1
	s.asked = append(s.asked, a)
	s.exports[a.number], s.times[a.number] = files, s.now
	s.now = s.now.Add(s.tick)
	s.most = max(s.most, len(s.exports))
	w.Header().Set("Content-Location", fmt.Sprintf("%s/status/%d?secret=s3cr3t", s.URL, a.number))
	w.WriteHeader(http.StatusAccepted)
	if s.ignore && a.params.Has("patient") {
		fmt.Fprint(w, `{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"not-supported","diagnostics":"patient is ignored"}]}`)
	}
}

func (s *groupServer) status(w http.ResponseWriter, n int) {
	if s.lose > 0 && s.exports[n] != nil && s.asked[n-1].purpose() == "changes" {
		s.lose--
		delete(s.exports, n)
	}
	if s.exports[n] == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if slices.Contains(s.fail, s.asked[n-1].purpose()) && (!s.early || s.handed[n]) {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, `{"resourceType":"OperationOutcome","issue":[{"severity":"fatal","code":"not-supported"}]}`)
		return
	}
	s.manifests++
	output := []map[string]any{}
	for _, typ := range []string{"Observation", "Patient"} {
		if lines := s.exports[n][typ]; len(lines) > 0 {
			path := strconv.Itoa(n)
			if s.fresh {
				path += fmt.Sprintf("/%d", s.manifests)
			}
			output = append(output, map[string]any{"type": typ, "url": s.URL + "/files/" + path + "/" + typ, "count": len(lines)})
		}
	}
	if s.early && !s.handed[n] && len(output) > 0 {
		s.handed[n] = true
		output = output[:1]
		w.WriteHeader(http.StatusAccepted)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"transactionTime": s.times[n].Format(time.RFC3339), "requiresAccessToken": true, "output": output, "error": []any{},
	})
}

// purposes are those of the kick-offs so far, and forgets them.
func (s *groupServer) purposes() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.asked {
		word := a.purpose()
		if !a.accepted {
			word += " refused"
		}
		list = append(list, word)
	}
	return list
}

// later is what happens until the next run: c joins with all that c has, b leaves,
// and of a one observation changes.
func (s *groupServer) later() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.AddDate(0, 0, 1)
	s.members = []string{"a", "c"}
	s.data[1].updated = s.now.Add(-time.Hour)
	s.asked = nil
	s.exports = map[int]map[string][]string{}
	s.most, s.deletes = 0, 0
}
