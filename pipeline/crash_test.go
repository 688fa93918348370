package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/flue-fhir/flue/sinks"
)

// TestMain is also the process that the crash tests kill: it runs a world's job
// and dies by SIGKILL at the step that it is told.
func TestMain(m *testing.M) {
	text := os.Getenv("FLUE_TEST_WORLD")
	if text == "" {
		os.Exit(m.Run())
	}
	var w world
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		panic(err)
	}
	at, err := strconv.ParseInt(os.Getenv("FLUE_TEST_CRASH_AT"), 10, 64)
	if err != nil {
		panic(err)
	}
	r, err := w.runner()
	if err != nil {
		panic(err)
	}
	// FLUE_TEST_CRASH_STEP is the name of a step, and behind a # which of its times.
	step, times, _ := strings.Cut(os.Getenv("FLUE_TEST_CRASH_STEP"), "#")
	nth, err := strconv.ParseInt(cmp.Or(times, "1"), 10, 64)
	if err != nil {
		panic(err)
	}
	var steps, named atomic.Int64
	r.probe = func(name string) {
		if steps.Add(1) == at || name == step && named.Add(1) == nth {
			fmt.Println("died at", name)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	if _, err := r.Run(context.Background(), w.Options); err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	if err := r.Ledger.Close(); err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	fmt.Println("published after", steps.Load(), "steps")
	os.Exit(0)
}

// process runs the world's job in a process of its own that is killed at a
// step; 0 lets it live. It returns what it said last.
func (w *world) process(t interface{ Fatalf(string, ...any) }, at int) (said string, killed bool) {
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatalf("encode world: %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatalf("find test binary: %v", err)
	}
	cmd := exec.Command(self)
	// The race detector sleeps for a second before a process ends, unless it is told
	// not to: nothing runs any more then.
	race := strings.TrimSpace(os.Getenv("GORACE") + " atexit_sleep_ms=0")
	cmd.Env = append(os.Environ(), "FLUE_TEST_WORLD="+string(text), "FLUE_TEST_CRASH_AT="+strconv.Itoa(at), "GORACE="+race)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	w.sync()
	err = cmd.Run()
	w.sync()
	said = strings.TrimSpace(out.String())
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return said, true
	}
	if err != nil {
		t.Fatalf("process: %v: %s", err, said)
	}
	return said, false
}

// whole wants that what is visible is nothing or the whole (I1).
func (w *world) whole(t *testing.T, s *exportServer, when string) {
	t.Helper()
	if m := w.latest(t); m != nil {
		if got, want := len(w.lines(t, "ndjson")), len(s.want()); got != want {
			t.Errorf("%s: %d lines are visible, want none or %d", when, got, want)
		}
	}
}

// I1, I4, I5: a process that is killed at any step, and run again, publishes
// every resource once, by one kick-off, and leaves nothing behind.
func TestI5KilledAtEveryStep(t *testing.T) {
	steps := 0
	{
		s := newExportServer(t)
		s.population(2, 3, "Patient", "Observation")
		s.polls = 1
		w := newWorld(t, s)
		said, _ := w.process(t, 0)
		if _, err := fmt.Sscanf(said, "published after %d steps", &steps); err != nil || steps < 20 {
			t.Fatalf("the undisturbed process said %q", said)
		}
	}
	stride := 1
	if testing.Short() {
		stride = 5
	}
	seen := map[string]bool{}
	kill := func(at int, name string) {
		s := newExportServer(t)
		s.population(2, 3, "Patient", "Observation")
		s.polls = 1
		w := newWorld(t, s)
		t.Setenv("FLUE_TEST_CRASH_STEP", name)
		said, killed := w.process(t, at)
		t.Setenv("FLUE_TEST_CRASH_STEP", "")
		if !killed {
			return // the order of steps differs a little from run to run
		}
		step := strings.TrimPrefix(said, "died at ")
		seen[step] = true
		w.whole(t, s, said)
		w.process(t, 0)
		w.publishedAll(t, s)
		w.clean(t)
		want := 1
		if step == "state published" {
			want = 2 // all was done: what follows is another run
		}
		if step == "kick-off intended" || step == "kick-off answered" {
			// Nobody can know whether the request went out (F16): the policy repeats.
			want = s.kickoffs
			if m := w.latest(t); m.Stats.Kickoffs != 2 {
				t.Errorf("%s: %d kick-offs are counted, want 2", said, m.Stats.Kickoffs)
			}
		}
		if s.kickoffs != want {
			t.Errorf("%s: %d kick-offs, want %d (I4)", said, s.kickoffs, want)
		}
		if t.Failed() {
			t.Fatalf("at step %d %s", at, name)
		}
	}
	for at := 1; at <= steps; at += stride {
		kill(at, "")
	}
	for _, step := range []string{
		"state planned", "state authorized", "kick-off intended", "kick-off answered", "state kicked_off", "state exporting",
		"polled", "state landing", "copied", "landed", "selected", "converted", "conversion recorded", "state converting",
		"extras recorded", "state publishing", "visible", "state published", "delete", "cleaned up",
	} {
		if testing.Short() {
			break
		}
		if !seen[step] {
			kill(0, step) // by its name: by number it may be missed
		}
		if !seen[step] {
			t.Errorf("no process died at %q", step)
		}
	}
}

