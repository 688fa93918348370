package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/parquet"
)

// F15: a complete 429 or 503 lets another kick-off go out, anything else does
// not.
func TestF15BusyServer(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	s.refuse = []int{http.StatusTooManyRequests, http.StatusServiceUnavailable}
	w := newWorld(t, s)
	w.run(t, Options{})
	w.publishedAll(t, s)
	if s.kickoffs != 1 || len(s.asked) != 3 {
		t.Errorf("%d accepted of %d asked, want 1 of 3", s.kickoffs, len(s.asked))
	}

	s = newExportServer(t)
	s.refuse = []int{http.StatusBadRequest}
	w = newWorld(t, s)
	if err := w.fails(t, Options{}); classOf(err) != classServer || len(s.asked) != 1 {
		t.Errorf("%v of class %q after %d kick-offs, want class server after 1", err, classOf(err), len(s.asked))
	}
}

// F22: a lost export is asked for again, or is the end, by the policy.
func TestF22LostExport(t *testing.T) {
	t.Run("restart", func(t *testing.T) {
		s := newExportServer(t)
		s.population(2, 2, "Patient", "Observation")
		s.polls, s.lose = 1, 1
		w := newWorld(t, s)
		m := w.run(t, Options{}).Manifest
		w.publishedAll(t, s)
		w.clean(t)
		if s.kickoffs != 2 || !warned(m, "export-lost") {
			t.Errorf("%d kick-offs, warnings %v; want 2 and a warning", s.kickoffs, m.Warnings)
		}
	})
	t.Run("for ever", func(t *testing.T) {
		s := newExportServer(t)
		s.polls, s.lose = 1, 100
		w := newWorld(t, s)
		if err := w.fails(t, Options{}); classOf(err) != classServer || s.kickoffs != maxRestarts+1 {
			t.Errorf("%v of class %q after %d kick-offs, want %d", err, classOf(err), s.kickoffs, maxRestarts+1)
		}
	})
	t.Run("fail", func(t *testing.T) {
		s := newExportServer(t)
		s.lose = 1
		w := newWorld(t, s)
		w.Job.Policies.OnExportLost = "fail"
		if err := w.fails(t, Options{}); classOf(err) != classServer || s.kickoffs != 1 {
			t.Errorf("%v of class %q after %d kick-offs", err, classOf(err), s.kickoffs)
		}
	})
	// The links have expired and the export is gone, after some files have
	// landed: the new export's files are not mixed with the old one's.
	t.Run("while landing", func(t *testing.T) {
		s := newExportServer(t)
		s.population(3, 2, "Patient", "Observation")
		s.expire[2] = 1
		w := newWorld(t, s)
		r := w.open(t)
		var once sync.Once
		r.probe = func(step string) {
			if step == "landed" {
				once.Do(func() {
					s.mu.Lock()
					defer s.mu.Unlock()
					s.lose = 1
				})
			}
		}
		if _, err := r.Run(t.Context(), Options{}); err != nil {
			t.Fatal(err)
		}
		w.publishedAll(t, s)
		w.clean(t)
	})
}

// P35: expired links are renewed once for all, and the files are those of
// before, whatever their new URLs are.
func TestP35ExpiredLinks(t *testing.T) {
	for _, tt := range []struct{ fresh, rename bool }{{}, {true, false}, {true, true}} {
		t.Run(fmt.Sprintf("%+v", tt), func(t *testing.T) {
			s := newExportServer(t)
			s.population(4, 5, "Patient", "Observation")
			s.fresh, s.rename = tt.fresh, tt.rename
			s.expire[1], s.expire[6] = 1, 1
			w := newWorld(t, s)
			w.run(t, Options{})
			w.publishedAll(t, s)
			if s.manifests < 2 || s.manifests > 3 {
				t.Errorf("the manifest was fetched %d times", s.manifests)
			}
			if s.kickoffs != 1 {
				t.Errorf("%d kick-offs, want 1", s.kickoffs)
			}
		})
	}
}

// P35: a server that gives other paths in another order at every manifest: the
// files cannot be told apart, so nothing is published.
func TestP35ShuffledFilesAreNotPublished(t *testing.T) {
	s := newExportServer(t)
	s.population(4, 5, "Patient")
	s.rename, s.shuffle = true, true
	s.expire[2] = 1 // the links are renewed while some files have landed
	w := newWorld(t, s)
	w.Job.Export.Types = []string{"Patient"}
	w.Job.Policies.OnServerErrors = "fail"
	r := w.open(t)
	r.Server.Limits.Downloads = 1
	_, err := r.Run(t.Context(), Options{})
	var moved *movedError
	if !errors.As(err, &moved) || w.latest(t) != nil {
		t.Errorf("run = %v, published %v; want *movedError and nothing", err, w.latest(t) != nil)
	}
}

