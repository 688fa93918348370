package search

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestF49NextLinksVerbatim(t *testing.T) {
	next := "https://ehr.example.org/fhir?_getpages=a%2Cb,c|d&_off=2&x=%7B"
	s := paged(searchset(next, match("Observation", "1")), searchset("p3", match("Observation", "2")), searchset("", match("Observation", "3")))
	var out bytes.Buffer
	r, err := s.client().Read(t.Context(), Partition{Type: "Observation", Query: "Observation?code=x%7Cy"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{base + "/Observation?code=x%7Cy&_count=500", next, "https://ehr.example.org/p3"}
	if diff := cmp.Diff(want, s.seen); diff != "" {
		t.Error(diff)
	}
	if got := out.String(); got != line("Observation", "1")+line("Observation", "2")+line("Observation", "3") {
		t.Errorf("lines %q", got)
	}
	if r.Resources != 3 || r.Pages != 3 || r.Total != -1 || r.Date.Format(http.TimeFormat) != sent {
		t.Errorf("%+v", r)
	}
}

func TestF50ExpiredNextLink(t *testing.T) {
	for _, status := range []int{404, 410} {
		s := &server{do: func(n int, _ *http.Request) *http.Response {
			if n == 0 {
				return reply(200, searchset("/p2", match("Patient", "1")))
			}
			return reply(status, "")
		}}
		_, err := s.client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, io.Discard)
		var restart *RestartError
		if !errors.As(err, &restart) || len(s.seen) != 2 {
			t.Errorf("%d: %v", status, err)
		}
		s = &server{do: func(int, *http.Request) *http.Response { return reply(status, "") }}
		if _, err = s.client().Read(t.Context(), Partition{Type: "Nope", Query: "Nope"}, io.Discard); errors.As(err, &restart) || class(t, err) != "server" {
			t.Errorf("first page %d: %v", status, err)
		}
	}
}

func TestF51LoopsAndEmptyPages(t *testing.T) {
	s := paged(searchset("/p2"), searchset("/p3"), searchset("", match("Patient", "1")))
	r, err := s.client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, io.Discard)
	if err != nil || r.Pages != 3 || r.Resources != 1 {
		t.Errorf("empty pages with next: %v %+v", err, r)
	}
	for name, s := range map[string]*server{
		"itself":   paged(searchset("/p2"), searchset("/p2")),
		"to first": paged(searchset(base + "/Patient?_count=500")),
	} {
		_, err := s.client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, io.Discard)
		if class(t, err) != "server" || len(s.seen) > 3 {
			t.Errorf("%s: %v after %d pages", name, err, len(s.seen))
		}
	}
	endless := &server{do: func(n int, _ *http.Request) *http.Response { return reply(200, searchset(fmt.Sprint("/p", n))) }}
	c := endless.client()
	c.MaxPages = 7
	if _, err := c.Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, io.Discard); class(t, err) != "server" || len(endless.seen) != 7 {
		t.Errorf("endless: %v after %d pages", err, len(endless.seen))
	}
}

// F52, I2: a total fails nothing, but what is less than it is not the whole.
func TestF52TotalIsAdvisory(t *testing.T) {
	body := func(total string) string {
		return strings.Replace(searchset("", match("Patient", "1")), `"type"`, `"total":`+total+`,"type"`, 1)
	}
	each := func(string) error { return nil }
	for total, warnings := range map[string]int{"1": 0, "0": 0, "9": 1, `"x"`: 0, "1.5": 0} {
		r, err := paged(body(total)).client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, io.Discard)
		if err != nil || r.Resources != 1 || len(r.Warnings) != warnings || r.Short != (warnings > 0) {
			t.Errorf("total %s: %v %+v", total, err, r)
		}
		r, err = paged(body(total)).client().Patients(t.Context(), Request{}, each)
		if err != nil || r.Resources != 1 || r.Short != (warnings > 0) {
			t.Errorf("patients, total %s: %v %+v", total, err, r)
		}
	}
	r, err := paged(searchset("", match("Patient", "1"), `{"fullUrl":"x"}`)).client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, io.Discard)
	if err != nil || !r.Short || len(r.Warnings) == 0 {
		t.Errorf("an entry without a resource: %v %+v", err, r)
	}
}

