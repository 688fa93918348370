package pipeline

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/sinks"
)

var evening = time.Date(2025, 6, 30, 20, 0, 0, 0, time.UTC)

// history makes snapshots, one a day, the last one today: "F" is a full one, "d"
// a delta on it, "o" a delta that begins a chain, "s" a full one of what changed
// since a fixed time. They are called a, b, c …
func history(kinds string) []sinks.Snapshot {
	var list []sinks.Snapshot
	base := ""
	for i, kind := range kinds {
		s := sinks.Snapshot{Name: string(rune('a' + i)), Published: evening.AddDate(0, 0, i-len(kinds)+1)}
		switch kind {
		case 'F':
			base, s.Whole = s.Name, true
		case 'd':
			s.Base = base
		case 'o':
			base = s.Name
		}
		s.Latest = i == len(kinds)-1
		list = append(list, s)
	}
	return list
}

func TestRetention(t *testing.T) {
	for _, test := range []struct {
		name, kinds string
		keep, days  int
		want        string // in the order of deletion
	}{
		{"NothingSaid", "FFFFF", 0, 0, ""},
		{"Nothing", "", 1, 1, ""},
		{"NewestFull", "FFFFF", 2, 0, "a b c"},
		{"NeverLatest", "F", 1, 0, ""},
		{"WholeChains", "FddFddFdd", 3, 0, "c b a f e d"},
		{"AKeptDeltaKeepsItsChain", "FddFddFdd", 4, 0, "c b a"},
		{"NeverTheChainOfLatest", "FddddddF"[:7], 1, 0, ""},
		{"Days", "FFFFF", 0, 2, "a b c"},
		{"DaysOfADelta", "FddFd", 0, 3, ""},
		{"EitherLimitKeeps", "FFFFF", 1, 4, "a"},
		{"DeltaWithoutAChain", "FooF", 1, 0, "a b c"},
		{"ChainWithoutAFull", "Fooddd", 1, 0, "b"},
		{"ChangesDoNotPushOutTheWhole", "Fddo", 1, 0, ""},
		{"PartOfItDoesNotPushOutTheWhole", "FFds", 1, 0, "a"},
		{"OnlyParts", "sss", 1, 0, "a b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := expired(history(test.kinds), config.Retention{Keep: test.keep, KeepDays: test.days}, evening)
			if s := strings.Join(got, " "); s != test.want {
				t.Errorf("deletes %q, want %q", s, test.want)
			}
		})
	}
}

// TestRetentionHoldsItsPromises: wherever the deletion stops, no snapshot that
// is left rests on one that is gone, and the newest ones are there.
func TestRetentionHoldsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := history("F" + rapid.StringMatching(`[Fdos]{0,20}`).Draw(t, "kinds"))
		latest := rapid.IntRange(0, len(list)-1).Draw(t, "latest") // a person may have moved it
		for i := range list {
			list[i].Latest = i == latest
		}
		keep := config.Retention{Keep: rapid.IntRange(0, 9).Draw(t, "keep"), KeepDays: rapid.IntRange(0, 9).Draw(t, "days")}
		gone := expired(list, keep, evening)
		if stop := rapid.IntRange(0, len(gone)).Draw(t, "stop"); stop < len(gone) {
			gone = gone[:stop]
		}
		for i, s := range list {
			if !slices.Contains(gone, s.Name) {
				if s.Base != "" && slices.Contains(gone, s.Base) {
					t.Fatalf("%s is left and rests on %s, which is deleted", s.Name, s.Base)
				}
				continue
			}
			if s.Latest || i >= len(list)-keep.Keep || i == len(list)-1 {
				t.Fatalf("%s is deleted", s.Name)
			}
			for _, later := range list[i+1:] {
				if later.Base != "" && later.Base == s.Base && !slices.Contains(gone, later.Name) {
					t.Fatalf("%s is deleted in the middle of its chain", s.Name)
				}
			}
		}
	})
}

// snapshots are the folders of published snapshots, and what else lies there.
func (w *world) snapshots(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(w.Dir, "out", w.Job.Name, "snapshots", "*"))
	if err != nil {
		t.Fatal(err)
	}
	graves, err := filepath.Glob(filepath.Join(w.Dir, "out", w.Job.Name, ".deleted-*"))
	if err != nil || len(graves) > 0 {
		t.Errorf("%v are left (%v)", graves, err)
	}
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return found
}

