package pipeline

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/verify"
)

func bundleOf(entries ...string) string {
	return `{"resourceType":"Bundle","type":"transaction","entry":[` + strings.Join(entries, ",") + `]}`
}

func entry(method, url string) string {
	return fmt.Sprintf(`{"request":{"method":%q,"url":%q}}`, method, url)
}

// F47: what was also delivered was not deleted.
func TestF47DeletedAndDelivered(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient")
	s.deleted = []exportFile{{typ: "Bundle", name: "gone", lines: []string{
		bundleOf(entry("DELETE", "Patient/patient-1"), entry("DELETE", "Patient/patient-77")),
		bundleOf(entry("DELETE", "Observation/patient-0")),
	}}}
	w := newWorld(t, s)
	m := w.run(t, Options{}).Manifest
	run := m.Run
	want := []string{
		fmt.Sprintf(`{"type":"Observation","id":"patient-0","run":%q}`, run),
		fmt.Sprintf(`{"type":"Patient","id":"patient-77","run":%q}`, run),
	}
	if d := cmp.Diff(want, w.lines(t, "deleted")); d != "" {
		t.Errorf("deletions (-want +got):\n%s", d)
	}
	if !warned(m, "deleted-and-delivered") {
		t.Errorf("warnings %v", m.Warnings)
	}
	w.publishedAll(t, s)
	w.clean(t)
}

// F46: a line that is no deletion goes to quarantine with its place and its reason,
// and counts among the bad ones; what was no JSON, or an outcome, counts once.
func TestF46BadDeletedLines(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient")
	good, bad := bundleOf(entry("DELETE", "Patient/8")), bundleOf(entry("PUT", "Patient/9"))
	outcome := `{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"informational"}]}`
	s.deleted = []exportFile{{typ: "Bundle", name: "gone", count: -1, lines: []string{good, bad, `{"resourceType":"Bundle","id":"a","id":"b"}`, outcome}}}
	w := newWorld(t, s)
	w.Job.Policies.MaxBadLines.Lines = 1
	if err := w.fails(t, Options{}); classOf(err) != classQuality {
		t.Errorf("run = %v of class %q, want quality", err, classOf(err))
	}
	w.Job.Policies.MaxBadLines.Lines = 2
	m := w.run(t, Options{}).Manifest
	var got []string
	for _, text := range w.lines(t, "quarantine") {
		var bad struct {
			spool.BadLine
			Text string
		}
		must(t, json.Unmarshal([]byte(text), &bad))
		got = append(got, fmt.Sprintf("%d %d %s %s: %s", bad.Line, bad.Offset, bad.Type, bad.Reason, bad.Text))
	}
	slices.Sort(got)
	want := []string{
		fmt.Sprintf("2 %d Bundle %s: %s", len(good)+1, notDeletion, bad),
		fmt.Sprintf("3 %d Bundle duplicate member name: %s", len(good)+len(bad)+2, s.deleted[0].lines[2]),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("quarantine (-want +got):\n%s", d)
	}
	if got := w.lines(t, "deleted"); len(got) != 1 {
		t.Errorf("deletions %v, want one", got)
	}
	counts := []sinks.ListCount{{List: "deleted", Delivered: 4, Bundles: 1, Quarantined: 2, Outcomes: 1}}
	if d := cmp.Diff(counts, m.Lists); d != "" {
		t.Errorf("lists (-want +got):\n%s", d)
	}
	if d := cmp.Diff(&sinks.Deletions{Known: true, Published: 1, Rejected: 1}, m.Deletions); d != "" {
		t.Errorf("deletions (-want +got):\n%s", d)
	}
	w.verified(t)
}

// verified wants flue verify to find nothing.
func (w *world) verified(t *testing.T) {
	t.Helper()
	report, err := verify.Snapshot(t.Context(), filepath.Join(w.Dir, "out", w.Job.Name, "latest"), verify.Options{Rebuild: true})
	must(t, err)
	for _, f := range report.Findings {
		if f.Status == verify.Failed {
			t.Errorf("%s: %s %v", f.Check, f.Text, f.Problems)
		}
	}
}

