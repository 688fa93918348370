package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// shelved lands n small parts with the keys 0 to n-1 and returns their bodies.
func shelved(t *testing.T, r *Run, n int) (bodies [][]byte) {
	t.Helper()
	for i := range n {
		body := patients(uint64(i), 3+i)
		if i%3 == 1 {
			body = gz(t, body)
		}
		land(t, r, fmt.Sprint(i), unknown, source(body))
		bodies = append(bodies, body)
	}
	return bodies
}

// wantParts looks for the parts of bodies: one is there as it was, or not at
// all. It returns the numbers of those that are there.
func wantParts(t *testing.T, r *Run, bodies [][]byte) (found []int) {
	t.Helper()
	for i, body := range bodies {
		p, err := r.Part(fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		if p == nil {
			continue
		}
		found = append(found, i)
		if !bytes.Equal(readAll(t, p.openSent), body) || p.Key() != fmt.Sprint(i) {
			t.Errorf("part %d has other bytes than its body", i)
		}
		records(t, p)
		if _, err := p.trees(); err != nil {
			t.Errorf("part %d: %v", i, err)
		}
	}
	return found
}

// TestSmallPartsShareAFile: many small bodies land at once in one file, another
// process finds all of them, and a large one lies apart.
func TestSmallPartsShareAFile(t *testing.T) {
	r := newRun(t)
	const n = 200
	bodies := make([][]byte, n)
	var wg sync.WaitGroup
	for w := range 10 {
		wg.Go(func() {
			for i := w; i < n; i += 10 {
				bodies[i] = patients(uint64(i), 3)
				land(t, r, fmt.Sprint(i), unknown, source(bodies[i]))
			}
		})
	}
	wg.Wait()
	if got := files(t, r); len(got) != 1 {
		t.Errorf("files %v, want one", got)
	}
	large := patients(1, 5000)
	land(t, r, "large", unknown, source(large))
	if got := files(t, r); len(got) != 2 {
		t.Errorf("files %v, want two with the large part", got)
	}
	for what, r := range map[string]*Run{"this process": r, "another": reopen(t, r)} {
		if got := wantParts(t, r, bodies); len(got) != n {
			t.Errorf("%s finds %d parts of %d", what, len(got), n)
		}
		if _, err := r.Land("17", unknown); !errors.Is(err, errLanded) {
			t.Errorf("%s: Land of a part that is there: %v", what, err)
		}
	}
}

// TestI5TornShelf cuts a shelf at every byte, as a crash may: each part before
// the cut is found, none behind it, and the others land again.
func TestI5TornShelf(t *testing.T) {
	r := newRun(t)
	bodies := shelved(t, r, 4)
	var ends []int64
	for i := range bodies {
		e, ok, err := r.find(fileName(fmt.Sprint(i)))
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		ends = append(ends, e.at+e.size)
	}
	path := filepath.Join(r.dir.Path, files(t, r)[0])
	shelf, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(shelf) + 1 {
		for _, tail := range [][]byte{nil, make([]byte, 100)} { // cut short, or with a hole
			if err := os.WriteFile(path, append(bytes.Clone(shelf[:cut]), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			want := 0
			for want < len(ends) && ends[want] <= int64(cut) {
				want++
			}
			if got := wantParts(t, reopen(t, r), bodies); len(got) != want {
				t.Fatalf("cut at %d: parts %v, want the first %d", cut, got, want)
			}
		}
	}
	if err := os.WriteFile(path, shelf[:ends[1]+5], 0o600); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, r)
	land(t, again, "3", unknown, source(bodies[3]))
	land(t, again, "2", unknown, source(bodies[2]))
	if got := wantParts(t, reopen(t, again), bodies); len(got) != len(bodies) {
		t.Errorf("after landing again: parts %v, want all", got)
	}
}

// TestDamagedShelf changes every byte of a shelf: no part is ever read as
// another one or with other bytes, and those behind a damaged one are found.
func TestDamagedShelf(t *testing.T) {
	r := newRun(t)
	bodies := shelved(t, r, 3)
	path := filepath.Join(r.dir.Path, files(t, r)[0])
	shelf, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var survived int
	for at := range shelf {
		changed := bytes.Clone(shelf)
		changed[at] ^= 0x41
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		got := wantParts(t, reopen(t, r), bodies)
		if len(got) == len(bodies) && at < len(shelf)-markLen {
			t.Errorf("byte %d of %d changed and all parts are found", at, len(shelf))
		}
		if slices.Equal(got, []int{1, 2}) || slices.Equal(got, []int{0, 2}) {
			survived++
		}
	}
	if survived == 0 {
		t.Error("no part behind a damaged one was ever found")
	}
}

// TestShelfDropAndClear: a dropped part lands again, and the later one counts;
// Clear leaves none, and its process may go on landing.
func TestShelfDropAndClear(t *testing.T) {
	r := newRun(t)
	old, fresh := patients(1, 3), patients(2, 4)
	land(t, r, "0", unknown, source(old))
	if err := r.Drop("0"); err != nil {
		t.Fatal(err)
	}
	if got := wantParts(t, r, [][]byte{old}); got != nil {
		t.Error("a dropped part is there")
	}
	again := reopen(t, r)
	if err := again.Drop("0"); err != nil {
		t.Fatal(err)
	}
	land(t, again, "0", unknown, source(fresh))
	if got := wantParts(t, reopen(t, again), [][]byte{fresh}); len(got) != 1 {
		t.Error("the part that landed later is not there")
	}
	if err := again.Clear(); err != nil {
		t.Fatal(err)
	}
	if got := files(t, again); len(got) != 0 {
		t.Errorf("Clear left %v", got)
	}
	land(t, again, "0", unknown, source(old))
	for what, r := range map[string]*Run{"this process": again, "another": reopen(t, again)} {
		if got := wantParts(t, r, [][]byte{old}); len(got) != 1 {
			t.Errorf("%s: the part that landed after Clear is not there", what)
		}
	}
}

// TestShelfFaults: a part whose write or sync failed is not there, and after a
// sync that failed no other one is taken either: nothing tells what is durable.
func TestShelfFaults(t *testing.T) {
	for _, op := range []string{"create", "append", "sync"} {
		t.Run(op, func(t *testing.T) {
			r := newRun(t)
			fault := errors.New("fault")
			var at int
			r.dir.FS.Step = func(step, path string) error {
				if step == op && strings.HasSuffix(path, shelfSuffix) {
					if at++; at == 1 {
						return fault
					}
				}
				return nil
			}
			try := func(key string) error {
				l, err := r.Land(key, unknown)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				if err := l.Copy(t.Context(), source(patients(1, 3))); err != nil {
					t.Fatal(err)
				}
				_, err = l.Commit()
				return err
			}
			if err := try("0"); !errors.Is(err, fault) {
				t.Errorf("Commit = %v, want the fault", err)
			}
			if p, err := r.Part("0"); p != nil || err != nil {
				t.Errorf("the part is there (%v)", err)
			}
			if err := try("1"); errors.Is(err, fault) != (op == "sync") {
				t.Errorf("the next Commit = %v", err)
			}
		})
	}
}

// TestShelfManyLines: a small body of very many lines has an index that is not
// small, and so a file of its own.
func TestShelfManyLines(t *testing.T) {
	r := newRun(t)
	body := []byte(strings.Repeat("{}\n", shelfLimit/3))
	p := land(t, r, "k", unknown, source(body))
	if got := files(t, r); len(got) != 1 || !strings.HasSuffix(got[0], partSuffix) {
		t.Errorf("files %v, want one part", got)
	}
	again, err := reopen(t, r).Part("k")
	if err != nil || again == nil {
		t.Fatal(again, err)
	}
	wantSame(t, "reopened", again, p)
}

// FuzzShelf reads arbitrary bytes as a shelf, and lands a part beside it. The runs
// share a spool for its buffers, which are large.
func FuzzShelf(f *testing.F) {
	r := newRun(f)
	land(f, r, "k", unknown, source(patients(1, 1)))
	land(f, r, "l", unknown, source(gz(f, patients(2, 1))))
	data, err := os.ReadFile(filepath.Join(r.dir.Path, files(f, r)[0]))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	s := &Spool{Dir: tempDir(f), MinFree: 1}
	body := patients(1, 3)
	var runs atomic.Int64
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := s.Run(fmt.Sprint("r", runs.Add(1)))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Remove()
		if err := os.WriteFile(filepath.Join(r.dir.Path, shelfPrefix+"000001"+shelfSuffix), seal(data), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"k", "l"} {
			_, _, _ = useAll(r, key)
		}
		const beside = "beside what is there"
		land(t, r, beside, unknown, source(body))
		other, err := s.Look(filepath.Base(r.dir.Path)) // as another process sees it
		if err != nil {
			t.Fatal(err)
		}
		p, err := other.Part(beside)
		if p == nil || err != nil {
			t.Fatalf("a part that landed beside it: %v, %v", p, err)
		}
		if !bytes.Equal(readAll(t, p.Open), body) {
			t.Error("a part that landed beside it has other bytes than its body")
		}
	})
}

// TestI9NotesLieWithThePart: what was said of a body is there for another process,
// from a shelf and from a file of its own, and a later word takes an earlier one's
// place.
func TestI9NotesLieWithThePart(t *testing.T) {
	for name, r := range map[string]*Run{"shelf": newRun(t), "file": apartRun(t)} {
		l, err := r.Land("a", unknown)
		if err != nil {
			t.Fatal(err)
		}
		l.Note([]string{"of an attempt that broke"}, false)
		if err := l.Copy(t.Context(), source(patients(1, 3))); err != nil {
			t.Fatal(err)
		}
		l.Note([]string{"less than was counted"}, true)
		if _, err := l.Commit(); err != nil {
			t.Fatal(err)
		}
		p, err := reopen(t, r).Part("a")
		if err != nil || p == nil {
			t.Fatalf("%s: %v", name, err)
		}
		if i := p.Info(); len(i.Notes) != 1 || i.Notes[0] != "less than was counted" || !i.Short {
			t.Errorf("%s: notes %q, short %v", name, i.Notes, i.Short)
		}
	}
}