// F49: a next link that does not say where the rest is must not end the search as
// if there were none.
func TestF49NextLinksThatLeadNowhere(t *testing.T) {
	next := `{"relation":"next","url":"/p2"}`
	for name, links := range map[string]string{
		"no url": `{"relation":"next"}`, "null": `{"relation":"next","url":null}`, "empty": `{"url":"","relation":"next"}`,
		"a number": `{"relation":"next","url":7}`, "two": next + `,{"relation":"next","url":"/p3"}`,
		"one, and one without url": next + `,{"relation":"next"}`,
	} {
		body := `{"resourceType":"Bundle","link":[{"relation":"self","url":"x"},` + links + `],"entry":[` + match("Patient", "1") + `]}`
		s := paged(body)
		if _, err := s.client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, io.Discard); class(t, err) != "server" || len(s.seen) != 1 {
			t.Errorf("%s: %v after %d requests", name, err, len(s.seen))
		}
		if _, err := paged(body).client().Patients(t.Context(), Request{}, func(string) error { return nil }); class(t, err) != "server" {
			t.Errorf("patients, %s: %v", name, err)
		}
	}
	twice := searchset("", match("Patient", "2"))
	body := `{"resourceType":"Bundle","link":[` + next + `,` + next + `],"entry":[]}`
	if r, err := paged(body, twice).client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, io.Discard); err != nil || r.Resources != 1 {
		t.Errorf("the same next link twice: %v %+v", err, r)
	}
}

func TestF54F55OutcomesAndIncludes(t *testing.T) {
	oo := func(severity string) string {
		return `{"resourceType":"OperationOutcome","issue":[{"severity":"` + severity + `","code":"incomplete","diagnostics":"Smith"}]}`
	}
	entries := []string{
		match("Patient", "1"), `{"resource":{"resourceType":"Organization","id":"o"},"search":{"mode":"include"}}`,
		`{"resource":` + oo("warning") + `,"search":{"mode":"outcome"}}`, `{"resource":` + oo("warning") + `}`,
		`{"resource":{"resourceType":"Basic","id":"OperationOutcome"},"search":{"mode":"outcome"}}`, // data, whatever its mode
	}
	read := func(extra ...string) (Result, string) {
		var out bytes.Buffer
		r, err := paged(searchset("", append(entries, extra...)...)).client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, &out)
		if err != nil {
			t.Fatal(err)
		}
		return r, out.String()
	}
	r, got := read()
	if got != line("Patient", "1")+line("Organization", "o")+line("Basic", "OperationOutcome") {
		t.Errorf("lines %q", got)
	}
	if r.Resources != 3 || r.Included != 1 || len(r.OutcomeLines) != 2 || r.Incomplete() || fmt.Sprint(r.Outcomes) != "[{warning incomplete 2}]" {
		t.Errorf("%+v", r)
	}
	if r, _ = read(`{"resource":` + oo("error") + `}`); !r.Incomplete() {
		t.Errorf("error severity: %+v", r.Outcomes)
	}
}