// Any sequence of kills, with a server that misbehaves: each resource is
// published once, and an export is kicked off once unless its answer was lost.
func TestI5AnySequenceOfKills(t *testing.T) {
	checks := 12
	if testing.Short() {
		checks = 3
	}
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		if n++; n > checks {
			return
		}
		s := newExportServer(t)
		s.population(rapid.IntRange(1, 3).Draw(rt, "files"), rapid.IntRange(0, 4).Draw(rt, "lines")+1, "Patient", "Observation")
		s.polls = rapid.IntRange(0, 2).Draw(rt, "polls")
		s.fresh = rapid.Bool().Draw(rt, "fresh links")
		s.rename = rapid.Bool().Draw(rt, "new paths")
		if rapid.Bool().Draw(rt, "cut") {
			s.cut["Patient.0.ndjson"] = 1
		}
		if rapid.Bool().Draw(rt, "expire") {
			s.expire[0] = 1
		}
		w := newWorld(t, s)
		if rapid.Bool().Draw(rt, "partial manifests") {
			w.Job.Export.AllowPartialManifests = true
			s.partial = []int{rapid.IntRange(0, 2).Draw(rt, "early"), rapid.IntRange(0, len(s.output)).Draw(rt, "more")}
			s.reorder = rapid.Bool().Draw(rt, "reorder")
		}
		doubtful := 0
		for i := range rapid.IntRange(1, 4).Draw(rt, "kills") {
			said, killed := w.process(rt, rapid.IntRange(1, 40).Draw(rt, fmt.Sprint("step", i)))
			if !killed {
				break
			}
			if strings.Contains(said, "kick-off intended") || strings.Contains(said, "kick-off answered") {
				doubtful++
			}
			w.whole(t, s, said)
			if strings.Contains(said, "state published") {
				break // all was done: what follows is another run
			}
		}
		if m := w.latest(t); m == nil {
			w.process(rt, 0)
		} else if m.Kind == sinks.Delta {
			rt.Fatalf("a killed run became a delta")
		}
		w.process(rt, 0) // finishes what a kill after publication left, or runs anew
		if s.kickoffs > 2+doubtful {
			rt.Fatalf("%d kick-offs, of which %d doubtful", s.kickoffs, doubtful)
		}
		w.publishedAll(t, s)
		w.clean(t)
		if t.Failed() {
			rt.Fatalf("see above")
		}
	})
}

// I1, I5: a process that died between the rename of its snapshot and that of
// latest left the latter's temporary name behind: it goes although the next one
// finds the snapshot published.
func TestI5KilledBeforeLatest(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient")
	w := newWorld(t, s)
	t.Setenv("FLUE_TEST_CRASH_STEP", "visible")
	if said, killed := w.process(t, 0); !killed {
		t.Fatalf("the process was not killed: %s", said)
	}
	t.Setenv("FLUE_TEST_CRASH_STEP", "")
	if err := os.Symlink("snapshots/x", filepath.Join(w.Dir, "out", w.Job.Name, ".tmp-latest")); err != nil {
		t.Fatal(err)
	}
	if said, killed := w.process(t, 0); killed || !strings.HasPrefix(said, "published") {
		t.Fatalf("the next process said %s", said)
	}
	w.publishedAll(t, s)
	w.clean(t)
}
