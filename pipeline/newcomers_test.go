package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/sinks"
)

// changed are the lines that a delta after later has to hold: everything of the
// newcomer, and the change.
func (s *groupServer) changed() []string {
	lines := append(s.of("c"), s.data[1].line())
	slices.Sort(lines)
	return lines
}

func exportsOf(m *sinks.Manifest) (list []string) {
	for _, e := range m.Exports {
		list = append(list, e.Purpose)
	}
	return list
}

func wantEqual[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// I2, I9, P18, P27: what a newcomer had before the watermark is in the delta, by an
// export of its own; those who left are counted; each export is deleted before the
// next one is asked for.
func TestI2NewcomersComeWhole(t *testing.T) {
	s := newGroupServer(t, "a", "b")
	w := newGroupWorld(t, s)
	first := w.run(t, Options{}).Manifest
	wantEqual(t, "first lines", s.of("a", "b"), w.lines(t, "ndjson"))
	wantEqual(t, "first exports", []string{"members", "everything"}, exportsOf(first))
	wantEqual(t, "first members", &sinks.Members{Path: "members.ndjson", Count: 2}, first.Members)

	s.later()
	sum := w.run(t, Options{})
	m := sum.Manifest
	if m.Kind != sinks.Delta || m.Previous != first.Name {
		t.Fatalf("%s on %s: %v", m.Kind, m.Previous, m.Warnings)
	}
	wantEqual(t, "lines", s.changed(), w.lines(t, "ndjson"))
	wantEqual(t, "kick-offs", []string{"members", "newcomers", "changes"}, s.purposes())
	wantEqual(t, "exports", []string{"members", "newcomers", "changes"}, exportsOf(m))
	wantEqual(t, "members", &sinks.Members{Path: "members.ndjson", Count: 2, Joined: 1, Left: 1}, m.Members)
	if s.most != 1 || s.deletes != 3 {
		t.Errorf("%d exports at once, %d deletes; want 1, 3", s.most, s.deletes)
	}
	list, newcomers := s.asked[0], s.asked[1]
	if list.params.Get("_elements") != "id" || list.params.Has("_since") {
		t.Errorf("the members were asked for with %v", list.params)
	}
	if newcomers.method != "POST" || newcomers.params.Get("patient") != "Patient/c" || newcomers.params.Has("_since") || len(newcomers.params["patient"]) != 1 {
		t.Errorf("the newcomers were asked for by %s with %v", newcomers.method, newcomers.params)
	}
	if e := m.Exports[1]; e.Patients != 1 || e.Since != nil || e.KickoffDate == nil || e.TransactionTime == nil {
		t.Errorf("the newcomers' export: %+v", e)
	}
	for _, c := range m.Types {
		if !c.Complete {
			t.Errorf("%s did not come whole: %s", c.Type, c.Reason)
		}
	}
	wantEqual(t, "watermark", groupDay.AddDate(0, 0, 1).Add(-defaultOverlap), m.Watermarks["Patient"])
	log, err := os.ReadFile(filepath.Join(w.Dir, "out", w.Job.Name, "latest", logName))
	must(t, err)
	if n := strings.Count(string(log), `"eventId":"kickoff"`); n != 3 || strings.Contains(string(log), "Patient/c") {
		t.Errorf("the log tells of %d kick-offs, want 3, and names nobody", n)
	}
	w.clean(t)

	s.mu.Lock()
	s.asked = nil
	s.mu.Unlock()
	m = w.run(t, Options{}).Manifest
	wantEqual(t, "nobody joined", []string{"members", "changes"}, exportsOf(m))
	wantEqual(t, "members again", &sinks.Members{Path: "members.ndjson", Count: 2}, m.Members)
	w.clean(t)
}

// I2, I3: where a step cannot be done, nothing of a newcomer is missing all the same.
func TestI2NewcomersFallBack(t *testing.T) {
	t.Parallel() // it waits
	for _, tt := range []struct {
		name    string
		change  func(t *testing.T, s *groupServer, w *world)
		asked   string
		kind    sinks.Kind
		members bool
	}{
		{
			"patient is refused", func(t *testing.T, s *groupServer, w *world) { s.refuse = []string{"patient"} },
			"members, newcomers refused, everything", sinks.Full, true,
		},
		{
			"patient is forbidden", func(t *testing.T, s *groupServer, w *world) { s.refuse, s.answer = []string{"patient"}, 403 },
			"members, newcomers refused, everything", sinks.Full, true,
		},
		{
			"patient breaks it", func(t *testing.T, s *groupServer, w *world) { s.refuse, s.answer = []string{"patient"}, 500 },
			"members, " + strings.Repeat("newcomers refused, ", 4) + "everything", sinks.Full, true,
		},
		{
			"patient is ignored", func(t *testing.T, s *groupServer, w *world) { s.ignore = true },
			"members, newcomers, everything", sinks.Full, true,
		},
		{
			"_elements is refused", func(t *testing.T, s *groupServer, w *world) { s.refuse = []string{"_elements"} },
			"members refused, members, newcomers, changes", sinks.Delta, true,
		},
		{
			"the list is refused", func(t *testing.T, s *groupServer, w *world) { s.refuse = []string{"list"} },
			"members refused, members refused, everything", sinks.Full, false,
		},
		{
			"patient fails later", func(t *testing.T, s *groupServer, w *world) { s.fail = []string{"newcomers"} },
			"members, newcomers, everything", sinks.Full, true,
		},
		{
			"patient fails behind files", func(t *testing.T, s *groupServer, w *world) {
				s.fail, s.early, w.Job.Export.AllowPartialManifests = []string{"newcomers"}, true, true
			},
			"members, newcomers, everything", sinks.Full, true,
		},
		{
			"the list fails later", func(t *testing.T, s *groupServer, w *world) { s.fail = []string{"members"} },
			"members, members, everything", sinks.Full, false,
		},
		{
			"the list is broken", func(t *testing.T, s *groupServer, w *world) { s.broken = true; w.Job.Policies.MaxBadLines.Lines = 9 },
			"members, everything", sinks.Full, false,
		},
		{"the last list is gone", func(t *testing.T, s *groupServer, w *world) {
			must(t, os.Remove(filepath.Join(w.Dir, "out", w.Job.Name, "latest", "members.ndjson")))
		}, "members, everything", sinks.Full, true},
		{"the last list is cut", func(t *testing.T, s *groupServer, w *world) {
			must(t, os.WriteFile(filepath.Join(w.Dir, "out", w.Job.Name, "latest", "members.ndjson"), []byte(`{"type":"Patient","id":"a"}`+"\n"), 0o600))
		}, "members, everything", sinks.Full, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newGroupServer(t, "a", "b")
			w := newGroupWorld(t, s)
			w.run(t, Options{})
			s.later()
			tt.change(t, s, w)
			m := w.run(t, Options{}).Manifest
			wantEqual(t, "kick-offs", tt.asked, strings.Join(s.purposes(), ", "))
			if m.Kind != tt.kind || (m.Members != nil) != tt.members || m.Kind == sinks.Full && len(m.Warnings) == 0 {
				t.Errorf("%s, members known %v, warnings %v", m.Kind, m.Members != nil, m.Warnings)
			}
			want := s.of("a", "c")
			if tt.kind == sinks.Delta {
				want = s.changed()
			}
			wantEqual(t, "lines", want, w.lines(t, "ndjson"))
			if len(s.exports) != 0 {
				t.Errorf("%d exports are left at the server", len(s.exports))
			}
			w.clean(t)
			s.mu.Lock()
			s.refuse, s.ignore, s.broken, s.fail = nil, false, false, nil
			s.mu.Unlock()
			if next := w.run(t, Options{}).Manifest; (next.Kind == sinks.Delta) != tt.members {
				t.Errorf("the next run is %s", next.Kind)
			}
		})
	}
}