func TestF56SelfLinkDroppedAParameter(t *testing.T) {
	for _, tc := range []struct {
		query, self string
		dropped     string
		warnings    int
	}{
		{"Observation?patient=1&_lastUpdated=ge2025", base + "/Observation?patient=1&_lastUpdated=ge2025&_count=500", "", 0},
		{"Observation?patient=1&_lastUpdated=ge2025", base + "/Observation?patient=1", "_lastUpdated", 0},
		{"Observation?patient=1&code=x", base + "/Observation?_lastUpdated=x", "patient code", 0},
		{"Observation?patient=1", base + "/Observation", "patient", 0},
		{"Observation?patient=1", base + "/Observation?subject=Patient%2F1", "", 0},
		{"Observation?code:in=x", base + "/Observation?code:in=x", "", 0},
		{"Observation?patient=1", "", "", 1},
		{"Observation?patient=1", base + "?_getpages=7", "", 1},
		{"Observation?patient=1&_elements=id", base + "/Observation?patient=1", "", 1},
		{"Patient?_include=Patient:organization", base + "/Patient", "", 0},
	} {
		body := `{"resourceType":"Bundle","link":[{"relation":"self","url":"` + tc.self + `"}]}`
		r, err := paged(body).client().Read(t.Context(), Partition{Type: "Observation", Query: tc.query}, io.Discard)
		var ignored *IgnoredError
		got := ""
		if errors.As(err, &ignored) {
			got = strings.Join(ignored.Params, " ")
		}
		if got != tc.dropped || tc.dropped == "" && (err != nil || len(r.Warnings) != tc.warnings) || tc.dropped != "" && ignored.Hint() == "" {
			t.Errorf("%s, self %s: %v, %q", tc.query, tc.self, err, r.Warnings)
		}
	}
}

func TestF58OutcomeInsteadOfABundle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oo := func(code string) string {
			return `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"` + code + `","diagnostics":"search failed for Smith"}]}`
		}
		s := paged(oo("processing"))
		_, err := s.client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, io.Discard)
		if class(t, err) != "server" || len(s.seen) != 1 || err.Error() != "search Patient: 200 OK; error processing: search failed for …" {
			t.Errorf("%v after %d requests", err, len(s.seen))
		}
		s = paged(oo("timeout"), searchset("", match("Patient", "1")))
		if r, err := s.client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, io.Discard); err != nil || r.Resources != 1 {
			t.Errorf("transient: %v", err)
		}
		for _, body := range []string{`{"resourceType":"Patient"}`, `{}`, `nothing`} {
			if _, err := paged(body).client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, io.Discard); class(t, err) != "server" {
				t.Errorf("%s: %v", body, err)
			}
		}
	})
}

func TestF59LinkTooLong(t *testing.T) {
	s := &server{do: func(n int, r *http.Request) *http.Response {
		if r.URL.Path == "/long" {
			return reply(414, "")
		}
		if r.URL.Query().Get("_count") == "500" {
			return reply(200, searchset("/long", match("Patient", "1")))
		}
		return reply(200, searchset("", match("Patient", "1"), match("Patient", "2")))
	}}
	c := s.client()
	p := Partition{Type: "Patient", Query: "Patient"}
	_, err := c.Read(t.Context(), p, io.Discard)
	var restart *RestartError
	if !errors.As(err, &restart) {
		t.Fatal(err)
	}
	r, err := c.Read(t.Context(), p, io.Discard)
	if err != nil || r.Resources != 2 || !strings.HasSuffix(s.seen[2], "_count=250") {
		t.Errorf("%v %+v %q", err, r, s.seen)
	}
	c.Count = 10
	c.smaller.Store(0)
	s.do = func(n int, r *http.Request) *http.Response {
		if r.URL.Path == "/long" {
			return reply(414, "")
		}
		return reply(200, searchset("/long"))
	}
	if _, err := c.Read(t.Context(), p, io.Discard); errors.As(err, &restart) || class(t, err) != "server" {
		t.Errorf("smallest pages: %v", err)
	}
}

// A maintenance page in the place of a Bundle goes again, and loses nothing.
func TestF35PageInsteadOfABundle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := paged(searchset("/p2", match("Patient", "1")), "<!doctype html>", "\n <html>", searchset("", match("Patient", "2")))
		var out bytes.Buffer
		r, err := s.client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, &out)
		if err != nil || out.String() != line("Patient", "1")+line("Patient", "2") || r.Resources != 2 || len(s.seen) != 4 {
			t.Errorf("%v, %q after %d requests", err, out.String(), len(s.seen))
		}
		s = paged("<html>")
		_, err = s.client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, io.Discard)
		if err == nil || class(t, err) != "" || len(s.seen) != 5 {
			t.Errorf("%v after %d requests, want one that may pass after 5", err, len(s.seen))
		}
	})
}

