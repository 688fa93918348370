package search

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func plan(r Request, ids ...string) (out []string) {
	for p := range (&Client{}).Partitions(r, ids) {
		if !strings.HasPrefix(p.Query, p.Type+"?") {
			out = append(out, "BAD TYPE")
		}
		out = append(out, p.Key+" "+p.Query)
	}
	return out
}

func TestPartitions(t *testing.T) {
	since := time.Date(2025, 1, 2, 3, 4, 5, 6_000_000, time.FixedZone("", 3600))
	for _, tc := range []struct {
		name string
		r    Request
		ids  []string
		want []string
	}{
		{
			"whole types and the compartment",
			Request{Types: []string{"Patient", "Organization", "Observation"}, Since: since, Batch: 2},
			[]string{"a", "b", "c"},
			[]string{
				"Patient Patient?_lastUpdated=ge2025-01-02T02:04:05.006Z",
				"Organization Organization?_lastUpdated=ge2025-01-02T02:04:05.006Z",
				"Observation/00000 Observation?patient=a,b&_lastUpdated=ge2025-01-02T02:04:05.006Z",
				"Observation/00001 Observation?patient=c&_lastUpdated=ge2025-01-02T02:04:05.006Z",
			},
		},
		{
			"named patients",
			Request{Types: []string{"Patient", "Condition"}, Patients: []string{"Patient/a", "b,|c"}, Include: []string{"Patient:organization"}},
			nil,
			[]string{
				`Patient/00000 Patient?_id=a,b%5C,%5C%7Cc&_include=Patient%3Aorganization`,
				`Condition/00000 Condition?patient=a,b%5C,%5C%7Cc`,
			},
		},
		{
			"filters and elements",
			Request{
				Types:    []string{"Patient", "Observation"},
				Filters:  []string{"Observation?code=a,b&date=gt2024-01-01T00:00:00+02:00", "Observation?category=x y", "Patient?gender=female"},
				Elements: []string{"code", "Observation.value", "Patient.name", "id"},
			},
			[]string{"a"},
			[]string{
				"Patient Patient?gender=female&_elements=meta,code,name,id",
				"Observation/00000 Observation?patient=a&code=a,b&date=gt2024-01-01T00%3A00%3A00%2B02%3A00&_elements=meta,code,value,id",
				"Observation/00001 Observation?patient=a&category=x%20y&_elements=meta,code,value,id",
			},
		},
		{"no patients", Request{Types: []string{"Observation"}}, nil, nil},
		{"no patient parameter", Request{Types: []string{"AdverseEvent"}}, []string{"a"}, []string{"AdverseEvent/00000 AdverseEvent?subject=Patient/a"}},
	} {
		if diff := cmp.Diff(tc.want, plan(tc.r, tc.ids...)); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
}

func TestParamsOfTheCompartment(t *testing.T) {
	all := func(string, string) bool { return true }
	for _, tc := range []struct {
		typ         string
		supports    func(string, string) bool
		by, without string
	}{
		{"Patient", nil, "", ""},
		{"Organization", all, "", ""},
		{"Condition", nil, "patient", "asserter"},
		{"Observation", nil, "patient", "performer"},
		{"Observation", all, "patient performer", ""},
		{"Encounter", nil, "patient", ""}, // subject is the same element
		{"Coverage", nil, "patient", "policy-holder subscriber payor"},
		{"Coverage", func(_, p string) bool { return p == "payor" }, "patient payor", "policy-holder subscriber"},
		{"Group", nil, "member", ""},
	} {
		by, without := Request{Supports: tc.supports}.Params(tc.typ)
		if strings.Join(by, " ") != tc.by || strings.Join(without, " ") != tc.without {
			t.Errorf("%s: by %q without %q, want %q, %q", tc.typ, by, without, tc.by, tc.without)
		}
	}
}

// TestPartitionsCoverEveryPatientOnce also keeps each URL short.
func TestPartitionsCoverEveryPatientOnce(t *testing.T) {
	var ids []string
	for i := range 1000 {
		ids = append(ids, fmt.Sprintf("%d-%s", i, strings.Repeat("x", i%200)))
	}
	r := Request{Types: []string{"Observation"}, Batch: 100}
	var got, keys []string
	for p := range (&Client{}).Partitions(r, ids) {
		_, raw, _ := strings.Cut(p.Query, "?")
		q, err := url.ParseQuery(raw)
		if err != nil || len(p.Query) > maxQuery+100 {
			t.Fatalf("%v, %d bytes", err, len(p.Query))
		}
		got = append(got, strings.Split(q.Get("patient"), ",")...)
		keys = append(keys, p.Key)
	}
	if !slices.Equal(got, ids) {
		t.Errorf("%d ids of %d", len(got), len(ids))
	}
	if !slices.IsSorted(keys) || len(slices.Compact(slices.Clone(keys))) != len(keys) {
		t.Errorf("keys %q", keys)
	}
	n := 0
	for range (&Client{}).Partitions(r, ids) {
		if n++; n == 2 {
			break
		}
	}
}
