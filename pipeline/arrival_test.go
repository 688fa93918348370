package pipeline

import (
	"testing"

	"github.com/flue-fhir/flue/sinks"
)

// I2, I3: where the newcomers' export does not bring everybody, everything is asked for.
func TestI3NewcomersWhoDoNotCome(t *testing.T) {
	s := newGroupServer(t, "a", "b")
	w := newGroupWorld(t, s)
	w.run(t, Options{})
	s.later()
	s.members, s.one = append(s.members, "d"), true
	m := w.run(t, Options{}).Manifest
	wantEqual(t, "exports", []string{"members", "newcomers", "everything"}, exportsOf(m))
	if m.Kind != sinks.Full || !warned(m, "newcomers-full") {
		t.Errorf("%s, warnings %v", m.Kind, m.Warnings)
	}
	wantEqual(t, "lines", s.of("a", "c", "d"), w.lines(t, "ndjson"))
	wantEqual(t, "members", &sinks.Members{Path: membersName, Count: 3, Joined: 2, Left: 1}, m.Members)
	w.clean(t)
}

// I2, I3: a member whom no export holds is not taken for known, and comes whole once
// the server gives the data out. In the meantime the runs are deltas that say so.
func TestI2MembersWithoutData(t *testing.T) {
	s := newGroupServer(t, "a", "b")
	w := newGroupWorld(t, s)
	w.run(t, Options{})
	s.later()
	s.withheld = []string{"c"}
	absent := &sinks.Members{Path: membersName, Count: 1, Absent: 1, Joined: 1, Left: 1}
	m := w.run(t, Options{}).Manifest
	wantEqual(t, "exports", []string{"members", "newcomers", "everything"}, exportsOf(m))
	wantEqual(t, "members", absent, m.Members)
	for range 2 {
		s.now = s.now.AddDate(0, 0, 1)
		m = w.run(t, Options{}).Manifest
		wantEqual(t, "exports", []string{"members", "newcomers", "changes"}, exportsOf(m))
		absent.Left = 0
		wantEqual(t, "members", absent, m.Members)
		if !warned(m, "members-absent") {
			t.Errorf("warnings %v", m.Warnings)
		}
	}
	s.now = s.now.AddDate(0, 0, 1)
	s.withheld = nil
	m = w.run(t, Options{}).Manifest
	wantEqual(t, "kind", sinks.Delta, m.Kind)
	wantEqual(t, "lines", s.of("c"), w.lines(t, "ndjson"))
	wantEqual(t, "members", &sinks.Members{Path: membersName, Count: 2, Joined: 1}, m.Members)
	s.now = s.now.AddDate(0, 0, 1)
	m = w.run(t, Options{}).Manifest
	wantEqual(t, "exports", []string{"members", "changes"}, exportsOf(m))
	w.clean(t)
}

// I2: what a full run did not bring is not known either; but a job that asks for some
// Patients only says nothing about the others.
func TestI2MembersOfAFullRun(t *testing.T) {
	for _, tt := range []struct {
		name    string
		filters []string
		want    *sinks.Members
	}{
		{"all patients", nil, &sinks.Members{Path: membersName, Count: 1, Absent: 1}},
		{"filtered observations", []string{"Observation?status=final"}, &sinks.Members{Path: membersName, Count: 1, Absent: 1}},
		{"filtered patients", []string{"Patient?active=true"}, &sinks.Members{Path: membersName, Count: 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newGroupServer(t, "a", "b")
			s.withheld = []string{"b"}
			w := newGroupWorld(t, s)
			w.Job.Export.TypeFilters = tt.filters
			wantEqual(t, "members", tt.want, w.run(t, Options{}).Manifest.Members)
		})
	}
}