// TestBrokenPages: a page that breaks off is read again, and none of its lines is
// written twice; one of which lines are gone already restarts the partition.
func TestBrokenPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole := searchset("", match("Patient", "1"), match("Patient", "2"))
		s := paged(searchset("/p2", match("Patient", "0")), whole[:len(whole)-20], whole)
		var out bytes.Buffer
		r, err := s.client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, &out)
		if err != nil || out.String() != line("Patient", "0")+line("Patient", "1")+line("Patient", "2") || r.Resources != 3 || len(s.seen) != 3 {
			t.Errorf("%v, %q after %d requests", err, out.String(), len(s.seen))
		}

		big := fmt.Sprintf(`{"resource":{"resourceType":"Patient","x":"%s"}}`, strings.Repeat("x", hold))
		s = paged(searchset("", big, match("Patient", "2"))[:hold+100])
		_, err = s.client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, io.Discard)
		var restart *RestartError
		if !errors.As(err, &restart) || len(s.seen) != 1 {
			t.Errorf("%v after %d requests", err, len(s.seen))
		}
	})
}

func TestI8PagesAreBounded(t *testing.T) {
	s := paged(searchset("", match("Patient", "1"), match("Patient", strings.Repeat("2", 1000))))
	c := s.client()
	c.MaxPage = 500
	if _, err := c.Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, io.Discard); class(t, err) != "server" || len(s.seen) != 1 {
		t.Errorf("%v", err)
	}
	body := searchset("", match("Patient", "1"))
	c = paged(body).client()
	c.MaxPage = int64(len(body))
	if _, err := c.Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, io.Discard); err != nil {
		t.Errorf("a page as long as the limit: %v", err)
	}
}

func TestWriteErrorsAreNotRepeated(t *testing.T) {
	full := errors.New("no space left")
	s := paged(searchset("", match("Patient", "1")))
	_, err := s.client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, failing{full})
	if !errors.Is(err, full) || len(s.seen) != 1 {
		t.Errorf("%v after %d requests", err, len(s.seen))
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestF57Patients(t *testing.T) {
	s := paged(searchset("/p2", match("Patient", "a"), match("Organization", "x")), searchset("", match("Patient", "b")))
	var ids []string
	each := func(id string) error { ids = append(ids, id); return nil }
	r, err := s.client().Patients(t.Context(), Request{}, each)
	if err != nil || fmt.Sprint(ids) != "[a b]" || r.Date.Format(http.TimeFormat) != sent {
		t.Errorf("%v %v %v", err, ids, r.Date)
	}
	if !r.Short || r.Resources != 2 || !slices.Contains(r.Warnings, "the server sent entries that are no patients") {
		t.Errorf("an entry that is no patient: %+v", r)
	}
	if s.seen[0] != base+"/Patient?_elements=id&_count=500" {
		t.Errorf("asked %s", s.seen[0])
	}
	ids = nil
	r, err = s.client().Patients(t.Context(), Request{Patients: []string{"Patient/x", "y"}}, each)
	if err != nil || fmt.Sprint(ids) != "[x y]" || !r.Date.IsZero() || r.Short || len(s.seen) != 2 {
		t.Errorf("named patients: %v %v", err, ids)
	}
	for name, e := range map[string]string{
		"no id":      `{"resource":{"resourceType":"Patient"}}`,
		"incomplete": `{"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"incomplete"}]}}`,
	} {
		if _, err := paged(searchset("", e)).client().Patients(t.Context(), Request{}, each); class(t, err) != "server" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestF57LocalClockWithoutDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{do: func(int, *http.Request) *http.Response {
			r := reply(200, searchset(""))
			r.Header.Del("Date")
			return r
		}}
		r, err := s.client().Read(t.Context(), Partition{Type: "Patient", Query: "Patient"}, io.Discard)
		if err != nil || !r.Date.Equal(time.Now()) || len(r.Warnings) != 1 {
			t.Errorf("%v %+v", err, r)
		}
	})
}
