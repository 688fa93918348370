package export

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestCompare(t *testing.T) {
	job := Request{Level: Group, Group: "g 1", Types: []string{"Patient", "Observation"}, TypeFilters: []string{"Observation?code=a,b"}}
	for _, tc := range []struct {
		name, asked string
		request     Request
		known       bool
		differs     string
		since       string
	}{
		{"the same", "https://other.example/Group/g%201/$export?_type=Observation,Patient&_typeFilter=Observation%3Fcode%3Da%2Cb", job, true, "", ""},
		{"repeated types", "https://x/Group/g%201/%24export?_type=Observation&_type=Patient&_typeFilter=Observation%3Fcode%3Da%2Cb&_outputFormat=ndjson", job, true, "", ""},
		{"with _since", "https://x/$export?_since=2025-01-01T00:00:00.5%2B01:00", Request{Level: System}, true, "", "2024-12-31T23:00:00.5Z"},
		{"with a plain +", "https://x/$export?_since=2025-01-01T00:00:00+01:00", Request{Level: System}, true, "", "2024-12-31T23:00:00Z"},
		{"_until in another form", "https://x/$export?_until=2025-01-01T01:00:00%2B01:00", Request{Level: System, Until: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}, true, "", ""},
		{"another base", "https://x/r4/Group/g%201/$export?_type=Observation,Patient&_typeFilter=Observation%3Fcode%3Da%2Cb", job, false, "", ""},
		{"another base and type", "https://x/b/$export?_type=Patient", Request{Level: System, Types: []string{"Group"}}, false, "_type", ""},
		{"without a base", "$export?_type=Patient", Request{Level: System, Types: []string{"Patient"}}, true, "", ""},
		{"no query", "https://x/$export", Request{Level: System}, false, "", ""},
		{"no request", "", Request{Level: System}, false, "", ""},
		{"not an export", "https://x/Patient?_type=a", Request{Level: System}, false, "", ""},
		{"patients go by POST", "https://x/Patient/$export?_type=Patient", Request{Level: Patient, Types: []string{"Patient"}, Patients: []string{"1"}}, false, "", ""},
		{"another group", "https://x/Group/2/$export?_type=Patient,Observation&_typeFilter=Observation%3Fcode%3Da%2Cb", job, true, "group", ""},
		{"another level", "https://x/Patient/$export", job, false, "level", ""},
		{"fewer types", "https://x/$export?_type=Patient", Request{Level: System, Types: []string{"Patient", "Observation"}}, true, "_type", ""},
		{"a filter more", "https://x/$export?_typeFilter=Patient%3Fname%3DSmith", Request{Level: System}, true, "_typeFilter", ""},
		{"a filter less", "https://x/Group/g%201/$export?_type=Patient,Observation", job, true, "_typeFilter", ""},
		{"two instants", "https://x/$export?_since=2025-01-01&_since=2026-01-01", Request{Level: System}, true, "_since", "2025-01-01T00:00:00Z"},
		{"unknown", "https://x/$export?%0asurprise=Smith", Request{Level: System}, true, "surprise", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := (&Manifest{asked: tc.asked}).Compare(&url.URL{Scheme: "https", Host: "x"}, tc.request)
			since := ""
			if !c.Since.IsZero() {
				since = c.Since.Format(time.RFC3339Nano)
			}
			if differs := strings.Join(c.Differs, " "); c.Known != tc.known || differs != tc.differs || since != tc.since {
				t.Errorf("known %v, differs %q, since %q; want %v, %q, %q", c.Known, differs, since, tc.known, tc.differs, tc.since)
			}
		})
	}
}

func TestCompareBases(t *testing.T) {
	for base, known := range map[string]bool{
		"https://x/fhir/r4": true, "https://proxy/fhir/r4": true, "https://x": false, "https://x/fhir": false, "https://x/fhir/r4/b": false,
	} {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		for _, level := range []Request{{Level: System}, {Level: Patient}, {Level: Group, Group: "1"}} {
			path := map[Level]string{System: "", Patient: "Patient/", Group: "Group/1/"}[level.Level]
			c := (&Manifest{asked: "https://x/fhir/r4/" + path + "$export?_outputFormat=ndjson"}).Compare(u, level)
			if c.Known != known || len(c.Differs) > 0 {
				t.Errorf("%s at %s: known %v, differs %v; want %v, none", level.Level, base, c.Known, c.Differs, known)
			}
		}
	}
}

func TestP15AdoptURL(t *testing.T) {
	c := clientOf(answers(done))
	for link, want := range map[string]string{
		base + "/status/1?a=b":             base + "/status/1?a=b",
		"https://files.example.org/s/1":    "https://files.example.org/s/1",
		"https://files.example.org:444/1":  "",
		"https://elsewhere.example.org/s1": "",
		"status/1":                         "",
	} {
		got, err := c.AdoptURL(link, []string{"https://files.example.org"})
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", link, got, err)
		}
	}
}
