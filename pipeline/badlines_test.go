package pipeline

import (
	"strings"
	"testing"

	"github.com/flue-fhir/flue/pipeline/config"
)

// F40: a share of bad lines is judged when everything has landed: a file with
// nothing else in it does not fail a run of which it is a small part. A number
// is judged at once.
func TestF40ShareOfBadLines(t *testing.T) {
	for _, tt := range []struct {
		limit string
		says  string // "" when the run is published
	}{
		{"20%", ""},
		{"19.9999%", "too many bad lines: 2 of 10, the job allows 19.9999%"},
		{"2", ""},
		{"1", "too many bad lines: at least 2, the job allows 1"},
		{"0", "too many bad lines: at least 1, the job allows 0"},
	} {
		t.Run(tt.limit, func(t *testing.T) {
			s := newExportServer(t)
			s.population(1, 4, "Patient", "Observation")
			s.output = append([]exportFile{{typ: "Condition", name: "bad", lines: []string{"SECRET", "SECRET"}}}, s.output...)
			if tt.limit == "0" {
				s.output[0].lines = s.output[0].lines[:1]
			}
			w := newWorld(t, s)
			limit, err := config.ParseAllowance(tt.limit)
			must(t, err)
			w.Job.Export.Types = nil
			w.Job.Policies.MaxBadLines = limit
			if tt.says == "" {
				w.run(t, Options{})
				if got := len(w.lines(t, "quarantine")); got != 2 {
					t.Errorf("%d lines in quarantine, want 2", got)
				}
				w.verified(t)
				return
			}
			err = w.fails(t, Options{})
			if classOf(err) != classQuality || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error()+hintOf(err), "SECRET") {
				t.Errorf("run: %v of class %q (%s), want %q of class quality", err, classOf(err), hintOf(err), tt.says)
			}
			if w.latest(t) != nil {
				t.Error("something is published")
			}
		})
	}
}

// A line of a deleted file that is no deletion counts in the share, too (F46).
func TestF46ShareOfRejectedLines(t *testing.T) {
	for _, tt := range []struct {
		limit string
		ok    bool
	}{{"25%", true}, {"24%", false}} {
		s := newExportServer(t)
		s.population(1, 2, "Patient")
		s.deleted = []exportFile{{typ: "Bundle", name: "gone", lines: []string{bundleOf(entry("DELETE", "Patient/8")), bundleOf(entry("PUT", "Patient/9"))}}}
		w := newWorld(t, s)
		limit, err := config.ParseAllowance(tt.limit)
		must(t, err)
		w.Job.Policies.MaxBadLines = limit
		if tt.ok {
			w.run(t, Options{})
		} else if err := w.fails(t, Options{}); classOf(err) != classQuality || !strings.Contains(err.Error(), "1 of 4,") {
			t.Errorf("run: %v, want 1 of 4", err)
		}
	}
}