func TestRetentionDeletesAfterPublication(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 5, "Patient", "Observation")
	w := newWorld(t, s)
	w.Job.Retention.Keep = 1
	first := w.run(t, Options{})
	delta := w.run(t, Options{})
	if len(delta.Deleted) > 0 || len(w.snapshots(t)) != 2 {
		t.Errorf("%v deleted: the delta rests on the full snapshot", delta.Deleted)
	}
	r := w.open(t)
	var told []string
	r.Observe = func(e Event) {
		if e.Kind == "retention" {
			told = append(told, e.Text)
		}
	}
	sum, err := r.Run(t.Context(), Options{Full: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{delta.Manifest.Name, first.Manifest.Name}
	if !slices.Equal(sum.Deleted, want) || len(told) != 2 {
		t.Errorf("deleted %v and told %q, want %v", sum.Deleted, told, want)
	}
	if left := w.snapshots(t); len(left) != 1 || left[0] != sum.Manifest.Name {
		t.Errorf("%v are left", left)
	}
	w.publishedAll(t, s)
	if err := r.Ledger.Close(); err != nil {
		t.Fatal(err)
	}
	w.clean(t)
}

// TestRetentionSparesWhatAnAdHocRunReplaces: flags that ask for something else this
// once let no snapshot of the job go, also when the run that they began is ended by
// the job's next one.
func TestRetentionSparesWhatAnAdHocRunReplaces(t *testing.T) {
	for _, killed := range []bool{false, true} {
		s := newExportServer(t)
		s.population(1, 2, "Patient", "Observation")
		w := newWorld(t, s)
		w.Job.Retention = config.Retention{Keep: 1}
		full := w.run(t, Options{}).Manifest
		delta := w.run(t, Options{}).Manifest

		job, output := w.Job, s.output
		s.output = nil
		s.population(1, 2, "Condition")
		w.Job.Export.Types = []string{"Condition"}
		if !killed {
			if sum := w.run(t, Options{AdHoc: true}); len(sum.Deleted) > 0 || sum.Manifest.Kind != sinks.Full {
				t.Errorf("a %s deleted %v", sum.Manifest.Kind, sum.Deleted)
			}
		} else {
			r := w.open(t)
			r.probe = func(step string) {
				if step == "visible" {
					_ = r.Ledger.Close() // nothing can be noted any more
				}
			}
			if _, err := r.Run(t.Context(), Options{AdHoc: true}); err == nil {
				t.Fatal("the run was noted")
			}
		}
		side := w.latest(t)
		if want := []string{full.Name, delta.Name, side.Name}; !slices.Equal(w.snapshots(t), want) {
			t.Errorf("%v are left, want %v", w.snapshots(t), want)
		}

		w.Job, s.output = job, output
		r := w.open(t)
		r.probe = func(step string) {
			if left := w.snapshots(t); step == "state kicked_off" && len(left) != 3 {
				t.Errorf("%v are left before the job has published again", left)
			}
		}
		sum, err := r.Run(t.Context(), Options{})
		must(t, err)
		if sum.Manifest.Kind != sinks.Full || len(sum.Deleted) != 3 {
			t.Errorf("the job's next run is a %s that deleted %v", sum.Manifest.Kind, sum.Deleted)
		}
		must(t, r.Ledger.Close())
	}
}

// TestRetentionKeepsAChainThatBeganByHand: deltas on a watermark that was set while
// nothing was published rest on the first of them.
func TestRetentionKeepsAChainThatBeganByHand(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	r := w.open(t)
	must(t, r.SetWatermark(t.Context(), time.Now().Add(-time.Hour)))
	must(t, r.Ledger.Close())
	first := w.run(t, Options{}).Manifest
	w.run(t, Options{})
	w.Job.Retention = config.Retention{Keep: 1}
	sum := w.run(t, Options{})
	if m := sum.Manifest; m.Kind != sinks.Delta || m.Base != first.Name || len(sum.Deleted) > 0 {
		t.Errorf("a %s on %q deleted %v, want a delta on %s and nothing deleted", m.Kind, m.Base, sum.Deleted, first.Name)
	}
}

// TestRetentionThatFailsIsAWarning: the run is published all the same, and
// nothing is deleted when it is not known what rests on what.
func TestRetentionThatFailsIsAWarning(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 5, "Patient", "Observation")
	w := newWorld(t, s)
	w.Job.Retention.Keep = 1
	first := w.run(t, Options{Full: true})
	if err := os.Mkdir(filepath.Join(w.Dir, "out", w.Job.Name, "snapshots", "20200101T000000Z-strange"), 0o700); err != nil {
		t.Fatal(err)
	}
	sum := w.run(t, Options{Full: true})
	if len(sum.Deleted) > 0 || !slices.Contains(w.snapshots(t), first.Manifest.Name) {
		t.Errorf("%v deleted", sum.Deleted)
	}
}

// TestRetentionAfterCrash dies while snapshots are deleted: the next start ends
// the publication and the deletion (I5).
func TestRetentionAfterCrash(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 5, "Patient", "Observation")
	w := newWorld(t, s)
	w.Job.Export.Since.Last = false
	first := w.run(t, Options{})
	second := w.run(t, Options{})
	w.Job.Retention.Keep = 1
	t.Setenv("FLUE_TEST_CRASH_STEP", "snapshot deleted")
	if said, killed := w.process(t, 0); !killed {
		t.Fatalf("the process was not killed while it deleted: %s", said)
	}
	t.Setenv("FLUE_TEST_CRASH_STEP", "")
	if left := w.snapshots(t); slices.Contains(left, first.Manifest.Name) || !slices.Contains(left, second.Manifest.Name) {
		t.Errorf("%v are left, want the oldest to go first", left)
	}
	sum := w.run(t, Options{})
	if left := w.snapshots(t); len(left) != 1 || left[0] != sum.Manifest.Name {
		t.Errorf("%v are left, want %s", left, sum.Manifest.Name)
	}
	w.publishedAll(t, s)
	w.clean(t)
}
