package sinktest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/flue-fhir/flue/sinks"
)

// StoreHarness tells TestStore what it tests.
type StoreHarness struct {
	// Open opens the store at a place, a folder of the test's own. Opening the
	// same place again is what another process would do.
	Open func(t *testing.T, place string) sinks.Store
	// Read reads a file of a published snapshot, by the location that Publish
	// returned and the path within; nil when it is not there.
	Read func(t *testing.T, location, path string) []byte
}

// TestStore proves that a store keeps its contract: a snapshot is visible whole
// or not at all (I1), every step can be repeated (I5), and latest never moves
// backwards.
func TestStore(t *testing.T, h StoreHarness) {
	for name, test := range map[string]func(*storeTest, *testing.T){
		"Empty":              (*storeTest).empty,
		"Publish":            (*storeTest).publish,
		"NothingBefore":      (*storeTest).nothingBefore,
		"OnlyCommittedFiles": (*storeTest).onlyCommitted,
		"OnlyListedFiles":    (*storeTest).onlyListed,
		"Attachments":        (*storeTest).attachments,
		"Resume":             (*storeTest).resume,
		"PublishTwice":       (*storeTest).twice,
		"LatestMovesForward": (*storeTest).forward,
		"ClockGoesBack":      (*storeTest).clock,
		"MissingFile":        (*storeTest).missingFile,
		"Remove":             (*storeTest).remove,
		"Discard":            (*storeTest).discard,
		"Sweep":              (*storeTest).sweep,
		"Open":               (*storeTest).open,
		"Snapshots":          (*storeTest).snapshots,
		"Delete":             (*storeTest).delete,
		"Jobs":               (*storeTest).jobs,
		"HostileNames":       (*storeTest).hostile,
		"Concurrent":         (*storeTest).concurrent,
		"Cancelled":          (*storeTest).cancelled,
	} {
		t.Run(name, func(t *testing.T) {
			place := t.TempDir()
			test(&storeTest{h: h, place: place, store: h.Open(t, place)}, t)
		})
	}
}

type storeTest struct {
	h     StoreHarness
	place string
	store sinks.Store
}

func (s *storeTest) stage(t *testing.T, job, run string) sinks.Staging {
	t.Helper()
	st, err := s.store.Stage(t.Context(), job, run)
	if err != nil {
		t.Fatalf("Stage: %v", err)
	}
	return st
}

// write commits a file and describes it.
func write(t *testing.T, st sinks.Staging, path, content string) sinks.File {
	t.Helper()
	w, err := st.Create(t.Context(), path)
	if err != nil {
		t.Fatalf("Create %s: %v", path, err)
	}
	for part := []byte(content); len(part) > 0; {
		n := min(7, len(part))
		if _, err := w.Write(part[:n]); err != nil {
			t.Fatalf("Write %s: %v", path, err)
		}
		part = part[n:]
	}
	size, sum, err := w.Commit()
	if err != nil {
		t.Fatalf("Commit %s: %v", path, err)
	}
	want := sha256.Sum256([]byte(content))
	if size != int64(len(content)) || sum != hex.EncodeToString(want[:]) {
		t.Errorf("Commit %s: %d bytes with sum %s, want %d with %x", path, size, sum, len(content), want)
	}
	if err := w.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	return sinks.File{Path: path, Type: "Patient", Rows: 1, Bytes: size, SHA256: sum}
}

func (s *storeTest) publishRun(t *testing.T, job, run string, at time.Time) (*sinks.Manifest, string) {
	t.Helper()
	st := s.stage(t, job, run)
	m := &sinks.Manifest{Kind: sinks.Full, Published: at, Watermarks: map[string]time.Time{"Patient": at}}
	m.Files = append(m.Files, write(t, st, "ndjson/Patient/part-00000.ndjson", "content of "+run+"\n"))
	location, err := st.Publish(t.Context(), m)
	if err != nil {
		t.Fatalf("Publish: %v", err)
	}
	return m, location
}

