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
	left       int   // exports that stay at the server
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
	err = t.untilPublished(ctx, r, w)
	r.looked = w.close()
	if err != nil {
		return nil, fmt.Errorf("seed %d: %w", s.Seed, err)
	}
	if err := t.examine(r); err != nil {
		t.violate("the outcome cannot be examined: " + err.Error())
	}
	r.strikes, r.violations, r.noDisk = t.injector.strikes(), t.violations, t.noDisk
	r.sent, r.accepted, r.repeated = t.kickoffs.sent, t.kickoffs.accepted, t.kickoffs.repeated
	if r.repeated > 0 {
		r.violations = append(r.violations, fmt.Sprintf("I4: %d kick-offs while a status URL was known", r.repeated))
	}
	r.took = time.Since(begun)
	return r, nil
}

// untilPublished runs the job again and again, as its schedule would.
func (s *site) untilPublished(ctx context.Context, r *result, w *watcher) error {
	allowed := []int{0, 1}
	for _, f := range s.s.Faults {
		allowed = append(allowed, kindOf(f.Kind).codes...)
	}
	for len(r.tries) < 14 {
		t, err := s.runOnce(ctx)
		if err != nil && !t.Hung {
			return err
		}
		r.tries = append(r.tries, t)
		if err := s.disk.clear(); err != nil {
			return err
		}
		w.look()
		switch {
		case t.Hung:
			s.violate(fmt.Sprintf("try %d hung: killed after %v", len(r.tries), s.limit))
			return nil
		case t.Killed:
			continue
		case !slices.Contains(allowed, t.Code):
			s.violate(fmt.Sprintf("try %d ended with exit code %d, which nothing explains", len(r.tries), t.Code))
		}
		if t.Code == 0 {
			return nil
		}
		if w.visible() > 0 {
			s.violate(fmt.Sprintf("try %d failed and a snapshot is visible", len(r.tries)))
		}
		if t.Code != 1 {
			s.injector.lift() // what policy refuses does not come again
		}
	}
	s.violate(fmt.Sprintf("nothing is published after %d tries", len(r.tries)))
	return nil
}

// examine looks at what the last try left.
func (s *site) examine(r *result) error {
	want, err := truth(s.data, s.s.Types)
	if err != nil {
		return err
	}
	if last := r.tries[len(r.tries)-1]; last.Code == 0 {
		bad := 0
		for _, k := range s.injector.strikes() {
			if k.kind == "corrupt line" {
				bad++
			}
		}
		var problems []string
		r.verdict, problems, err = judge(filepath.Join(s.out, jobName, "latest"), want, min(bad, s.s.MaxBadLines))
		if err != nil {
			return err
		}
		for _, p := range append(problems, s.leftovers()...) {
			s.violate(p)
		}
	}
	var logs strings.Builder
	for _, t := range r.tries {
		logs.Write(t.log)
	}
	for _, p := range s.secrets.leaks(logs.String(), ids(want["Patient"]), filepath.Join(s.state, "ledger"), s.state, s.spool, s.out, s.temp) {
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
	look(filepath.Join(s.out, jobName), "a staging or temporary file", hidden)
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