// F34: a broken body goes on at its byte.
func TestF34BrokenBodies(t *testing.T) {
	for _, gz := range []bool{false, true} {
		s := newExportServer(t)
		s.population(2, 2000, "Patient", "Observation")
		for i := range s.output {
			s.output[i].gzip = gz
			s.cut[s.output[i].name] = 1
		}
		w := newWorld(t, s)
		m := w.run(t, Options{}).Manifest
		w.publishedAll(t, s)
		if m.Stats.Retries < 4 {
			t.Errorf("%d retries, want at least one for each file", m.Stats.Retries)
		}
		for name, n := range s.opened {
			if n != 2 {
				t.Errorf("%s was opened %d times, want 2", name, n)
			}
		}
	}
}

func TestServerFaultsAreRetriedWithinBounds(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	s.bad = 1000
	w := newWorld(t, s)
	r := w.open(t)
	r.Server.Limits.Retries = 1
	_, err := r.Run(t.Context(), Options{})
	if err == nil || classOf(err) != "" {
		t.Fatalf("run = %v of class %q, want one that may pass", err, classOf(err))
	}
	if err := r.Ledger.Close(); err != nil {
		t.Fatal(err)
	}
	// The same run goes on when the server is well again.
	s.mu.Lock()
	s.bad = 0
	s.mu.Unlock()
	sum := w.run(t, Options{})
	w.publishedAll(t, s)
	w.clean(t)
	if !sum.Resumed || s.kickoffs != 1 || sum.Manifest.Stats.Resumed != 1 {
		t.Errorf("resumed %v by %d kick-offs, counted %d", sum.Resumed, s.kickoffs, sum.Manifest.Stats.Resumed)
	}
}

