package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flue-fhir/flue/sinks"
)

// TestI5KillInEachPhase kills the process with SIGKILL in each phase and runs
// it again: one kick-off, the whole snapshot, nothing left over, and nothing
// visible before.
func TestI5KillInEachPhase(t *testing.T) {
	for name, when := range map[string]func(event) bool{
		"Polling":    func(e event) bool { return e.Kind == "poll" },
		"Landing":    func(e event) bool { return e.State == "landing" && e.FilesDone > 0 },
		"Converting": func(e event) bool { return e.State == "converting" },
		"Publishing": func(e event) bool { return e.State == "publishing" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "bulk", "--export-duration", "700ms", "--latency", "5ms")
			killed := false
			code, log := s.run(func(e event, p *os.Process) {
				if !killed && when(e) {
					killed = true
					_ = p.Kill()
				}
			})
			if !killed || code == 0 {
				t.Fatalf("the run was not killed in time: exit %d\n%s", code, log)
			}
			if v := s.visible(); len(v) > 0 {
				t.Errorf("I1: visible before publication: %v", v)
			}
			if code, log = s.run(nil); code != 0 {
				t.Fatalf("the second run: exit %d\n%s", code, log)
			}
			if n := s.kickoffs(); n != 1 {
				t.Errorf("I4: %d kick-offs, want 1", n)
			}
			s.complete()
		})
	}
}

// TestF7RevokedInEachPhase revokes every token of the server while the run is
// in each phase.
func TestF7RevokedInEachPhase(t *testing.T) {
	for _, mode := range []string{"bulk", "search"} {
		t.Run(mode, func(t *testing.T) {
			s := newSite(t, mode, "--export-duration", "700ms", "--latency", "20ms")
			seen := map[string]bool{}
			var last time.Time
			code, log := s.run(func(e event, p *os.Process) {
				phase := fmt.Sprint(e.State, " ", e.FilesDone > 0)
				if !seen[phase] {
					seen[phase] = true
					// A token that is revoked before it is used for the first time is one that
					// the server does not take (F11), and ends the run.
					time.Sleep(time.Until(last.Add(100 * time.Millisecond)))
					s.admin("revoke")
					last = time.Now()
				}
			})
			if code != 0 {
				t.Fatalf("exit %d\n%s", code, log)
			}
			if !seen["landing true"] || !seen["converting true"] || !seen["publishing true"] {
				t.Errorf("not every phase was seen: %v", seen)
			}
			if n := s.kickoffs(); mode == "bulk" && n != 1 {
				t.Errorf("%d kick-offs, want 1", n)
			}
			if m := s.complete(); m.Stats.Tokens < 3 {
				t.Errorf("%d tokens were used, want several", m.Stats.Tokens)
			}
		})
	}
}

// complete checks that the published snapshot is the server's data, each line
// once, and that nothing is left beside it.
func (s *site) complete() *sinks.Manifest {
	s.t.Helper()
	m := s.published()
	if m == nil {
		s.t.Fatal("nothing is published")
	}
	truth := s.truth()
	for _, c := range m.Types {
		want := truth[c.Type]
		got := map[string]int{}
		files, _ := filepath.Glob(filepath.Join(s.dir, "out", "nightly", "latest", "ndjson", c.Type, "*"))
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				s.t.Fatal(err)
			}
			for line := range strings.Lines(string(data)) {
				got[strings.TrimSuffix(line, "\n")]++
			}
		}
		lost, extra := 0, 0
		for line := range want {
			if got[line] == 0 {
				lost++
			}
		}
		for line, n := range got {
			if !want[line] || n > 1 {
				extra++
			}
		}
		if lost > 0 || extra > 0 || c.Published != int64(len(want)) || len(want) == 0 {
			s.t.Errorf("%s: %d lost, %d foreign or repeated, %d published of %d", c.Type, lost, extra, c.Published, len(want))
		}
	}
	var left []string
	for _, root := range []string{"out/nightly", "state/spool"} {
		_ = filepath.WalkDir(filepath.Join(s.dir, root), func(path string, d os.DirEntry, err error) error {
			name := filepath.Base(path)
			lock := name == ".lock" // stays: a lock that is removed may be held
			if err == nil && !lock && (strings.HasPrefix(name, ".") || strings.Contains(path, "spool"+string(filepath.Separator))) {
				left = append(left, path)
			}
			return nil
		})
	}
	if len(left) > 0 {
		s.t.Errorf("left over: %v", left)
	}
	return m
}

// truth is the set of lines of each type that the sandbox serves.
func (s *site) truth() map[string]map[string]bool {
	s.t.Helper()
	files, _ := filepath.Glob(filepath.Join(s.cache, "population-*-150-1", "*.ndjson"))
	all := map[string]map[string]bool{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			s.t.Fatal(err)
		}
		set := map[string]bool{}
		for line := range strings.Lines(string(data)) {
			set[strings.TrimSuffix(line, "\n")] = true
		}
		all[strings.TrimSuffix(filepath.Base(f), ".ndjson")] = set
	}
	return all
}
