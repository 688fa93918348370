package pipeline

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/sinks"
)

// F41: OperationOutcomes count by severity and code, whether they come in files of
// errors, of deletions or among resources; on_server_errors says whether what is
// missing fails the run. No text of a server gets out of outcomes/ (I7).
func TestF41ServerErrors(t *testing.T) {
	outcome := func(severity, code string) string {
		return `{"resourceType":"OperationOutcome","issue":[{"severity":"` + severity + `","code":"` + code + `","diagnostics":"SECRET"}]}`
	}
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	s.output[0].lines = append(s.output[0].lines, outcome("fatal", "SECRET"))
	s.errors = []exportFile{{typ: "OperationOutcome", name: "e", lines: []string{outcome("error", "processing"), outcome("error", "processing"), outcome("information", "informational")}}}
	s.deleted = []exportFile{{typ: "Bundle", name: "gone", lines: []string{outcome("warning", "throttled")}}}
	w := newWorld(t, s)

	err := w.fails(t, Options{})
	if classOf(err) != classQuality || !strings.HasSuffix(err.Error(), ": 2 error/processing, 1 fatal/unknown") || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("run = %v of class %q", err, classOf(err))
	}
	if w.latest(t) != nil {
		t.Error("something is published")
	}

	w.Job.Policies.OnServerErrors = "warn"
	m := w.run(t, Options{}).Manifest
	want := []sinks.Outcome{
		{Severity: "error", Code: "processing", Count: 2},
		{Severity: "fatal", Code: "unknown", Count: 1},
		{Severity: "information", Code: "informational", Count: 1},
		{Severity: "warning", Code: "throttled", Count: 1},
	}
	if d := cmp.Diff(want, m.Outcomes); d != "" {
		t.Errorf("outcomes (-want +got):\n%s", d)
	}
	lists := []sinks.ListCount{{List: "deleted", Delivered: 1, Outcomes: 1}, {List: "error", Delivered: 3, Outcomes: 3}}
	if d := cmp.Diff(lists, m.Lists); d != "" {
		t.Errorf("lists (-want +got):\n%s", d)
	}
	if fileRows(m, "outcomes/") != 5 || m.Types[1].Outcomes != 1 || m.Types[1].Complete || fileRows(m, "ndjson/") != 4 || len(m.Watermarks) != 0 {
		t.Errorf("types %+v, watermarks %v, files %v", m.Types, m.Watermarks, m.Files)
	}
	w.verified(t)
}
