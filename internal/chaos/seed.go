package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/sinks"
)

// result is what came of a seed.
type result struct {
	scenario   scenario
	tries      []*try
	strikes    []strike
	verdict    verdict
	violations []string
	sent       int   // kick-offs that reached the server
	accepted   int   // of those
	repeated   int   // while a status URL was known
	ambiguous  int64 // kick-offs that flue says nobody knows the fate of
	left       int   // exports that flue could not delete
	deltas     int   // second runs
	noDisk     bool
	looked     int64
	took       time.Duration
	dir        string
}

func (r *result) ok() bool { return len(r.violations) == 0 }

// runSeed plays one scenario until the job publishes.
func runSeed(ctx context.Context, o options, s scenario) (*result, error) {
	begun := time.Now()
	dir := filepath.Join(o.dir, fmt.Sprintf("seed-%d", s.Seed))
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	t, err := newSite(ctx, o, s, dir)
	if err != nil {
		return nil, fmt.Errorf("seed %d: %w", s.Seed, err)
	}
	defer func() { _ = t.close() }() // stopping at its end; what it has to tell is told
	w := watch(filepath.Join(t.out, jobName), func() { t.injector.killAt("visible") }, t.violate)
	r := &result{scenario: s, dir: dir}
	err = t.play(ctx, r, w)
	r.looked = w.close()
	if err != nil {
		return nil, fmt.Errorf("seed %d: %w", s.Seed, err)
	}
	r.strikes, r.violations, r.noDisk = t.injector.strikes(), t.violations, t.noDisk
	r.sent, r.accepted, r.repeated = t.kickoffs.sent, t.kickoffs.accepted, t.kickoffs.repeated
	if r.repeated > 0 {
		r.violations = append(r.violations, fmt.Sprintf("I4: %d kick-offs while a status URL was known", r.repeated))
	}
	r.took = time.Since(begun)
	return r, nil
}

// play runs the job until it publishes, and again after a change, and looks at
// what is there then.
func (s *site) play(ctx context.Context, r *result, w *watcher) error {
	want, err := truth(s.data, s.s.Types)
	if err != nil {
		return err
	}
	patients := ids(want["Patient"])
	done, err := s.untilPublished(ctx, r, w, s.s.Faults)
	if err != nil {
		return err
	}
	latest := filepath.Join(s.out, jobName, "latest")
	if done {
		if err := s.examine(r, latest, want); err != nil {
			s.violate("the outcome cannot be examined: " + err.Error())
			done = false
		}
	}
	if done && s.s.Change != nil {
		if err := s.playChange(ctx, r, w, latest, want); err != nil {
			return err
		}
	}
	var logs strings.Builder
	for _, t := range r.tries {
		logs.Write(t.log)
	}
	for _, p := range s.secrets.leaks(logs.String(), patients, filepath.Join(s.state, "ledger"), s.state, s.spool, s.out, s.temp) {
		s.violate(p)
	}
	return s.withLedger(func(l *ledger.Ledger, ctx context.Context) error {
		runs, err := l.Runs(ctx, jobName, 0)
		for _, run := range runs {
			r.ambiguous += run.Ambiguous
			if run.StatusURL != "" {
				r.left++
			}
		}
		return err
	})
}

// playChange is the second run.
func (s *site) playChange(ctx context.Context, r *result, w *watcher, latest string, all map[string]multiset) error {
	first, err := readManifest(latest)
	if err != nil {
		return err
	}
	delta, err := s.alter(all, *s.s.Change)
	if err != nil {
		return fmt.Errorf("change resources: %w", err)
	}
	s.injector.arm(s.s.Change.Faults)
	if done, err := s.untilPublished(ctx, r, w, s.s.Change.Faults); err != nil || !done {
		return err
	}
	m, err := readManifest(latest)
	if err != nil {
		return err
	}
	kind, want := kindOfNext(first, s.s.Types), delta
	if kind == sinks.Full {
		want = all
	} else if m.Base != first.Name || m.Previous != first.Name {
		s.violate("the second snapshot does not rest on the first")
	}
	if m.Kind != kind || m.Name == first.Name {
		s.violate(fmt.Sprintf("the second snapshot is %s, want %s", m.Kind, kind))
		return nil
	}
	r.deltas++
	if err := s.examine(r, latest, want); err != nil {
		s.violate("the second outcome cannot be examined: " + err.Error())
	}
	if kind == sinks.Delta && s.s.Mode == bulk {
		problems, err := judgeDeletions(latest, s.gone)
		if err != nil {
			return err
		}
		for _, p := range problems {
			s.violate(p)
		}
	}
	return nil
}