func (s *storeTest) latest(t *testing.T, job string) *sinks.Manifest {
	t.Helper()
	m, err := s.store.Latest(t.Context(), job)
	if err != nil {
		t.Fatalf("Latest: %v", err)
	}
	return m
}

func (s *storeTest) wantLatest(t *testing.T, job, run string) {
	t.Helper()
	got := ""
	if m := s.latest(t, job); m != nil {
		got = m.Run
	}
	if got != run {
		t.Errorf("latest is run %q, want %q", got, run)
	}
}

func (s *storeTest) published(t *testing.T, job, run string) *sinks.Manifest {
	t.Helper()
	m, err := s.store.Published(t.Context(), job, run)
	if err != nil {
		t.Fatalf("Published: %v", err)
	}
	return m
}

var noon = time.Date(2024, 5, 6, 12, 0, 0, 0, time.UTC)

func (s *storeTest) empty(t *testing.T) {
	s.wantLatest(t, "job", "")
	if m := s.published(t, "job", "r1"); m != nil {
		t.Errorf("Published returned %+v from an empty store", m)
	}
	if err := s.store.Sweep(t.Context(), "job", ""); err != nil {
		t.Errorf("Sweep: %v", err)
	}
	for range 2 {
		if err := s.store.Check(t.Context(), "job"); err != nil {
			t.Errorf("Check: %v", err)
		}
	}
	s.wantLatest(t, "job", "")
}

func (s *storeTest) publish(t *testing.T) {
	m, location := s.publishRun(t, "job", "r1", noon)
	if m.Version != sinks.ManifestVersion || m.Job != "job" || m.Run != "r1" || m.Name == "" {
		t.Errorf("Publish left version %d, job %q, run %q, name %q in the manifest", m.Version, m.Job, m.Run, m.Name)
	}
	if got := s.h.Read(t, location, "ndjson/Patient/part-00000.ndjson"); string(got) != "content of r1\n" {
		t.Errorf("the published file holds %q", got)
	}
	want, _ := json.Marshal(m)
	for what, got := range map[string]*sinks.Manifest{"Latest": s.latest(t, "job"), "Published": s.published(t, "job", "r1")} {
		if text, _ := json.Marshal(got); !bytes.Equal(text, want) {
			t.Errorf("%s returned\n%s\nwant\n%s", what, text, want)
		}
	}
	var read sinks.Manifest
	if err := json.Unmarshal(s.h.Read(t, location, "manifest.json"), &read); err != nil || read.Run != "r1" {
		t.Errorf("manifest.json: run %q, error %v", read.Run, err)
	}
}

func (s *storeTest) nothingBefore(t *testing.T) {
	st := s.stage(t, "job", "r1")
	write(t, st, "ndjson/Patient/a", "x")
	s.wantLatest(t, "job", "")
	if m := s.published(t, "job", "r1"); m != nil {
		t.Error("Published returned a snapshot that is only staged")
	}
}

