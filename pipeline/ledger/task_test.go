package ledger

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func listed(t testing.TB, l *Ledger, n int) Run {
	t.Helper()
	r := begin(t, l, "j")
	tasks := make([]Task, n)
	for i := range tasks {
		tasks[i] = Task{Key: fmt.Sprintf("output/%05d", i), Kind: "output", Type: "Patient", Ordinal: i, Count: -1, Path: "/f"}
	}
	r, err := l.List(t.Context(), r.ID, tasks, func(r *Run) { r.State = Landing })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Tasks of partial manifests come one after the other and survive the process;
// the complete list replaces them.
func TestExtend(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	l := open(t, dir)
	r := begin(t, l, "j")
	task := func(n int) Task {
		return Task{Key: fmt.Sprintf("output/%05d", n), Kind: "output", Ordinal: n, Count: -1, Path: "/f"}
	}
	if err := l.Extend(ctx, r.ID, nil); err != nil {
		t.Fatal(err)
	}
	if err := l.Extend(ctx, r.ID, []Task{task(0), task(1)}); err != nil {
		t.Fatal(err)
	}
	if err := l.Note(ctx, r.ID, Note{Key: task(1).Key, State: TaskLanding, Attempt: true}); err != nil {
		t.Fatal(err)
	}
	if err := l.Extend(ctx, r.ID, []Task{task(2)}); err != nil {
		t.Fatal(err)
	}
	if err := l.Extend(ctx, r.ID, []Task{task(3), task(2)}); err == nil {
		t.Error("a task was added twice")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	got, err := l.Tasks(ctx, r.ID)
	if err != nil || len(got) != 3 || got[1].State != TaskLanding || got[2].State != TaskPending {
		t.Errorf("tasks %+v, %v", got, err)
	}
	if run, err := l.Run(ctx, r.ID); err != nil || run.Listed {
		t.Errorf("the run is listed %v (%v)", run.Listed, err)
	}
	if _, err := l.List(ctx, r.ID, []Task{task(0)}, func(*Run) {}); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Tasks(ctx, r.ID); err != nil || len(got) != 1 || got[0].State != TaskPending {
		t.Errorf("tasks %+v, %v after List", got, err)
	}
}

func TestTasks(t *testing.T) {
	ctx := t.Context()
	l := open(t, t.TempDir())
	r := listed(t, l, 2)
	if !r.Listed || r.State != Landing {
		t.Errorf("run after List: listed %v, %s", r.Listed, r.State)
	}
	for _, n := range []Note{
		{Key: "output/00001", State: TaskLanding, Attempt: true},
		{Key: "output/00001", State: TaskLanding, Attempt: true},
		{Key: "output/00001", State: TaskLanded, Bytes: 10, Lines: 2},
	} {
		if err := l.Note(ctx, r.ID, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Convert(ctx, r.ID, Conversion{Sink: "ndjson", Type: "Patient", Rows: 2, Output: "o"}, []string{"output/00001"}); err != nil {
		t.Fatal(err)
	}
	if err := l.FinishTasks(ctx, r.ID); err != nil {
		t.Fatal(err)
	}
	got, err := l.Tasks(ctx, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := []Task{
		{Key: "output/00000", Kind: "output", Type: "Patient", Count: -1, Path: "/f", State: TaskPending},
		{Key: "output/00001", Kind: "output", Type: "Patient", Ordinal: 1, Count: -1, Path: "/f", State: TaskDone, Attempts: 2, Bytes: 10, Lines: 2},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("tasks (-want +got):\n%s", d)
	}
	conversions, err := l.Conversions(ctx, r.ID)
	if d := cmp.Diff([]Conversion{{Sink: "ndjson", Type: "Patient", Rows: 2, Output: "o"}}, conversions); d != "" || err != nil {
		t.Errorf("conversions, %v (-want +got):\n%s", err, d)
	}

	// Listed anew: nothing of before is left.
	if _, err := l.List(ctx, r.ID, []Task{{Key: "k"}}, func(*Run) {}); err != nil {
		t.Fatal(err)
	}
	got, _ = l.Tasks(ctx, r.ID)
	conversions, _ = l.Conversions(ctx, r.ID)
	if len(got) != 1 || len(conversions) != 0 {
		t.Errorf("after listing anew: %d tasks, %d conversions; want 1, 0", len(got), len(conversions))
	}
	r, err = l.Unlist(ctx, r.ID, nil, func(r *Run) { r.StatusURL = "" })
	if err != nil || r.Listed {
		t.Errorf("Unlist left listed %v, %v", r.Listed, err)
	}
	if got, _ = l.Tasks(ctx, r.ID); len(got) != 0 {
		t.Errorf("Unlist left %d tasks", len(got))
	}
}

func TestPrune(t *testing.T) {
	ctx := t.Context()
	l := open(t, t.TempDir())
	now := time.Now()
	for _, c := range []struct {
		state State
		ended time.Time
		stays bool
	}{
		{Published, now.Add(-time.Hour), false},
		{Published, now.Add(time.Hour), true},
		{Failed, now.Add(-time.Hour), true}, // may be resumed
		{Landing, time.Time{}, true},
	} {
		r := listed(t, l, 2)
		if _, err := l.Update(ctx, r.ID, func(r *Run) { r.State, r.Ended = c.state, c.ended }); err != nil {
			t.Fatal(err)
		}
		if err := l.Prune(ctx, now); err != nil {
			t.Fatal(err)
		}
		tasks, err := l.Tasks(ctx, r.ID)
		if err != nil || (len(tasks) == 2) != c.stays {
			t.Errorf("%s, ended %v: %d tasks, %v; want them to stay: %v", c.state, c.ended, len(tasks), err, c.stays)
		}
		if _, err := l.Run(ctx, r.ID); err != nil {
			t.Errorf("the run is gone: %v", err)
		}
	}
}

// I5: a conversion is recorded with its tasks, or neither is.
func TestI5ConvertIsOneTransaction(t *testing.T) {
	ctx := t.Context()
	l := open(t, t.TempDir())
	r := listed(t, l, 2)
	if err := l.Note(ctx, r.ID, Note{Key: "output/00000", State: TaskLanded}); err != nil {
		t.Fatal(err)
	}
	err := l.Convert(ctx, r.ID, Conversion{Sink: "s", Type: "Patient"}, []string{"output/00000", "output/00001"})
	var illegal *TransitionError
	if !errors.As(err, &illegal) {
		t.Fatalf("Convert of a task that has not landed = %v, want *TransitionError", err)
	}
	tasks, _ := l.Tasks(ctx, r.ID)
	conversions, _ := l.Conversions(ctx, r.ID)
	if len(conversions) != 0 || tasks[0].State != TaskLanded {
		t.Errorf("refused conversion left %v and task %s", conversions, tasks[0].State)
	}
	if err := l.Convert(ctx, r.ID, Conversion{Sink: "s", Type: "Patient"}, []string{"output/00000"}); err != nil {
		t.Fatal(err)
	}
	if err := l.Unconvert(ctx, r.ID, "Patient", []string{"output/00000"}); err != nil {
		t.Fatal(err)
	}
	tasks, _ = l.Tasks(ctx, r.ID)
	conversions, _ = l.Conversions(ctx, r.ID)
	if len(conversions) != 0 || tasks[0].State != TaskLanded {
		t.Errorf("Unconvert left %v and task %s", conversions, tasks[0].State)
	}
}

func TestTaskTransitions(t *testing.T) {
	all := []TaskState{TaskPending, TaskLanding, TaskLanded, TaskConverted, TaskDone, TaskQuarantined}
	allowed := map[TaskState]string{ // to: from
		TaskPending:     "pending landing landed converted quarantined",
		TaskLanding:     "pending landing landed converted",
		TaskLanded:      "pending landing landed converted",
		TaskConverted:   "landed converted",
		TaskDone:        "converted done",
		TaskQuarantined: "pending landing landed quarantined",
	}
	paths := map[TaskState][]TaskState{
		TaskLanding: {TaskLanding}, TaskLanded: {TaskLanded}, TaskConverted: {TaskLanded, TaskConverted},
		TaskDone: {TaskLanded, TaskConverted, TaskDone}, TaskQuarantined: {TaskQuarantined},
	}
	ctx := t.Context()
	l := open(t, t.TempDir())
	for _, from := range all {
		for _, to := range all {
			want := false
			for _, f := range splitStates(allowed[to]) {
				want = want || f == from
			}
			r := listed(t, l, 1)
			for _, s := range append(append([]TaskState{}, paths[from]...), to) {
				_ = l.Note(ctx, r.ID, Note{Key: "output/00000", State: s})
				if err := l.Flush(ctx); s != to && err != nil {
					t.Fatal(err)
				}
			}
			tasks, err := l.Tasks(ctx, r.ID)
			if err != nil {
				t.Fatal(err)
			}
			if got := tasks[0].State == to; got != want && from != to {
				t.Errorf("%s to %s: went %v, want %v", from, to, got, want)
			}
		}
	}
}

func splitStates(s string) (list []TaskState) {
	for len(s) > 0 {
		i := 0
		for i < len(s) && s[i] != ' ' {
			i++
		}
		list = append(list, TaskState(s[:i]))
		s = s[min(i+1, len(s)):]
	}
	return list
}

// Many small changes share their commits, and Flush leaves none behind.
func TestNoteCommitsInGroups(t *testing.T) {
	const files = 3000
	ctx := t.Context()
	frozen := time.Now()
	l, err := Open(ctx, t.TempDir(), func() time.Time { return frozen }) // no group is due by time
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := listed(t, l, files)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := w; i < files; i += 4 {
				key := fmt.Sprintf("output/%05d", i)
				if err := l.Note(ctx, r.ID, Note{Key: key, State: TaskLanding, Attempt: true}); err != nil {
					t.Error(err)
				}
				if err := l.Note(ctx, r.ID, Note{Key: key, State: TaskLanded, Lines: 20}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(l.group.pending); n >= groupSize {
		t.Errorf("%d changes wait, want fewer than %d", n, groupSize)
	}
	if err := l.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	tasks, err := l.Tasks(ctx, r.ID)
	if err != nil || len(tasks) != files {
		t.Fatal(len(tasks), err)
	}
	for _, task := range tasks {
		if task.State != TaskLanded || task.Lines != 20 || task.Attempts != 1 {
			t.Fatalf("task %+v", task)
		}
	}
}

func BenchmarkNote(b *testing.B) {
	l := open(b, b.TempDir())
	r := begin(b, l, "j")
	tasks := make([]Task, 50_000)
	for i := range tasks {
		tasks[i] = Task{Key: fmt.Sprintf("output/%05d", i), Kind: "output", Type: "Patient", Ordinal: i}
	}
	if _, err := l.List(b.Context(), r.ID, tasks, func(*Run) {}); err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		if err := l.Note(b.Context(), r.ID, Note{Key: tasks[i%len(tasks)].Key, State: TaskLanded}); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
