package export

import (
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func full() Request {
	return Request{
		Level: Group, Group: "g 1/x", Types: []string{"Patient", "Observation"},
		Since: time.Date(2025, 1, 2, 3, 4, 5, 678_900_000, time.FixedZone("", 2*3600)), Until: time.Date(2025, 2, 1, 0, 0, 0, 0, time.UTC),
		Elements:     []string{"id", "Patient.name"},
		TypeFilters:  []string{"Observation?code=a,b&date=ge2024-01-01T00:00:00+02:00", "Patient?name=a b&x=100%"},
		OutputFormat: "application/fhir+ndjson", IncludeAssociatedData: []string{"LatestProvenanceResources"},
		OrganizeOutputBy: "Patient", AllowPartialManifests: true, Extra: url.Values{"_ext": {"1+1", "2"}},
	}
}

func TestP19P20QueryEncoding(t *testing.T) {
	want := "_outputFormat=application%2Ffhir%2Bndjson" +
		"&_since=2025-01-02T01%3A04%3A05.678Z" +
		"&_until=2025-02-01T00%3A00%3A00.000Z" +
		"&_type=Patient,Observation" +
		"&_elements=id,Patient.name" +
		"&_typeFilter=Observation%3Fcode%3Da%2Cb%26date%3Dge2024-01-01T00%3A00%3A00%2B02%3A00" +
		"&_typeFilter=Patient%3Fname%3Da%20b%26x%3D100%25" +
		"&includeAssociatedData=LatestProvenanceResources" +
		"&organizeOutputBy=Patient" +
		"&allowPartialManifests=true" +
		"&_ext=1%2B1&_ext=2"
	if got := full().query(); got != want {
		t.Errorf("query\n got %s\nwant %s", got, want)
	}
	r := full()
	r.Repeat = true
	q, err := url.ParseQuery(r.query())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Patient", "Observation"}, q["_type"]); diff != "" {
		t.Errorf("repeated _type: %s", diff)
	}
	if got := (Request{Level: System}).query(); got != "" {
		t.Errorf("an empty request has the query %q", got)
	}
}

// TestF19CommaInFilter decodes as a server does.
func TestF19CommaInFilter(t *testing.T) {
	q, err := url.ParseQuery(full().query())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full().TypeFilters, q["_typeFilter"]); diff != "" {
		t.Errorf("filters do not arrive as they were: %s", diff)
	}
}

func TestP18ParametersBody(t *testing.T) {
	r := full()
	r.Patients = []string{"Patient/a", "b"}
	b, err := r.body()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		ResourceType string
		Parameter    []map[string]any
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	ref := func(s string) map[string]any { return map[string]any{"reference": s} }
	want := []map[string]any{
		{"name": "_outputFormat", "valueString": "application/fhir+ndjson"},
		{"name": "_since", "valueInstant": "2025-01-02T01:04:05.678Z"},
		{"name": "_until", "valueInstant": "2025-02-01T00:00:00.000Z"},
		{"name": "_type", "valueString": "Patient,Observation"},
		{"name": "_elements", "valueString": "id,Patient.name"},
		{"name": "_typeFilter", "valueString": r.TypeFilters[0]},
		{"name": "_typeFilter", "valueString": r.TypeFilters[1]},
		{"name": "includeAssociatedData", "valueCode": "LatestProvenanceResources"},
		{"name": "organizeOutputBy", "valueString": "Patient"},
		{"name": "allowPartialManifests", "valueBoolean": true},
		{"name": "patient", "valueReference": ref("Patient/a")},
		{"name": "patient", "valueReference": ref("Patient/b")},
		{"name": "_ext", "valueString": "1+1"},
		{"name": "_ext", "valueString": "2"},
	}
	if got.ResourceType != "Parameters" {
		t.Errorf("resourceType %q", got.ResourceType)
	}
	if diff := cmp.Diff(want, got.Parameter); diff != "" {
		t.Errorf("parameters: %s", diff)
	}
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	for _, r := range []Request{{}, {Level: Group}, {Level: "all"}, {Level: System, Patients: []string{"a"}}} {
		f := answers(reply(202, ""))
		_, err := clientOf(f).KickOff(t.Context(), r)
		if class(t, err) != "usage" || f.count() != 0 {
			t.Errorf("%+v: %v, %d requests", r, err, f.count())
		}
	}
}