// A server that ignores the parameter and does not say so sends more than it was
// asked for: each resource is there once.
func TestI3NewcomersOfADeafServer(t *testing.T) {
	s := newGroupServer(t, "a", "b")
	w := newGroupWorld(t, s)
	w.run(t, Options{})
	s.later()
	s.deaf = true
	m := w.run(t, Options{}).Manifest
	wantEqual(t, "kind", sinks.Delta, m.Kind)
	wantEqual(t, "lines", s.of("a", "c"), w.lines(t, "ndjson"))
}

// I3, P35: links are renewed by the manifest of their own export, and what both exports hold is published once, in its newest version, with and
// without a lastUpdated; equal files of theirs are no fault.
func TestI3P35NewcomersInBothExports(t *testing.T) {
	s := newGroupServer(t, "a", "b")
	w := newGroupWorld(t, s)
	w.run(t, Options{})
	s.later()
	for i, h := range s.data {
		if h.patient == "c" && h.typ == "Observation" {
			s.data[i].updated = time.Time{}
		}
		if h.patient == "c" && h.typ == "Patient" {
			s.data[i].updated = s.now.Add(-time.Minute)
		}
	}
	s.fresh = true // equal files within an export are a fault then
	s.expire = map[string]int{"members": 1, "newcomers": 1, "changes": 1}
	m := w.run(t, Options{}).Manifest
	wantEqual(t, "lines", s.changed(), w.lines(t, "ndjson"))
	wantEqual(t, "kick-offs", []string{"members", "newcomers", "changes"}, s.purposes())
	for _, c := range m.Types {
		if c.Superseded == 0 || c.Delivered != c.Published+c.Superseded {
			t.Errorf("%s: %d delivered, %d published, %d superseded", c.Type, c.Delivered, c.Published, c.Superseded)
		}
	}
	for _, warning := range m.Warnings {
		if warning.Code == "duplicate-file" || warning.Code == "repeated-ids" {
			t.Errorf("warned of %s", warning.Code)
		}
	}
}