func TestPolicies(t *testing.T) {
	outcome := func(severity string) string {
		return fmt.Sprintf(`{"resourceType":"OperationOutcome","issue":[{"severity":%q,"code":"processing"}]}`, severity)
	}
	tests := []struct {
		name   string
		server func(*exportServer)
		job    func(*config.Job)
		class  string // "": published
		check  func(*testing.T, *sinks.Manifest)
	}{
		{"F26: an empty full run fails", func(s *exportServer) {}, nil, classQuality, nil},
		{"F26: unless it may", func(s *exportServer) {}, func(j *config.Job) { j.Policies.AllowEmpty = true }, "", func(t *testing.T, m *sinks.Manifest) {
			if len(m.Types) != 2 || m.Types[0].Reason != "none" || len(m.Watermarks) != 2 {
				t.Errorf("types %+v, watermarks %v", m.Types, m.Watermarks)
			}
		}},
		{"errors of the server fail", func(s *exportServer) {
			s.population(1, 2, "Patient")
			s.errors = []exportFile{{typ: "OperationOutcome", name: "e", lines: []string{outcome("error")}}}
		}, nil, classQuality, nil},
		{"I2: errors of the server hold the watermark", func(s *exportServer) {
			s.population(1, 2, "Patient", "Observation")
			s.errors = []exportFile{{typ: "OperationOutcome", name: "e", lines: []string{outcome("error")}}}
		}, func(j *config.Job) { j.Policies.OnServerErrors = "warn" }, "", func(t *testing.T, m *sinks.Manifest) {
			if len(m.Watermarks) != 0 || !warned(m, "server-errors") || fileRows(m, "outcomes/") != 1 {
				t.Errorf("watermarks %v, warnings %v, files %v", m.Watermarks, m.Warnings, m.Files)
			}
		}},
		{"warnings of the server do not", func(s *exportServer) {
			s.population(1, 2, "Patient", "Observation")
			s.errors = []exportFile{{typ: "OperationOutcome", name: "e", lines: []string{outcome("warning")}}}
		}, nil, "", func(t *testing.T, m *sinks.Manifest) {
			if len(m.Watermarks) != 2 {
				t.Errorf("watermarks %v", m.Watermarks)
			}
		}},
		{"F40: a bad line fails", func(s *exportServer) {
			s.population(1, 2, "Patient")
			s.output[0].lines = append(s.output[0].lines, `{"resourceType":"Patient",`)
		}, nil, classQuality, nil},
		{"F40: within bounds it is quarantined", func(s *exportServer) {
			s.population(1, 2, "Patient")
			s.output[0].lines = append(s.output[0].lines, `{"resourceType":"Patient",`)
		}, func(j *config.Job) { j.Policies.MaxBadLines.Lines = 1 }, "", func(t *testing.T, m *sinks.Manifest) {
			if fileRows(m, "quarantine/") != 1 || fileRows(m, "ndjson/") != 2 || m.Types[1].Quarantined != 1 {
				t.Errorf("files %v, types %+v", m.Files, m.Types)
			}
		}},
		{"F37: another count fails", func(s *exportServer) {
			s.population(1, 2, "Patient")
			s.output[0].count = 5
		}, nil, classQuality, nil},
		{"F37: or holds the watermark", func(s *exportServer) {
			s.population(1, 2, "Patient", "Observation")
			s.output[0].count = 5
		}, func(j *config.Job) { j.Policies.OnCountMismatch = "warn" }, "", func(t *testing.T, m *sinks.Manifest) {
			if _, ok := m.Watermarks["Patient"]; ok || len(m.Watermarks) != 1 || !warned(m, "count-mismatch") {
				t.Errorf("watermarks %v, warnings %v", m.Watermarks, m.Warnings)
			}
		}},
		{"FHIR R5 is refused", func(s *exportServer) { s.version = "5.0.0" }, nil, classUsage, nil},
		{"FHIR R5 where any will do", func(s *exportServer) {
			s.version = "5.0.0"
			s.population(1, 1, "Patient")
		}, func(j *config.Job) { j.Policies.FHIRVersions = "any" }, "", func(t *testing.T, m *sinks.Manifest) {
			if m.Server.FHIRVersion != "5.0.0" {
				t.Errorf("server %+v", m.Server)
			}
		}},
		{"F29, F30: types are those of the lines", func(s *exportServer) {
			s.output = []exportFile{
				{typ: "", name: "a", lines: []string{resource("Observation", 1, "en"), resource("Patient", 1, "en")}, count: -1},
				{typ: "Patient", name: "b", lines: []string{resource("Observation", 2, "en"), resource("Patient", 2, "en")}},
			}
		}, nil, "", func(t *testing.T, m *sinks.Manifest) {
			if fileRows(m, "ndjson/Patient/") != 2 || fileRows(m, "ndjson/Observation/") != 2 {
				t.Errorf("files %v", m.Files)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newExportServer(t)
			tt.server(s)
			w := newWorld(t, s)
			if tt.job != nil {
				tt.job(&w.Job)
			}
			if tt.class != "" {
				err := w.fails(t, Options{})
				if classOf(err) != tt.class || hintOf(err) == "" {
					t.Errorf("run = %v of class %q with hint %q, want class %s", err, classOf(err), hintOf(err), tt.class)
				}
				if w.latest(t) != nil {
					t.Error("something is published")
				}
				return
			}
			tt.check(t, w.run(t, Options{}).Manifest)
		})
	}
}

// A file that turns out to hold lines of a type whose conversion was over: the
// type is converted again, and every line is published once.
func TestF30LateLinesOfAConvertedType(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 3, "Patient", "Observation")
	s.output = append(s.output, exportFile{typ: "Device", name: "late", lines: []string{resource("Patient", 77, "en"), resource("Device", 1, "en")}})
	w := newWorld(t, s)
	w.Job.Export.Types = append(w.Job.Export.Types, "Device")
	s.block = make(chan struct{})
	r := w.open(t)
	r.Server.Limits.Downloads = 1
	release := make(chan struct{})
	var again atomic.Bool
	r.probe = func(step string) {
		if step == "conversion forgotten" {
			again.Store(true)
		}
		if step == "conversion recorded" {
			select {
			case <-release:
			default:
				close(release)
			}
		}
	}
	close(s.block)
	// The late file waits until the first conversion is recorded.
	inner := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/late") {
			<-release
			time.Sleep(50 * time.Millisecond)
		}
		inner.ServeHTTP(rw, req)
	})
	if _, err := r.Run(t.Context(), Options{}); err != nil {
		t.Fatal(err)
	}
	w.publishedAll(t, s)
	if !again.Load() {
		t.Error("no type was converted again: the late lines were not late")
	}
}

