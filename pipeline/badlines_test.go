package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/pipeline/spool"
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

// F40: the bad lines of a run that failed are known from what it landed, and are
// those that it publishes when they are allowed; looking changes nothing.
func TestF40BadLinesOfAFailedRun(t *testing.T) {
	s := newExportServer(t)
	s.population(2, 3, "Patient")
	s.output[1].lines = append([]string{"SECRET"}, s.output[1].lines...)
	s.deleted = []exportFile{{typ: "Bundle", name: "gone", lines: []string{bundleOf(entry("PUT", "Patient/SECRET")), "SECRET"}}}
	w := newWorld(t, s)
	w.Job.Policies.MaxBadLines.Lines = 2 // the third is found when all has landed
	if err := w.fails(t, Options{}); classOf(err) != classQuality {
		t.Fatalf("run: %v", err)
	}
	r := w.open(t)
	runs, err := r.Ledger.Runs(t.Context(), w.Job.Name, 1)
	must(t, err)
	for range 2 {
		var got []string
		landed, err := EachBad(t.Context(), r.Ledger, r.Spool, runs[0].ID, func(b spool.BadLine) error {
			got = append(got, fmt.Sprintf("%s line %d byte %d: %s", b.Type, b.Line, b.Offset, b.Reason))
			return nil
		})
		must(t, err)
		want := []string{
			fmt.Sprintf("Bundle line 2 byte %d: not a JSON object", len(s.deleted[0].lines[0])+1), "Patient line 1 byte 0: not a JSON object", "Bundle line 1 byte 0: " + notDeletion,
		}
		if d := cmp.Diff(want, got); d != "" || landed != (Landed{3, 3}) {
			t.Errorf("%+v landed; bad lines (-want +got):\n%s", landed, d)
		}
	}
	must(t, r.Ledger.Close())
	w.Job.Policies.MaxBadLines.Lines = 3
	w.run(t, Options{})
	if got := len(w.lines(t, "quarantine")); got != 3 {
		t.Errorf("%d lines in quarantine, want 3", got)
	}
	w.verified(t)
}
