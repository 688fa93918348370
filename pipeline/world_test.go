package pipeline

import (
	"bufio"
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/export/search"
	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/ndjson"
	"github.com/flue-fhir/flue/sinks/parquet"
	"github.com/flue-fhir/flue/sinks/store/local"
)

// world is everything around a run: folders that outlive it, and a server.
type world struct {
	Dir string
	URL string // of the server
	Job config.Job
	// Files are those of a conversion, which has no server.
	Files []string
	// Options are those of a process of its own.
	Options Options

	heard  *heard      // what the runs of this process said; nil in a process of its own
	server sync.Locker // of the server's switches and counts
}

// sync orders what the test writes and reads of the server with the requests,
// which may come from another process.
func (w *world) sync() {
	if w.server != nil {
		w.server.Lock()
		defer w.server.Unlock()
	}
}

func newWorld(t *testing.T, s *exportServer) *world {
	return &world{Dir: tempDir(t), URL: s.URL + "/fhir", Job: newWorldJob(), server: &s.mu}
}

// tempDir is a folder in memory where there is one: the tests sync often.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "pipeline-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newWorldJob() config.Job {
	return config.Job{
		Name: "nightly", Server: "fake",
		Export: config.Export{Mode: "bulk", Level: "system", Types: []string{"Patient", "Observation"}, Since: config.Since{Last: true}},
		Sinks:  []config.Sink{{Type: "ndjson", Compression: "none"}},
	}
}

// runner makes the runner of a process. The caller closes its ledger.
func (w *world) runner() (*Runner, error) {
	base, err := url.Parse(w.URL)
	if err != nil {
		return nil, err
	}
	l, err := ledger.Open(context.Background(), filepath.Join(w.Dir, "state"), nil)
	if err != nil {
		return nil, err
	}
	if len(w.Files) > 0 {
		return w.converter(l)
	}
	client, bare := &http.Client{Transport: bearer{&http.Transport{}}}, &http.Client{Transport: &http.Transport{}}
	formats := []sinks.Sink{&ndjson.Sink{Compression: ndjson.None}}
	for _, s := range w.Job.Sinks {
		if s.Type == "parquet" {
			formats = append(formats, &parquet.Sink{Workers: 1})
		}
	}
	r := &Runner{
		Job: w.Job, Server: config.Server{Name: "fake", URL: w.URL, Limits: config.Limits{Downloads: 3}},
		Bulk: &export.Client{
			Base: base, HTTP: client, Bare: bare, Fresh: &http.Client{Transport: bearer{export.OneShot(&http.Transport{})}},
			Limits: export.PollLimits{Min: time.Millisecond, Max: 10 * time.Millisecond}, Retries: 2,
		},
		Search: &search.Client{Base: base, HTTP: client, Count: max(w.Job.Export.Count, 10)},
		Sinks:  formats,
		Store:  &local.Store{Path: filepath.Join(w.Dir, "out")},
		Ledger: l,
		Spool:  &spool.Spool{Dir: filepath.Join(w.Dir, "spool"), MinFree: 1},
	}
	if w.heard != nil {
		r.Observe, r.Log, r.Bulk.Log = w.heard.event, w.heard.log(), w.heard.log()
	}
	return r, nil
}

// open is runner for a test's own process.
func (w *world) open(t *testing.T) *Runner {
	t.Helper()
	w.watch(t)
	r, err := w.runner()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Ledger.Close() })
	w.sync()
	return r
}

// run runs the job and wants it published.
func (w *world) run(t *testing.T, o Options) *Summary {
	t.Helper()
	r := w.open(t)
	sum, err := r.Run(t.Context(), o)
	w.sync()
	w.heard.end(sum, err)
	if err != nil {
		t.Fatalf("run: %v (%s)", err, hintOf(err))
	}
	if cerr := r.Ledger.Close(); cerr != nil {
		t.Fatal(cerr)
	}
	if sum.State != Published || sum.Manifest == nil {
		t.Fatalf("run ended %s", sum.State)
	}
	return sum
}

// fails runs the job and wants an error.
func (w *world) fails(t *testing.T, o Options) error {
	t.Helper()
	r := w.open(t)
	sum, err := r.Run(t.Context(), o)
	w.sync()
	w.heard.end(sum, err)
	if err == nil {
		t.Fatalf("run was %s, want an error", sum.State)
	}
	if sum.Error == "" {
		t.Errorf("the summary of a failed run has no error")
	}
	if cerr := r.Ledger.Close(); cerr != nil {
		t.Fatal(cerr)
	}
	return err
}

// latest reads the manifest of the latest snapshot; nil when there is none.
func (w *world) latest(t *testing.T) *sinks.Manifest {
	t.Helper()
	m, err := (&local.Store{Path: filepath.Join(w.Dir, "out")}).Latest(t.Context(), w.Job.Name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// lines returns the published lines of the latest snapshot below a folder,
// sorted.
func (w *world) lines(t *testing.T, folder string) []string {
	t.Helper()
	w.sync()
	m := w.latest(t)
	if m == nil {
		t.Fatal("nothing is published")
	}
	var lines []string
	for _, f := range m.Files {
		if !strings.HasPrefix(f.Path, folder+"/") || filepath.Ext(f.Path) == ".parquet" {
			continue
		}
		file, err := os.Open(filepath.Join(w.Dir, "out", w.Job.Name, "latest", f.Path))
		if err != nil {
			t.Fatal(err)
		}
		rows := int64(0)
		for s := bufio.NewScanner(file); s.Scan(); rows++ {
			lines = append(lines, s.Text())
		}
		_ = file.Close()
		if rows != f.Rows {
			t.Errorf("%s has %d lines, its manifest says %d", f.Path, rows, f.Rows)
		}
	}
	slices.Sort(lines)
	return lines
}

// want is the truth that the server's output comes to.
func (s *exportServer) want() []string {
	var lines []string
	for _, f := range s.output {
		lines = append(lines, f.lines...)
	}
	slices.Sort(lines)
	return lines
}

// publishedAll wants the latest snapshot to hold just what the server exported.
func (w *world) publishedAll(t *testing.T, s *exportServer) {
	t.Helper()
	if d := cmp.Diff(s.want(), w.lines(t, "ndjson")); d != "" {
		t.Errorf("published lines (-want +got):\n%s", d)
	}
}

// clean wants no staging, no landed files and no status URL to be left.
func (w *world) clean(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{"out/*/.staging-*", "out/*/.tmp-*", "spool/*"} {
		found, err := filepath.Glob(filepath.Join(w.Dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			t.Errorf("%s is left", path)
		}
	}
	l, err := ledger.Open(t.Context(), filepath.Join(w.Dir, "state"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	left, err := l.Unfinished(t.Context(), w.Job.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range left {
		t.Errorf("run %s is %s, its status URL known: %v", run.ID, run.State, run.StatusURL != "")
	}
}