// withParquet gives the job a sink of Parquet.
func (w *world) withParquet() *world {
	w.Job.Sinks = append(w.Job.Sinks, config.Sink{Type: "parquet"})
	return w
}

// Deletions are published as Parquet, too: as many rows as lines, also of none, and
// the manifest says whether they are known.
func TestDeletionsAsParquet(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s).withParquet()
	for _, run := range []struct {
		deleted []exportFile
		rows    int64
		want    *sinks.Deletions
	}{
		{nil, 0, nil}, // everything: there is nothing to know
		{nil, 0, &sinks.Deletions{}},
		{[]exportFile{{typ: "Bundle", name: "gone"}}, 0, &sinks.Deletions{Known: true}},
		{[]exportFile{{typ: "Bundle", name: "gone", lines: []string{
			bundleOf(entry("DELETE", "Patient/7"), entry("DELETE", "Patient/8")), bundleOf(entry("DELETE", "Observation/9")),
		}}}, 3, &sinks.Deletions{Known: true, Published: 3}},
	} {
		s.mu.Lock()
		s.deleted = run.deleted
		s.mu.Unlock()
		m := w.run(t, Options{}).Manifest
		if d := cmp.Diff(run.want, m.Deletions); d != "" {
			t.Errorf("deletions (-want +got):\n%s", d)
		}
		at := slices.IndexFunc(m.Files, func(f sinks.File) bool { return f.Path == "deleted/part-00000.parquet" })
		if at < 0 || m.Files[at].Rows != run.rows {
			t.Fatalf("files %v, want deletions of %d rows", m.Files, run.rows)
		}
		if got := int64(len(w.lines(t, "deleted"))); got != run.rows {
			t.Errorf("%d lines of deletions, want %d", got, run.rows)
		}
		w.verified(t)
	}
	w.clean(t)
}

// What the server does not tell of is not known: the next full run knows.
func TestDeletionsAreUnknownWhereNoneAreListed(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	if m := w.run(t, Options{}).Manifest; m.Deletions != nil {
		t.Errorf("a full run says %+v of deletions", m.Deletions)
	}
	if m := w.run(t, Options{}).Manifest; m.Kind != sinks.Delta || m.Deletions == nil || m.Deletions.Known {
		t.Errorf("%s run: deletions %+v, want unknown", m.Kind, m.Deletions)
	}
	if m := w.run(t, Options{Full: true}).Manifest; m.Deletions != nil {
		t.Errorf("the next full run says %+v of deletions", m.Deletions)
	}
}

// I5: killed while deletions are written, or before they are published, a run that
// goes on publishes each once, in each format.
func TestI5DeletionsSurviveKills(t *testing.T) {
	for _, step := range []string{"deletions written", "extras recorded", "state publishing", "visible"} {
		t.Run(step, func(t *testing.T) {
			s := newExportServer(t)
			s.population(1, 2, "Patient", "Observation")
			s.deleted = []exportFile{{typ: "Bundle", name: "gone", lines: []string{
				bundleOf(entry("DELETE", "Patient/7"), entry("DELETE", "Patient/patient-1")), bundleOf(entry("PUT", "Patient/9")),
			}}}
			w := newWorld(t, s).withParquet()
			w.Job.Policies.MaxBadLines.Lines = 1
			t.Setenv("FLUE_TEST_CRASH_STEP", step)
			if said, killed := w.process(t, 0); !killed {
				t.Fatalf("no process died: %s", said)
			}
			t.Setenv("FLUE_TEST_CRASH_STEP", "")
			w.process(t, 0)
			if got := w.lines(t, "deleted"); len(got) != 1 || !strings.Contains(got[0], `"id":"7"`) {
				t.Errorf("deletions %v, want one", got)
			}
			if d := cmp.Diff(&sinks.Deletions{Known: true, Published: 1, Revived: 1, Rejected: 1}, w.latest(t).Deletions); d != "" {
				t.Errorf("deletions (-want +got):\n%s", d)
			}
			w.publishedAll(t, s)
			w.verified(t)
			w.clean(t)
		})
	}
}
