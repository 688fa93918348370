package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/sinks"
)

// block is the lines of a patient's block in a file that is organized by
// Patient: its header and what is behind it.
func block(patient int, lines ...string) []string {
	return append([]string{fmt.Sprintf(`{"resourceType":"Parameters","parameter":[{"name":"header","valueReference":{"reference":"Patient/patient-%d"}}]}`, patient)}, lines...)
}

// P30: files that are organized by Patient name no type, are led by headers, go
// on in one another, and repeat in every block what belongs to none. Each
// resource is published once, by its type, in every format, and the numbers add
// up (I3).
func TestP30OrganizedFiles(t *testing.T) {
	const (
		undated    = `{"resourceType":"Practitioner","id":"practitioner-1","active":true}`
		parameters = `{"resourceType":"Parameters","id":"no-header","parameter":[{"name":"dose","valueInteger":1}]}`
	)
	organization := resource("Organization", 1, "en")
	newer := strings.Replace(resource("Organization", 1, "de"), "2025-04-01", "2025-04-02", 1)
	s := newExportServer(t)
	s.organized = "Patient"
	s.output = []exportFile{
		{name: "1.ndjson", continues: "2.ndjson", lines: slices.Concat(
			block(1, resource("Patient", 1, "en"), resource("Observation", 1, "en"), organization, undated),
			block(2, resource("Patient", 2, "en"), resource("Observation", 2, "en"), organization))},
		{name: "2.ndjson", gzip: true, count: -1, lines: slices.Concat(
			block(2, resource("Observation", 3, "en"), undated, newer, parameters),
			block(3))},
		{name: "3.ndjson", count: 3, lines: block(4, resource("Patient", 4, "en"), undated, organization)}, // headers are not counted
	}
	want := []string{
		resource("Patient", 1, "en"), resource("Patient", 2, "en"), resource("Patient", 4, "en"),
		resource("Observation", 1, "en"), resource("Observation", 2, "en"), resource("Observation", 3, "en"),
		newer, undated, parameters,
	}
	slices.Sort(want)

	w := newWorld(t, s)
	w.Job.Export.Types, w.Job.Export.OrganizeOutputBy = nil, "Patient"
	w.Job.Sinks = append(w.Job.Sinks, config.Sink{Type: "parquet"})
	m := w.run(t, Options{}).Manifest
	if d := cmp.Diff(want, w.lines(t, "ndjson")); d != "" {
		t.Errorf("published lines (-want +got):\n%s", d)
	}
	wantCounts := []sinks.TypeCount{
		{Type: "Observation", Delivered: 3, Published: 3, Complete: true},
		{Type: "Organization", Delivered: 4, Published: 1, Superseded: 3, Complete: true},
		{Type: "Parameters", Delivered: 1, Published: 1, Complete: true},
		{Type: "Patient", Delivered: 3, Published: 3, Complete: true},
		{Type: "Practitioner", Delivered: 3, Published: 1, Superseded: 2, Complete: true},
		{Type: untyped, Delivered: 5, Headers: 5, Complete: true},
	}
	if d := cmp.Diff(wantCounts, m.Types); d != "" {
		t.Errorf("counts (-want +got):\n%s", d)
	}
	for _, warning := range m.Warnings {
		if warning.Code == "repeated-ids" {
			t.Errorf("warning %q: repeats are the rule in such files", warning.Text)
		}
	}
	w.wantWhole(t) // Parquet has the resources of the NDJSON, and each once
}
