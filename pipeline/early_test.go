package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/pipeline/ledger"
)

// newEarlyWorld is a job that takes partial manifests, of a server that goes on
// only when the files in them have been asked for.
func newEarlyWorld(t *testing.T) (*exportServer, *world) {
	s := newExportServer(t)
	s.population(3, 4, "Patient", "Observation")
	s.partial, s.polls, s.hold = []int{0, 2, 4}, 4, 4
	w := newWorld(t, s)
	w.Job.Export.AllowPartialManifests = true
	return s, w
}

// opens is how often each file was asked for.
func (s *exportServer) opens() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for name, n := range s.opened {
		list = append(list, fmt.Sprint(name, " ", n))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

const eachOnce = "Observation.0.ndjson 1, Observation.1.ndjson 1, Observation.2.ndjson 1, Patient.0.ndjson 1, Patient.1.ndjson 1, Patient.2.ndjson 1"

func warningCodes(t *testing.T, w *world) (codes []string) {
	t.Helper()
	for _, warning := range w.latest(t).Warnings {
		codes = append(codes, warning.Code)
	}
	return codes
}

// Files of partial manifests land while the server still works: this one ends its
// export when they were asked for. None is fetched twice, and the log has each
// event once.
func TestPartialManifestsLandEarly(t *testing.T) {
	s, w := newEarlyWorld(t)
	sum := w.run(t, Options{})
	w.publishedAll(t, s)
	w.clean(t)
	if got := s.opens(); got != eachOnce {
		t.Errorf("asked for %s, want each once", got)
	}
	if sum.Manifest.Stats.Kickoffs != 1 || len(warningCodes(t, w)) != 0 {
		t.Errorf("%d kick-offs, warnings %v", sum.Manifest.Stats.Kickoffs, warningCodes(t, w))
	}
	events := map[string]int{}
	early := 0
	for _, line := range w.exportLog(t, w.latest(t)) {
		events[line.EventID]++
		if events["status_complete"] == 0 && line.EventID == "download_complete" {
			early++
		}
	}
	if early != 4 || events["download_request"] != 6 || events["download_complete"] != 6 || events["status_complete"] != 1 {
		t.Errorf("%d files in the log before the export was complete, want 4; events %v", early, events)
	}
}

// Without allow_partial_manifests, and of an export that was taken over, what a
// server hands out early is left alone.
func TestPartialManifestsUnasked(t *testing.T) {
	s, w := newEarlyWorld(t)
	w.Job.Export.AllowPartialManifests = false
	s.hold = 0
	w.run(t, Options{})
	w.publishedAll(t, s)
	for _, line := range w.exportLog(t, w.latest(t)) {
		if line.EventID == "download_request" {
			t.Error("a file was asked for before the export was complete")
		}
		if line.EventID == "status_complete" {
			break
		}
	}
}

// P35: links of partial manifests that change and expire are renewed.
func TestP35PartialManifestsRenewed(t *testing.T) {
	s, w := newEarlyWorld(t)
	s.fresh = true
	s.expire[0], s.expire[1] = 1, 2
	w.run(t, Options{})
	w.publishedAll(t, s)
	w.clean(t)
	if got := warningCodes(t, w); len(got) != 0 {
		t.Errorf("warnings %v", got)
	}
}

// What the complete list contradicts is fetched anew, never published in the
// place of another file; what it has not is not published.
func TestPartialManifestsContradicted(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*exportServer)
		want   string // code of the warning
		again  bool   // files are fetched twice
	}{
		"paths change at every manifest": {func(s *exportServer) { s.rename, s.hold = true, 2 }, "manifest-changed", true},
		"another order": {func(s *exportServer) {
			s.output, s.reorder = s.output[:3], true
			s.partial, s.hold = []int{2}, 2
		}, "manifest-changed", true},
		"another order, which no two of one type share": {func(s *exportServer) { s.reorder = true }, "", true},
		"a file is withdrawn": {func(s *exportServer) {
			s.withdrawn = []exportFile{{typ: "Patient", name: "gone.ndjson", lines: []string{resource("Patient", 99, "en")}}}
			s.partial, s.hold = []int{7}, 7
		}, "file-withdrawn", false},
		"another file takes the place of one that is withdrawn": {func(s *exportServer) {
			s.output = s.output[:3]
			s.withdrawn, s.reorder = []exportFile{{typ: "Patient", name: "gone.ndjson", lines: []string{resource("Patient", 99, "en")}}}, true
			s.partial, s.hold = []int{1}, 1
		}, "manifest-changed", false},
	} {
		t.Run(name, func(t *testing.T) {
			s, w := newEarlyWorld(t)
			tt.change(s)
			w.run(t, Options{})
			w.publishedAll(t, s)
			w.clean(t)
			if got := strings.Join(warningCodes(t, w), ","); got != tt.want {
				t.Errorf("warnings %q, want %q", got, tt.want)
			}
			if again := strings.Contains(s.opens(), " 2"); again != tt.again {
				t.Errorf("asked for %s", s.opens())
			}
		})
	}
}