// Who is asked for newcomers, and who is told that nobody looks for them.
func TestNewcomersConfigured(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(w *world)
		asked   []string
		warning string
	}{
		{"ignore", func(w *world) { w.Job.Export.Newcomers = "ignore" }, []string{"changes"}, ""},
		{"without patients", func(w *world) { w.Job.Export.Types = []string{"Observation"} }, []string{"changes"}, "newcomers-unknown"},
		{"named patients", func(w *world) { w.Job.Export.Patients = []string{"a"} }, []string{"newcomers"}, ""}, // as the job names them
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newGroupServer(t, "a", "b")
			w := newGroupWorld(t, s)
			tt.change(w)
			w.run(t, Options{})
			s.later()
			m := w.run(t, Options{}).Manifest
			wantEqual(t, "kick-offs", tt.asked, s.purposes())
			codes := ""
			for _, warning := range m.Warnings {
				codes += warning.Code
			}
			if m.Kind != sinks.Delta || m.Members != nil || m.Exports != nil || codes != tt.warning {
				t.Errorf("%s, members %v, exports %v, warnings %q", m.Kind, m.Members, m.Exports, codes)
			}
		})
	}
}

// A job that begins to look for newcomers cannot tell who is one: its next run is full.
func TestNewcomersBeginWithAFullRun(t *testing.T) {
	s := newGroupServer(t, "a", "b")
	w := newGroupWorld(t, s)
	w.Job.Export.Newcomers = "ignore"
	w.run(t, Options{})
	w.Job.Export.Newcomers = "full"
	if m := w.run(t, Options{}).Manifest; m.Kind != sinks.Full || m.Members == nil {
		t.Errorf("%s, members %v", m.Kind, m.Members)
	}
}

// I7: neither the ledger nor what is told of a run names a newcomer.
func TestI7NewcomersAreNotNamed(t *testing.T) {
	s := newGroupServer(t, "a")
	w := newGroupWorld(t, s)
	w.run(t, Options{})
	s.later()
	s.data = append(s.data, held{"zz-secret-zz", "Patient", "zz-secret-zz", groupDay.AddDate(-1, 0, 0)})
	s.members = append(s.members, "zz-secret-zz")
	r := w.open(t)
	r.Observe = func(e Event) {
		if strings.Contains(fmt.Sprint(e), "zz-secret") {
			t.Errorf("told: %v", e)
		}
	}
	_, err := r.Run(t.Context(), Options{})
	w.sync()
	must(t, err)
	must(t, r.Ledger.Close())
	paths, err := filepath.Glob(filepath.Join(w.Dir, "state", "*"))
	must(t, err)
	for _, path := range append(paths, filepath.Join(w.Dir, "out", w.Job.Name, "latest", "manifest.json"), filepath.Join(w.Dir, "out", w.Job.Name, "latest", logName)) {
		if data, _ := os.ReadFile(path); strings.Contains(string(data), "zz-secret") {
			t.Errorf("%s names a patient", filepath.Base(path))
		}
	}
}