func (s *storeTest) onlyCommitted(t *testing.T) {
	st := s.stage(t, "job", "r1")
	aborted, err := st.Create(t.Context(), "ndjson/Patient/aborted")
	if err != nil {
		t.Fatal(err)
	}
	open, err := st.Create(t.Context(), "ndjson/Patient/open")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []sinks.FileWriter{aborted, open} {
		if _, err := w.Write([]byte("half")); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := aborted.Abort(); err != nil {
			t.Errorf("Abort: %v", err)
		}
	}
	f := write(t, st, "ndjson/Patient/whole", "whole")
	location, err := st.Publish(t.Context(), &sinks.Manifest{Kind: sinks.Full, Published: noon, Files: []sinks.File{f}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"ndjson/Patient/whole": "whole", "ndjson/Patient/aborted": "", "ndjson/Patient/open": ""} {
		if got := string(s.h.Read(t, location, path)); got != want {
			t.Errorf("%s holds %q, want %q", path, got, want)
		}
	}
}

// onlyListed: what an earlier try committed, and the manifest does not list, is
// not published.
func (s *storeTest) onlyListed(t *testing.T) {
	first := s.stage(t, "job", "r1")
	write(t, first, "quarantine/part-00000.ndjson", "of a try that died")
	write(t, first, "ndjson/Patient/part-00001", "of a try that died")
	st := s.stage(t, "job", "r1")
	f := write(t, st, "ndjson/Patient/part-00000", "listed")
	location, err := st.Publish(t.Context(), &sinks.Manifest{Kind: sinks.Full, Published: noon, Files: []sinks.File{f}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"ndjson/Patient/part-00000": "listed", "ndjson/Patient/part-00001": "", "quarantine/part-00000.ndjson": ""} {
		if got := string(s.h.Read(t, location, path)); got != want {
			t.Errorf("%s holds %q, want %q", path, got, want)
		}
	}
}

// resume dies between the commit of a file and the publication.
func (s *storeTest) resume(t *testing.T) {
	st := s.stage(t, "job", "r1")
	a := write(t, st, "ndjson/Patient/a", "first try")
	if _, err := st.Create(t.Context(), "ndjson/Patient/b"); err != nil {
		t.Fatal(err)
	}
	s.store = s.h.Open(t, s.place)
	st = s.stage(t, "job", "r1")
	b := write(t, st, "ndjson/Patient/b", "second try")
	location, err := st.Publish(t.Context(), &sinks.Manifest{Kind: sinks.Full, Published: noon, Files: []sinks.File{a, b}})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(s.h.Read(t, location, "ndjson/Patient/a")); got != "first try" {
		t.Errorf("a holds %q", got)
	}
	if got := string(s.h.Read(t, location, "ndjson/Patient/b")); got != "second try" {
		t.Errorf("b holds %q", got)
	}
}

func (s *storeTest) twice(t *testing.T) {
	first, location := s.publishRun(t, "job", "r1", noon)
	s.store = s.h.Open(t, s.place)
	again := &sinks.Manifest{Kind: sinks.Delta, Published: noon.Add(time.Hour)}
	second, err := s.stage(t, "job", "r1").Publish(t.Context(), again)
	if err != nil {
		t.Fatalf("Publish again: %v", err)
	}
	if second != location {
		t.Errorf("published at %s, then at %s", location, second)
	}
	if again.Kind != sinks.Full || again.Name != first.Name || len(again.Files) != 1 {
		t.Errorf("Publish again left %+v, want what was published", again)
	}
	s.wantLatest(t, "job", "r1")
	if got := string(s.h.Read(t, location, "ndjson/Patient/part-00000.ndjson")); got != "content of r1\n" {
		t.Errorf("the file holds %q", got)
	}
}

func (s *storeTest) forward(t *testing.T) {
	s.publishRun(t, "job", "r1", noon)
	s.publishRun(t, "job", "r2", noon.Add(time.Hour))
	s.wantLatest(t, "job", "r2")
	if _, err := s.stage(t, "job", "r1").Publish(t.Context(), &sinks.Manifest{Published: noon.Add(2 * time.Hour)}); err != nil {
		t.Fatalf("Publish the older again: %v", err)
	}
	s.wantLatest(t, "job", "r2")
	if s.published(t, "job", "r1") == nil || s.published(t, "job", "r2") == nil {
		t.Error("a snapshot is gone")
	}
	if s.published(t, "job", "1") != nil {
		t.Error("a run was found by the end of another's name")
	}
}

// clock sets the clock back, and publishes two runs in one second.
func (s *storeTest) clock(t *testing.T) {
	a, _ := s.publishRun(t, "job", "r1", noon)
	b, _ := s.publishRun(t, "job", "r2", noon.Add(-time.Hour))
	c, _ := s.publishRun(t, "job", "r0", noon.Add(-time.Hour))
	s.wantLatest(t, "job", "r0")
	if a.Name >= b.Name || b.Name >= c.Name {
		t.Errorf("names %s, %s, %s do not sort by publication", a.Name, b.Name, c.Name)
	}
}

func (s *storeTest) missingFile(t *testing.T) {
	st := s.stage(t, "job", "r1")
	a := write(t, st, "ndjson/Patient/a", "x")
	missing, short := a, a
	missing.Path = "ndjson/Patient/b"
	short.Bytes++
	for name, f := range map[string]sinks.File{"missing": missing, "short": short} {
		if _, err := st.Publish(t.Context(), &sinks.Manifest{Published: noon, Files: []sinks.File{a, f}}); !errors.Is(err, sinks.ErrChanged) {
			t.Errorf("Publish with a %s file: %v, want %v", name, err, sinks.ErrChanged)
		}
		s.wantLatest(t, "job", "")
		if s.published(t, "job", "r1") != nil {
			t.Errorf("a snapshot with a %s file is visible", name)
		}
	}
	if _, err := st.Publish(t.Context(), &sinks.Manifest{Published: noon, Files: []sinks.File{a}}); err != nil {
		t.Errorf("Publish after a refusal: %v", err)
	}
}

func (s *storeTest) remove(t *testing.T) {
	st := s.stage(t, "job", "r1")
	files := map[string]sinks.File{}
	for _, path := range []string{"ndjson/Patient/a", "ndjson/Patient/b", "ndjson/PatientX/a", "parquet/Patient/a"} {
		files[path] = write(t, st, path, path)
	}
	for _, path := range []string{"ndjson/Patient", "parquet/Patient/a", "parquet/Patient/a", "nothing/here"} {
		if err := st.Remove(t.Context(), path); err != nil {
			t.Errorf("Remove %s: %v", path, err)
		}
	}
	for _, path := range []string{"ndjson/Patient/a", "ndjson/Patient/b", "parquet/Patient/a"} {
		_, err := st.Publish(t.Context(), &sinks.Manifest{Published: noon, Files: []sinks.File{files[path]}})
		if !errors.Is(err, sinks.ErrChanged) {
			t.Errorf("Publish with %s, which was removed: %v, want %v", path, err, sinks.ErrChanged)
		}
	}
	const kept = "ndjson/PatientX/a"
	location, err := st.Publish(t.Context(), &sinks.Manifest{Published: noon, Files: []sinks.File{files[kept]}})
	if err != nil {
		t.Fatal(err)
	}
	if s.h.Read(t, location, kept) == nil {
		t.Errorf("%s is not there", kept)
	}
}

func (s *storeTest) discard(t *testing.T) {
	st := s.stage(t, "job", "r1")
	write(t, st, "ndjson/Patient/a", "x")
	for range 2 {
		if err := st.Discard(t.Context()); err != nil {
			t.Fatalf("Discard: %v", err)
		}
	}
	write(t, s.stage(t, "job", "r1"), "ndjson/Patient/a", "x")
	for _, run := range []string{"r1", "r1", "r2"} { // by another process, once it is there
		if err := s.h.Open(t, s.place).Discard(t.Context(), "job", run); err != nil {
			t.Fatalf("Discard of run %s: %v", run, err)
		}
	}
	location, err := s.stage(t, "job", "r1").Publish(t.Context(), &sinks.Manifest{Published: noon})
	if err != nil {
		t.Fatal(err)
	}
	if s.h.Read(t, location, "ndjson/Patient/a") != nil {
		t.Error("a discarded file was published")
	}
}

func (s *storeTest) sweep(t *testing.T) {
	s.publishRun(t, "job", "r0", noon)
	a := write(t, s.stage(t, "job", "r1"), "ndjson/Patient/a", "x")
	write(t, s.stage(t, "job", "r2"), "ndjson/Patient/a", "y")
	s.store = s.h.Open(t, s.place)
	if err := s.store.Sweep(t.Context(), "job", "r1"); err != nil {
		t.Fatalf("Sweep: %v", err)
	}
	s.wantLatest(t, "job", "r0")
	location, err := s.stage(t, "job", "r1").Publish(t.Context(), &sinks.Manifest{Published: noon, Files: []sinks.File{a}})
	if err != nil {
		t.Fatalf("the staging to keep: %v", err)
	}
	if s.h.Read(t, location, "ndjson/Patient/a") == nil {
		t.Error("Sweep removed a file of the staging to keep")
	}
	location, err = s.stage(t, "job", "r2").Publish(t.Context(), &sinks.Manifest{Published: noon})
	if err != nil {
		t.Fatal(err)
	}
	if s.h.Read(t, location, "ndjson/Patient/a") != nil {
		t.Error("Sweep left a file of another staging")
	}
}

func (s *storeTest) jobs(t *testing.T) {
	s.publishRun(t, "a", "r1", noon)
	s.publishRun(t, "b", "r2", noon)
	s.wantLatest(t, "a", "r1")
	s.wantLatest(t, "b", "r2")
	if s.published(t, "a", "r2") != nil {
		t.Error("job a has a run of job b")
	}
}

func (s *storeTest) hostile(t *testing.T) {
	ctx := t.Context()
	for _, name := range []string{"", ".", "..", "../x", "a/b", `a\b`, ".staging-x", "a\x00b"} {
		if _, err := s.store.Stage(ctx, name, "r1"); err == nil {
			t.Errorf("Stage took the job %q", name)
		}
		if _, err := s.store.Stage(ctx, "job", name); err == nil {
			t.Errorf("Stage took the run %q", name)
		}
		if _, err := s.store.Latest(ctx, name); err == nil {
			t.Errorf("Latest took the job %q", name)
		}
		if _, err := s.store.Published(ctx, "job", name); err == nil {
			t.Errorf("Published took the run %q", name)
		}
		if err := s.store.Discard(ctx, "job", name); err == nil {
			t.Errorf("Discard took the run %q", name)
		}
		if _, err := s.store.Snapshot(ctx, "job", name); err == nil {
			t.Errorf("Snapshot took the name %q", name)
		}
		if _, err := s.store.Snapshots(ctx, name); err == nil {
			t.Errorf("Snapshots took the job %q", name)
		}
		if err := s.store.Delete(ctx, "job", name); err == nil {
			t.Errorf("Delete took the snapshot %q", name)
		}
	}
	st := s.stage(t, "job", "r1")
	for _, path := range []string{"", ".", "..", "../x", "/x", "a/../../x", "a//b", "a/", `a\b`, "a/\x00", "manifest.json"} {
		if _, err := st.Create(ctx, path); err == nil {
			t.Errorf("Create took the path %q", path)
		}
		if err := st.Remove(ctx, path); err == nil {
			t.Errorf("Remove took the path %q", path)
		}
	}
	m := &sinks.Manifest{Published: noon, Name: "../r1"}
	if _, err := st.Publish(ctx, m); err == nil {
		t.Error("Publish took a name with a separator")
	}
}

func (s *storeTest) concurrent(t *testing.T) {
	st := s.stage(t, "job", "r1")
	files := make([]sinks.File, 40)
	var wg sync.WaitGroup
	for i := range files {
		wg.Go(func() {
			files[i] = write(t, st, fmt.Sprintf("ndjson/Type%d/part-%d", i%5, i), fmt.Sprintf("content %d", i))
		})
	}
	wg.Wait()
	location, err := st.Publish(t.Context(), &sinks.Manifest{Published: noon, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		if got := string(s.h.Read(t, location, f.Path)); got != fmt.Sprintf("content %d", i) {
			t.Errorf("%s holds %q", f.Path, got)
		}
	}
}

func (s *storeTest) cancelled(t *testing.T) {
	st := s.stage(t, "job", "r1")
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("stop")
	cancel(cause)
	_, stage := s.store.Stage(ctx, "job", "r1")
	_, create := st.Create(ctx, "ndjson/Patient/a")
	_, publish := st.Publish(ctx, &sinks.Manifest{Published: noon})
	_, list := s.store.Snapshots(ctx, "job")
	for what, err := range map[string]error{
		"Stage": stage, "Create": create, "Publish": publish, "Check": s.store.Check(ctx, "job"),
		"Snapshots": list, "Delete": s.store.Delete(ctx, "job", "x"),
	} {
		if !errors.Is(err, cause) {
			t.Errorf("%s returned %v, want the context's cause", what, err)
		}
	}
	s.wantLatest(t, "job", "")
}
