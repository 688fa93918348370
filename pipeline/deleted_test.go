package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/pipeline/config"
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

func TestF46BadDeletedLines(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient")
	bad := bundleOf(entry("PUT", "Patient/9"))
	s.deleted = []exportFile{{typ: "Bundle", name: "gone", lines: []string{bad, bundleOf(entry("DELETE", "Patient/8"))}}}
	w := newWorld(t, s)
	if err := w.fails(t, Options{}); classOf(err) != classQuality {
		t.Errorf("run = %v of class %q, want quality", err, classOf(err))
	}
	w.Job.Policies = config.Policies{MaxBadLines: 1}
	w.run(t, Options{})
	if d := cmp.Diff([]string{bad}, w.lines(t, "quarantine")); d != "" {
		t.Errorf("quarantine (-want +got):\n%s", d)
	}
	if got := w.lines(t, "deleted"); len(got) != 1 {
		t.Errorf("deletions %v, want one", got)
	}
}