// triesAtMost bounds the processes until a job has published.
const triesAtMost = 14

// untilPublished runs the job again and again, as its schedule would, and
// reports whether it published.
func (s *site) untilPublished(ctx context.Context, r *result, w *watcher, faults []fault) (bool, error) {
	allowed := []int{0, 1}
	for _, f := range faults {
		allowed = append(allowed, kindOf(f.Kind).codes...)
	}
	before := w.visible()
	for range triesAtMost {
		t, err := s.runOnce(ctx)
		if err != nil && (t == nil || !t.Hung) {
			return false, err
		}
		r.tries = append(r.tries, t)
		if err := s.disk.clear(); err != nil {
			return false, err
		}
		w.look()
		switch {
		case t.Hung:
			s.violate(fmt.Sprintf("try %d hung: killed after %v", len(r.tries), s.limit))
			return false, nil
		case t.Killed && w.visible() > before:
			done, err := s.ended()
			if err != nil || done {
				return done, err // the kill came when all was done: another run would publish a delta
			}
			continue
		case t.Killed:
			continue
		case !slices.Contains(allowed, t.Code):
			s.violate(fmt.Sprintf("try %d ended with exit code %d, which nothing explains", len(r.tries), t.Code))
		}
		if t.Code == 0 {
			return true, nil
		}
		if w.visible() > before {
			s.violate(fmt.Sprintf("try %d failed and a snapshot is visible", len(r.tries)))
		}
		if t.Code != 1 {
			s.injector.lift() // what policy refuses does not come again
		}
	}
	s.violate(fmt.Sprintf("nothing is published after %d tries", triesAtMost))
	return false, nil
}

// ended reports whether the ledger holds the newest run for published.
func (s *site) ended() (published bool, err error) {
	err = s.withLedger(func(l *ledger.Ledger, ctx context.Context) error {
		runs, err := l.Runs(ctx, jobName, 1)
		published = len(runs) > 0 && runs[0].State == "published"
		return err
	})
	return published, err
}

// examine looks at what a run published and left behind.
func (s *site) examine(r *result, latest string, want map[string]multiset) error {
	bad := 0
	for _, k := range s.injector.strikes() {
		if k.kind == "corrupt line" {
			bad++
		}
	}
	v, problems, err := judge(latest, want, min(bad, s.s.MaxBadLines))
	if err != nil {
		return err
	}
	r.verdict.add(v)
	for _, p := range append(problems, s.leftovers()...) {
		s.violate(p)
	}
	return nil
}

// leftovers are files that a job must not leave beside what it published.
func (s *site) leftovers() (found []string) {
	look := func(root, what string, wrong func(path string, d fs.DirEntry) bool) {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && path != root && wrong(path, d) {
				found = append(found, "left behind: "+what)
				return fs.SkipAll
			}
			return nil
		})
	}
	hidden := func(path string, _ fs.DirEntry) bool { return strings.HasPrefix(filepath.Base(path), ".") }
	everything := func(string, fs.DirEntry) bool { return true }
	look(filepath.Join(s.out, jobName), "a staging or temporary file", func(path string, d fs.DirEntry) bool {
		return hidden(path, d) && filepath.Base(path) != ".lock" // it stays, for the next run to lock
	})
	look(s.spool, "a part in the spool", everything)
	look(s.temp, "a file in the folder of temporary files", everything)
	look(s.state, "a temporary file in the state folder", func(path string, d fs.DirEntry) bool {
		return hidden(path, d) || strings.Contains(filepath.Base(path), "tmp")
	})
	return found
}

// tell prints what the seed drew and what came of it.
func (r *result) tell(print func(format string, args ...any)) {
	text, err := json.Marshal(r.scenario)
	if err != nil {
		print("%v", err)
		return
	}
	print("seed %d drew %s", r.scenario.Seed, text)
	for i, t := range r.tries {
		var struck []string
		for _, k := range r.strikes {
			if k.try == i+1 {
				struck = append(struck, k.kind)
			}
		}
		end := fmt.Sprintf("exit %d", t.Code)
		if t.Killed {
			end = "killed"
		}
		print("  try %d: %s after %v; struck by: %s; %s", i+1, end, t.Took.Round(time.Millisecond), strings.Join(struck, ", "), t.Summary)
	}
	print("  %d resources, %d lost, %d foreign, %d quarantined; kick-offs: %d sent, %d accepted, %d ambiguous",
		r.verdict.Resources, r.verdict.Lost, r.verdict.Foreign, r.verdict.Quarantined, r.sent, r.accepted, r.ambiguous)
	for _, v := range r.violations {
		print("  VIOLATION: %s", v)
	}
}