// Of two exports the second one is the newer: its files come last, whatever their
// place in its manifest.
func TestOrderOfExports(t *testing.T) {
	tasks := inOrder([]ledger.Task{
		{Key: "10/output/Patient/000000", Kind: kindOutput, Type: "Patient"},
		{Key: "9/output/Patient/000001", Kind: kindOutput, Type: "Patient", Ordinal: 1},
		{Key: "9/output/Patient/000000", Kind: kindOutput, Type: "Patient"},
	})
	var keys []string
	for _, task := range tasks {
		keys = append(keys, task.Key)
	}
	wantEqual(t, "order", []string{"9/output/Patient/000000", "9/output/Patient/000001", "10/output/Patient/000000"}, keys)
}

// A watermark set by hand, with no list to hold the members against, is heeded all
// the same, and the run says what it does not know.
func TestNewcomersBesideAnOverride(t *testing.T) {
	s := newGroupServer(t, "a", "b")
	w := newGroupWorld(t, s)
	r := w.open(t)
	must(t, r.SetWatermark(t.Context(), groupDay.AddDate(0, 0, -1)))
	must(t, r.Ledger.Close())
	m := w.run(t, Options{}).Manifest
	wantEqual(t, "kick-offs", []string{"changes"}, s.purposes())
	if m.Kind != sinks.Delta || m.Members != nil || len(m.Warnings) != 1 || m.Warnings[0].Code != "newcomers-unknown" {
		t.Errorf("%s, members %v, warnings %v", m.Kind, m.Members, m.Warnings)
	}
	if next := w.run(t, Options{}).Manifest; next.Kind != sinks.Full || next.Members == nil {
		t.Errorf("the next run is %s, members %v", next.Kind, next.Members)
	}
}

// More newcomers than a request can name come with everybody else.
func TestI8TooManyNewcomers(t *testing.T) {
	s := newGroupServer(t, "a")
	w := newGroupWorld(t, s)
	w.run(t, Options{})
	s.later()
	for i := range maxNewcomers {
		id := fmt.Sprintf("n%d", i)
		s.members = append(s.members, id)
		s.data = append(s.data, held{id, "Patient", id, groupDay.AddDate(-1, 0, 0)})
	}
	m := w.run(t, Options{}).Manifest
	wantEqual(t, "kick-offs", []string{"members", "everything"}, s.purposes())
	wantEqual(t, "members", &sinks.Members{Path: "members.ndjson", Count: maxNewcomers + 2, Joined: maxNewcomers + 1}, m.Members)
	wantEqual(t, "kind", sinks.Full, m.Kind)
}

// P28: of several exports the watermark is that of the first, so that what was
// deleted or changed between them is told by the next run.
func TestP28NewcomersWatermark(t *testing.T) {
	s := newGroupServer(t, "a", "b")
	w := newGroupWorld(t, s)
	w.run(t, Options{})
	s.later()
	s.tick = time.Hour
	first := s.now
	m := w.run(t, Options{}).Manifest
	wantEqual(t, "watermark", first.Add(-defaultOverlap), m.Watermarks["Observation"])
	for i, e := range m.Exports {
		wantEqual(t, e.Purpose, first.Add(time.Duration(i)*time.Hour), *e.TransactionTime)
	}
}

// I2: who joined while a type was left out is not known to the next run: older data of
// theirs of that type would never be asked for.
func TestI2NewcomersOfATypeThatWasLeftOut(t *testing.T) {
	s := newGroupServer(t, "a", "b")
	w := newGroupWorld(t, s)
	w.run(t, Options{})
	s.later()
	types := w.Job.Export.Types
	w.Job.Export.Types = []string{"Patient"}
	m := w.run(t, Options{}).Manifest
	if m.Kind != sinks.Delta || m.Members != nil || !warned(m, "members-held") {
		t.Errorf("%s, members %v, warnings %v", m.Kind, m.Members, m.Warnings)
	}
	w.Job.Export.Types = types
	if m = w.run(t, Options{}).Manifest; m.Kind != sinks.Full || m.Members == nil {
		t.Errorf("the next run is %s, members %v", m.Kind, m.Members)
	}
	wantEqual(t, "lines", s.of("a", "c"), w.lines(t, "ndjson"))
}