// F29: a type that R4 does not have is published by the sinks that can hold it.
func TestF29UnknownType(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient")
	s.output = append(s.output, exportFile{typ: "Hologram", name: "h", lines: []string{resource("Hologram", 1, "en")}})
	w := newWorld(t, s)
	r := w.open(t)
	r.Sinks = append(r.Sinks, &parquet.Sink{})
	sum, err := r.Run(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := sum.Manifest
	if fileRows(m, "ndjson/Hologram/") != 1 || fileRows(m, "parquet/Hologram/") != 0 || fileRows(m, "parquet/Patient/") != 2 || !warned(m, "type-not-in-format") {
		t.Errorf("files %v, warnings %v", m.Files, m.Warnings)
	}
	// A requested type without rows has its table all the same.
	if !slices.ContainsFunc(m.Files, func(f sinks.File) bool { return f.Path == "parquet/Observation/part-00000.parquet" && f.Rows == 0 }) {
		t.Errorf("no table of Observation: %v", m.Files)
	}
	if m.Schemas["parquet"]["Patient"] == "" {
		t.Error("the columns of Patient are not kept")
	}
	// With Parquet alone the line has no place, and nothing is published.
	r.Sinks = r.Sinks[1:]
	if _, err := r.Run(t.Context(), Options{Fresh: true}); classOf(err) != classQuality || hintOf(err) == "" {
		t.Errorf("run = %v of class %q, want quality", err, classOf(err))
	}
}

// Somebody removes a staged file while the run is down: what has landed is
// converted again.
func TestStagingLostAFile(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	w := newWorld(t, s)
	w.interrupted(t, Options{}, "state converting")
	w.interrupted(t, Options{}, "extras recorded")
	staged, err := filepath.Glob(filepath.Join(w.Dir, "out/nightly/.staging-*/ndjson/Patient/*"))
	if err != nil || len(staged) != 1 {
		t.Fatalf("staged files: %v, %v", staged, err)
	}
	must(t, os.Remove(staged[0]))
	if err := w.fails(t, Options{}); classOf(err) != "" || w.latest(t) != nil {
		t.Errorf("run = %v of class %q, want one that may pass", err, classOf(err))
	}
	w.run(t, Options{})
	w.publishedAll(t, s)
	w.clean(t)
	if s.kickoffs != 1 {
		t.Errorf("%d kick-offs, want 1", s.kickoffs)
	}
}

func TestI7NothingSecretInTheLedger(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient")
	s.fresh = true
	w := newWorld(t, s)
	w.Job.Export.Types = []string{"Patient"}
	w.run(t, Options{})
	l, err := ledger.Open(t.Context(), w.Dir+"/state", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	runs, err := l.Runs(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := l.Tasks(t.Context(), runs[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%+v %+v", runs, tasks)
	for _, secret := range []string{"s3cr3t", "sig=", "patient-0"} {
		if strings.Contains(text, secret) {
			t.Errorf("the ledger holds %q: %s", secret, text)
		}
	}
	if tasks[0].State != ledger.TaskDone || runs[0].Location == "" || runs[0].Snapshot == "" {
		t.Errorf("after publication: task %s, location %q", tasks[0].State, runs[0].Location)
	}
}

// The run stops as failed when ctx ends, whatever it does, and goes on later.
func TestInterruptedAtEveryStepIsResumed(t *testing.T) {
	for _, step := range []string{"state planned", "state authorized", "state kicked_off", "polled", "state landing", "landed", "selected", "converted", "state converting", "state publishing"} {
		t.Run(step, func(t *testing.T) {
			s := newExportServer(t)
			s.population(2, 3, "Patient", "Observation")
			s.polls = 1
			w := newWorld(t, s)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			stop := errors.New("interrupted")
			r := w.open(t)
			r.probe = func(at string) {
				if at == step {
					cancel(stop)
				}
			}
			sum, err := r.Run(ctx, Options{})
			if !errors.Is(err, stop) || sum.State != Failed || classOf(err) != "" {
				t.Fatalf("run = %s, %v; want failed because interrupted", sum.State, err)
			}
			if err := r.Ledger.Close(); err != nil {
				t.Fatal(err)
			}
			sum = w.run(t, Options{})
			w.publishedAll(t, s)
			w.clean(t)
			if !sum.Resumed || s.kickoffs != 1 {
				t.Errorf("resumed %v, %d kick-offs", sum.Resumed, s.kickoffs)
			}
		})
	}
}

func warned(m *sinks.Manifest, code string) bool {
	for _, w := range m.Warnings {
		if w.Code == code {
			return true
		}
	}
	return false
}

func fileRows(m *sinks.Manifest, folder string) (rows int64) {
	for _, f := range m.Files {
		if strings.HasPrefix(f.Path, folder) {
			rows += f.Rows
		}
	}
	return rows
}
