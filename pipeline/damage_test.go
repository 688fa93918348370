package pipeline

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// damage flips a byte in the first part of each file of the spool, where its lines
// are, and returns how many files that were.
func (w *world) damage(t *testing.T) (files int) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(w.Dir, "spool", "*", "*"))
	must(t, err)
	for _, path := range found {
		data, err := os.ReadFile(path)
		must(t, err)
		if len(data) < 100 || strings.Contains(filepath.Base(path), "log") {
			continue
		}
		data[60] ^= 0xff
		must(t, os.WriteFile(path, data, 0o600))
		files++
	}
	return files
}

// I5: a landed part that the disk damaged while nobody ran is fetched again by the
// next process, wherever the one before it died, and published once. Small parts are
// checked when their shelf is opened, others when their lines are read.
func TestI5DamagedPart(t *testing.T) {
	for _, step := range []string{"landed", "selected", "converted", "conversion recorded", "state converting", "extras recorded"} {
		for name, size := range map[string]int{"small": 1, "large": 30 << 10} {
			t.Run(step+"/"+name, func(t *testing.T) {
				s := newExportServer(t)
				s.population(2, 50, "Patient", "Observation")
				for i := range s.output {
					for n := range 10 {
						s.output[i].lines = append(s.output[i].lines, fmt.Sprintf(`{"resourceType":%q,"id":"text-%d-%d","text":{"div":%q}}`, s.output[i].typ, i, n, strings.Repeat("x", size)))
					}
				}
				w := newWorld(t, s)
				t.Setenv("FLUE_TEST_CRASH_STEP", step)
				if said, killed := w.process(t, 0); !killed {
					t.Fatalf("the process was not killed: %s", said)
				}
				t.Setenv("FLUE_TEST_CRASH_STEP", "")
				if w.damage(t) == 0 {
					t.Fatal("nothing had landed")
				}
				if said, _ := w.process(t, 0); !strings.HasPrefix(said, "published") {
					t.Errorf("the next process said %s", said)
				}
				w.publishedAll(t, s)
				w.clean(t)
				if s.kickoffs != 1 {
					t.Errorf("%d kick-offs, want 1", s.kickoffs)
				}
			})
		}
	}
}

// I5: a search fetches a damaged part anew too, and everything when the list of
// patients was damaged.
func TestI5DamagedSearch(t *testing.T) {
	t.Parallel() // it is long, beside those that wait
	for _, step := range []string{"state landing", "landed", "extras recorded"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			s := newSearchServer(t, 12_000, 1)
			w := s.world(t)
			w.Job.Export.Count = 6000
			old := w.interrupted(t, Options{}, step)
			if w.damage(t) == 0 {
				t.Fatal("nothing had landed")
			}
			w.interrupted(t, Options{}, "extras recorded") // what was warned of is kept (I9)
			sum := w.run(t, Options{})
			if sum.Run != old || !warned(sum.Manifest, "part-damaged") {
				t.Errorf("run %s instead of %s, warnings %v", sum.Run, old, sum.Manifest.Warnings)
			}
			if d := cmp.Diff(s.want(), w.lines(t, "ndjson")); d != "" {
				t.Errorf("published lines (-want +got):\n%s", d)
			}
			w.clean(t)
		})
	}
}

// I1, I5: a staged file that was changed is not published: it is made anew by the
// next process.
func TestI1DamagedStaging(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"shorter": func(path string) error { return os.Truncate(path, 3) },
		"removed": os.Remove,
		"a link":  func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/dev/null", path)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newExportServer(t)
			s.population(1, 20, "Patient", "Observation")
			w := newWorld(t, s)
			t.Setenv("FLUE_TEST_CRASH_STEP", "extras recorded")
			if said, killed := w.process(t, 0); !killed {
				t.Fatalf("the process was not killed: %s", said)
			}
			t.Setenv("FLUE_TEST_CRASH_STEP", "")
			files, err := filepath.Glob(filepath.Join(w.Dir, "out/nightly/.staging-*/ndjson/Patient/*"))
			if err != nil || len(files) != 1 {
				t.Fatalf("staged: %v, %v", files, err)
			}
			must(t, change(files[0]))
			if err := w.fails(t, Options{}); classOf(err) != "" || hintOf(err) == "" {
				t.Errorf("run = %v, want a failure that may pass, and what to do", err)
			}
			w.run(t, Options{})
			w.publishedAll(t, s)
			w.clean(t)
			if s.kickoffs != 1 {
				t.Errorf("%d kick-offs, want 1", s.kickoffs)
			}
		})
	}
}

// I5: the export of the newcomers is deleted before that of the data is asked for:
// what was damaged of it brings all exports of the run again.
func TestI5DamagedNewcomers(t *testing.T) {
	for name, many := range map[string]int{"small": 0, "large": 4000} {
		t.Run(name, func(t *testing.T) {
			s := newGroupServer(t, "a", "b")
			for i := range many {
				s.data = append(s.data, held{"c", "Observation", fmt.Sprintf("many-%d", i), groupDay.AddDate(0, -1, 0)})
			}
			w := newGroupWorld(t, s)
			w.run(t, Options{})
			s.later()
			w.interrupted(t, Options{}, "state converting")
			if w.damage(t) == 0 {
				t.Fatal("nothing had landed")
			}
			w.run(t, Options{})
			wantEqual(t, "lines", s.changed(), w.lines(t, "ndjson"))
			wantEqual(t, "kick-offs", []string{"members", "newcomers", "changes", "members", "newcomers", "changes"}, s.purposes())
			w.clean(t)
		})
	}
}
