package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func open(t testing.TB, dir string) *Ledger {
	t.Helper()
	l, err := Open(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func begin(t testing.TB, l *Ledger, job string) Run {
	t.Helper()
	r, err := l.Begin(context.Background(), Run{ID: NewID(time.Now()), Job: job, Fingerprint: "f", Kind: "full", Plan: "{}", Trigger: "manual", Stats: "{}"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRunRoundTrip(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	l := open(t, dir)
	r := begin(t, l, "nightly")
	now := time.Date(2025, 5, 1, 2, 3, 4, 567000, time.UTC)
	want, err := l.Update(ctx, r.ID, func(r *Run) {
		r.State = KickedOff
		r.StatusURL = "https://fhir.example.org/status/1"
		r.KickoffIntent, r.KickoffDate, r.TransactionTime, r.Due, r.Ended = now, now, now, now, now
		r.Kickoffs, r.Ambiguous, r.Restarts, r.Resumes = 1, 2, 3, 4
		r.CancelRequested = true
		r.Error, r.Class, r.Hint, r.Snapshot, r.Location, r.Stats = "e", "c", "h", "s", "l", `{"a":1}`
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	got, err := l.Run(ctx, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	want.Started, want.Updated = want.Started.Truncate(time.Microsecond), want.Updated.Truncate(time.Microsecond)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("run after reopening (-want +got):\n%s", d)
	}
}

func TestRunsNewestFirst(t *testing.T) {
	ctx := t.Context()
	l := open(t, t.TempDir())
	base := time.Now()
	var ids []string
	for i := range 3 {
		for _, job := range []string{"a", "b"} {
			id := NewID(base.Add(time.Duration(i) * time.Second))
			if _, err := l.Begin(ctx, Run{ID: id, Job: job}); err != nil {
				t.Fatal(err)
			}
			if job == "a" {
				ids = append(ids, id)
			}
		}
	}
	runs, err := l.Runs(ctx, "a", 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) != 2 || runs[0].ID != ids[2] || runs[1].ID != ids[1] {
		t.Errorf("Runs = %v, want the newest two of %v", runs, ids)
	}
	if all, err := l.Runs(ctx, "", 0); err != nil || len(all) != 6 {
		t.Errorf("Runs of all jobs: %d, %v; want 6", len(all), err)
	}
	if r, err := l.Find(ctx, ids[1]); err != nil || r.ID != ids[1] {
		t.Errorf("Find = %v, %v", r.ID, err)
	}
	for _, prefix := range []string{"", "0", "%", "zzzz"} {
		if _, err := l.Find(ctx, prefix); !errors.Is(err, ErrNotFound) {
			t.Errorf("Find(%q) = %v, want ErrNotFound", prefix, err)
		}
	}
}

func TestUnfinished(t *testing.T) {
	ctx := t.Context()
	l := open(t, t.TempDir())
	want := map[string]bool{}
	for _, c := range []struct {
		state State
		url   string
		want  bool
	}{
		{Planned, "", true},
		{Failed, "", true},
		{Publishing, "u", true},
		{Published, "", false},
		{Cancelled, "", false},
		{Abandoned, "", false},
		{Published, "u", true},
		{Abandoned, "u", true},
	} {
		r := begin(t, l, "j")
		if _, err := l.Update(ctx, r.ID, func(r *Run) { r.State, r.StatusURL = c.state, c.url }); err != nil {
			t.Fatal(err)
		}
		if c.want {
			want[r.ID] = true
		}
	}
	runs, err := l.Unfinished(ctx, "j")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, r := range runs {
		got[r.ID] = true
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("unfinished (-want +got):\n%s", d)
	}
}

// Every pair of states, against the transitions that the documentation names.
func TestStateTransitions(t *testing.T) {
	all := []State{Planned, Authorized, KickedOff, Exporting, Landing, Converting, Publishing, Published, Failed, Cancelled, Abandoned}
	rank := map[State]int{Planned: 1, Authorized: 2, KickedOff: 3, Exporting: 4, Landing: 5, Converting: 6, Publishing: 7, Published: 8}
	ctx := t.Context()
	l := open(t, t.TempDir())
	for _, from := range all {
		for _, to := range all {
			want := from == to || !from.Terminal() && (rank[to] >= rank[from] && rank[from] > 0 || rank[to] <= 2 || to == Published)
			r := begin(t, l, "j")
			if from != Planned {
				if _, err := l.Update(ctx, r.ID, func(r *Run) { r.State = from }); err != nil {
					t.Fatal(err)
				}
			}
			got, err := l.Update(ctx, r.ID, func(r *Run) { r.State, r.Error = to, "x" })
			var illegal *TransitionError
			if (err == nil) != want || err != nil && !errors.As(err, &illegal) {
				t.Errorf("%s to %s: %v, want allowed %v", from, to, err, want)
			}
			if err == nil {
				continue
			}
			if got, err = l.Run(ctx, r.ID); err != nil || got.State != from || got.Error != "" {
				t.Errorf("%s to %s was refused but left %s %q", from, to, got.State, got.Error)
			}
		}
	}
}

func TestPhaseOutlivesFailure(t *testing.T) {
	ctx := t.Context()
	l := open(t, t.TempDir())
	r := begin(t, l, "j")
	for _, s := range []State{Landing, Failed} {
		var err error
		if r, err = l.Update(ctx, r.ID, func(r *Run) { r.State = s }); err != nil {
			t.Fatal(err)
		}
	}
	if r.Phase != Landing {
		t.Errorf("phase = %s, want landing", r.Phase)
	}
}

// I6, I7: modes, and a cleared status URL is nowhere in the files.
func TestI6StatusURLLeavesNoTrace(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	l := open(t, dir)
	r := begin(t, l, "j")
	secret := "https://fhir.example.org/status/s3cr3t-capability"
	if _, err := l.Update(ctx, r.ID, func(r *Run) { r.StatusURL = secret }); err != nil {
		t.Fatal(err)
	}
	found := func() (n int) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v, want 0600", d.Name(), info.Mode().Perm())
			}
			data, err := os.ReadFile(path)
			n += bytes.Count(data, []byte("s3cr3t"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if found() == 0 {
		t.Fatal("the URL is not in the files while it is needed: the search finds nothing")
	}
	if _, err := l.Update(ctx, r.ID, func(r *Run) { r.StatusURL = "" }); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := found(); n != 0 {
		t.Errorf("the cleared URL is in the files %d times", n)
	}
}

func TestOpenTooNew(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	if _, err := l.write.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)"); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), dir, nil)
	var tooNew *TooNewError
	if !errors.As(err, &tooNew) || tooNew.Class() != "usage" || tooNew.Hint() == "" {
		t.Errorf("Open of a newer ledger = %v, want *TooNewError", err)
	}
}

func TestOpenManyAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "with space%20?#", "state")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			l, err := Open(context.Background(), dir, nil)
			if err != nil {
				t.Error(err)
				return
			}
			for range 10 {
				if _, err := l.Begin(context.Background(), Run{ID: NewID(time.Now()), Job: fmt.Sprint("job", i)}); err != nil {
					t.Error(err)
				}
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	l := open(t, dir)
	if runs, err := l.Runs(t.Context(), "", 0); err != nil || len(runs) != 80 {
		t.Errorf("%d runs, %v; want 80", len(runs), err)
	}
}

func TestID(t *testing.T) {
	now := time.Date(2025, 11, 21, 20, 57, 0, 123e6, time.UTC)
	seen := map[string]bool{}
	last := ""
	for i := range 100 {
		at := now.Add(time.Duration(i) * time.Millisecond)
		id := NewID(at)
		if len(id) != idLen || seen[id] || id <= last {
			t.Fatalf("id %q after %q: want %d characters, fresh, rising", id, last, idLen)
		}
		if got, ok := IDTime(id); !ok || !got.Equal(at) {
			t.Errorf("IDTime(%q) = %v, %v; want %v", id, got, ok, at)
		}
		seen[id], last = true, id
	}
	for _, bad := range []string{"", "abc", "ABCDEFGHJKMN", "0123456789a/", "0123456789abc"} {
		if _, ok := IDTime(bad); ok {
			t.Errorf("IDTime(%q) is ok", bad)
		}
	}
}

func TestWatermarksAndOverride(t *testing.T) {
	ctx := t.Context()
	l := open(t, t.TempDir())
	mark := time.Date(2025, 5, 1, 0, 0, 0, 0, time.UTC)
	want := map[string]time.Time{"Patient": mark, "Observation": mark.Add(time.Hour)}
	for _, m := range []map[string]time.Time{{"Gone": mark}, want} {
		if err := l.CacheWatermarks(ctx, "j", "snap", m); err != nil {
			t.Fatal(err)
		}
	}
	got, snapshot, err := l.Watermarks(ctx, "j")
	if err != nil || snapshot != "snap" || !cmp.Equal(got, want) {
		t.Errorf("Watermarks = %v, %q, %v; want %v", got, snapshot, err, want)
	}

	if _, ok, err := l.Override(ctx, "j"); ok || err != nil {
		t.Errorf("override = %v, %v; want none", ok, err)
	}
	old, err := l.SetOverride(ctx, "j", mark)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Millisecond) // Made tells overrides apart by the microsecond
	cleared, err := l.SetOverride(ctx, "j", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.DropOverride(ctx, "j", old.Made); err != nil {
		t.Fatal(err)
	}
	o, ok, err := l.Override(ctx, "j")
	if err != nil || !ok || !o.Mark.IsZero() || !o.Made.Equal(cleared.Made) {
		t.Errorf("override = %v, %v, %v; want the newer one to have stayed", o, ok, err)
	}
	if err := l.DropOverride(ctx, "j", o.Made); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := l.Override(ctx, "j"); ok {
		t.Error("the override is still there")
	}
}
