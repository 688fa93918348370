package pipeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/sinks"
)

// F22: an export that the server loses makes the run begin with the members again.
func TestF22NewcomersStartOver(t *testing.T) {
	s := newGroupServer(t, "a", "b")
	w := newGroupWorld(t, s)
	w.run(t, Options{})
	s.later()
	s.lose = 1
	m := w.run(t, Options{}).Manifest
	wantEqual(t, "kick-offs", []string{"members", "newcomers", "changes", "members", "newcomers", "changes"}, s.purposes())
	wantEqual(t, "exports", []string{"members", "newcomers", "changes"}, exportsOf(m))
	wantEqual(t, "lines", s.changed(), w.lines(t, "ndjson"))
	w.clean(t)
}

// I1, I4, I5: the same as TestI5KilledAtEveryStep for a delta of three exports: each
// is kicked off once, and what was published is what an undisturbed run publishes.
func TestI4I5NewcomersKilledAtEveryStep(t *testing.T) {
	begin := func() (*groupServer, *world) {
		s := newGroupServer(t, "a", "b")
		w := newGroupWorld(t, s)
		w.run(t, Options{})
		s.later()
		return s, w
	}
	_, w := begin()
	steps := 0
	said, _ := w.process(t, 0)
	if _, err := fmt.Sscanf(said, "published after %d steps", &steps); err != nil || steps < 40 {
		t.Fatalf("the undisturbed process said %q", said)
	}
	stride := 1
	if testing.Short() {
		stride = 5
	}
	for at := 1; at <= steps; at += stride {
		s, w := begin()
		first := w.latest(t).Run
		said, killed := w.process(t, at)
		if !killed {
			continue // the order of steps differs a little from run to run
		}
		step := strings.TrimPrefix(said, "died at ")
		if m := w.latest(t); m.Run != first {
			wantEqual(t, said, s.changed(), w.lines(t, "ndjson"))
		}
		if step == "state published" {
			continue // all was done: what follows is another run
		}
		w.process(t, 0)
		want := []string{"members", "newcomers", "changes"}
		if got := s.purposes(); step == "kick-off intended" || step == "kick-off answered" {
			want = slices.Compact(got) // nobody can know whether the request went out (F16)
			if m := w.latest(t); m.Stats.Kickoffs != 4 {
				t.Errorf("at %d %s: %d kick-offs are counted, want 4", at, said, m.Stats.Kickoffs)
			}
		} else {
			wantEqual(t, said, want, got)
		}
		wantEqual(t, said, []string{"members", "newcomers", "changes"}, want)
		wantEqual(t, said, s.changed(), w.lines(t, "ndjson"))
		m := w.latest(t)
		wantEqual(t, said, want, exportsOf(m))
		wantEqual(t, said, &sinks.Members{Path: "members.ndjson", Count: 2, Joined: 1, Left: 1}, m.Members)
		w.clean(t)
		if t.Failed() {
			t.Fatalf("at step %d: %s", at, said)
		}
	}
}

// F24: what is left at the server is the data's export, not those before it.
func TestF24NewcomersAndDetach(t *testing.T) {
	s := newGroupServer(t, "a", "b")
	w := newGroupWorld(t, s)
	w.run(t, Options{})
	s.later()
	w.detached(t, Options{})
	wantEqual(t, "kick-offs", []string{"members", "newcomers", "changes"}, s.purposes())
	if len(s.exports) != 1 {
		t.Errorf("%d exports are at the server, want 1", len(s.exports))
	}
	w.run(t, Options{})
	wantEqual(t, "kick-offs", []string{"members", "newcomers", "changes"}, s.purposes())
	wantEqual(t, "lines", s.changed(), w.lines(t, "ndjson"))
	w.clean(t)
}

// A run that is cancelled in the midst of its exports leaves none of them behind.
func TestP27NewcomersAreCancelled(t *testing.T) {
	s := newGroupServer(t, "a", "b")
	w := newGroupWorld(t, s)
	w.run(t, Options{})
	s.later()
	run := w.interrupted(t, Options{}, "leg landed")
	r := w.open(t)
	must(t, r.Cancel(t.Context(), run))
	must(t, r.Ledger.Close())
	if len(s.exports) != 0 {
		t.Errorf("%d exports are at the server", len(s.exports))
	}
	w.clean(t)
}

// I5: a list of members that the local disk lost makes the run begin anew, whatever
// of it had landed.
func TestI5NewcomersDamagedList(t *testing.T) {
	for _, damage := range []string{"removed", "overwritten"} {
		for landed := 1; landed <= 2; landed++ { // after the members, after the newcomers
			s := newGroupServer(t, "a", "b")
			w := newGroupWorld(t, s)
			w.run(t, Options{})
			s.later()
			w.interruptedAfter(t, landed)
			parts, err := filepath.Glob(filepath.Join(w.Dir, "spool", "*", "*"))
			if err != nil || len(parts) == 0 {
				t.Fatalf("no parts: %v", err)
			}
			for _, path := range parts {
				if filepath.Base(path) == logName {
					continue
				}
				if damage == "removed" {
					must(t, os.Remove(path))
				} else {
					must(t, overwrite(path))
				}
			}
			sum := w.run(t, Options{})
			wantEqual(t, damage, []string{"members", "newcomers", "changes"}, exportsOf(sum.Manifest))
			wantEqual(t, damage, s.changed(), w.lines(t, "ndjson"))
			if asked := len(s.purposes()); asked < 4 {
				t.Errorf("%s: %d kick-offs: was nothing damaged?", damage, asked)
			}
			w.clean(t)
		}
	}
}

// interruptedAfter runs the job and stops it when so many of its exports are over.
func (w *world) interruptedAfter(t *testing.T, exports int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := w.open(t)
	landed := 0
	r.probe = func(step string) {
		if step == "leg landed" {
			landed++
		}
		if step == "state authorized" && landed == exports {
			cancel()
		}
	}
	if _, err := r.Run(ctx, Options{}); err == nil {
		t.Fatal("the run was not interrupted")
	}
	w.sync()
	must(t, r.Ledger.Close())
}

// overwrite damages the content of a file and leaves its ends.
func overwrite(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for i := 17; i < len(data)-64; i++ {
		data[i] ^= 0x55
	}
	return os.WriteFile(path, data, 0o600)
}