// I4, I5: a process that is killed at any step while files land early, and run
// again, publishes every resource once, by one kick-off, and fetches again only
// what was under way.
func TestI5KilledWhileLandingEarly(t *testing.T) {
	steps := 0
	{
		_, w := newEarlyWorld(t)
		said, _ := w.process(t, 0)
		if _, err := fmt.Sscanf(said, "published after %d steps", &steps); err != nil {
			t.Fatalf("the undisturbed process said %q", said)
		}
	}
	stride := 1
	if testing.Short() {
		stride = 5
	}
	seen := map[string]bool{}
	kill := func(at int, name string) {
		s, w := newEarlyWorld(t)
		t.Setenv("FLUE_TEST_CRASH_STEP", name)
		said, killed := w.process(t, at)
		t.Setenv("FLUE_TEST_CRASH_STEP", "")
		if !killed {
			return
		}
		step := strings.TrimPrefix(said, "died at ")
		if step == "state published" {
			return
		}
		seen[step] = true
		w.whole(t, s, said)
		w.process(t, 0)
		w.publishedAll(t, s)
		w.clean(t)
		kickoffs := 1
		if step == "kick-off intended" || step == "kick-off answered" {
			kickoffs = s.kickoffs // F16
		}
		twice := 0
		for _, n := range s.opened {
			twice += n - 1
		}
		if s.kickoffs != kickoffs || twice > 3+12 || step == "landed early" && twice > 3 {
			t.Fatalf("%s: %d kick-offs, asked for %s", said, s.kickoffs, s.opens())
		}
	}
	for at := 1; at <= steps; at += stride {
		kill(at, "")
	}
	for _, step := range []string{"early files recorded", "landed early", "copied", "polled"} {
		if !seen[step] {
			kill(0, step) // by its name: by number it may be missed
		}
		if !seen[step] {
			t.Errorf("no process died at %q", step)
		}
	}
}

func TestSettle(t *testing.T) {
	task := func(n int, path string, count int64) ledger.Task {
		return ledger.Task{Key: fmt.Sprintf("0/output/Patient/%06d", n), Path: path, Count: count}
	}
	taken := []ledger.Task{task(0, "/a", 3), task(1, "/b", -1)}
	for name, tt := range map[string]struct {
		list []ledger.Task
		gone int64
		same bool
	}{
		"the same and more": {[]ledger.Task{task(0, "/a", 3), task(1, "/b", -1), task(2, "/c", 1)}, 0, true},
		"one is gone":       {[]ledger.Task{task(0, "/a", 3), task(2, "/c", 1)}, 1, true},
		"all are gone":      {nil, 2, true},
		"one elsewhere":     {[]ledger.Task{task(0, "/a", 3), task(2, "/b", -1)}, 0, true},
		"another path":      {[]ledger.Task{task(0, "/a", 3), task(1, "/c", -1)}, 0, false},
		"another order":     {[]ledger.Task{task(0, "/b", -1), task(1, "/a", 3)}, 0, false},
		"another count":     {[]ledger.Task{task(0, "/a", 4), task(1, "/b", -1)}, 0, false},
		"one path for two":  {[]ledger.Task{task(0, "/a", 3), task(1, "/b", -1), task(2, "/b", 1)}, 0, false},
	} {
		if gone, same := settle(taken, tt.list); gone != tt.gone || same != tt.same {
			t.Errorf("%s: settle = %d, %v, want %d, %v", name, gone, same, tt.gone, tt.same)
		}
	}
}

// In a run of several exports, what the data's hands out early lands beside what
// the others brought, also where the complete list contradicts it.
func TestPartialManifestsBesideNewcomers(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		s := newGroupServer(t, "a", "b")
		s.early, s.fresh = true, fresh
		w := newGroupWorld(t, s)
		w.Job.Export.AllowPartialManifests = true
		w.run(t, Options{})
		wantEqual(t, "first lines", s.of("a", "b"), w.lines(t, "ndjson"))
		s.later()
		m := w.run(t, Options{}).Manifest
		wantEqual(t, "lines", s.changed(), w.lines(t, "ndjson"))
		wantEqual(t, "exports", []string{"members", "newcomers", "changes"}, exportsOf(m))
		if got := warned(m, "manifest-changed"); got != fresh {
			t.Errorf("the manifest changed: %v, want %v", got, fresh)
		}
		w.clean(t)
	}
}
