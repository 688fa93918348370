package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/export/search"
	"github.com/flue-fhir/flue/internal/fhirjson"
	"github.com/flue-fhir/flue/pipeline"
	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/ndjson"
	"github.com/flue-fhir/flue/sinks/parquet"
	"github.com/flue-fhir/flue/sinks/store/local"
)

// openLedger opens the ledger below the state folder, which is made, for its
// owner only, when it is missing (I7). The caller closes it.
func (a *app) openLedger(ctx context.Context, f *config.File) (*ledger.Ledger, error) {
	if err := os.MkdirAll(f.StateDir, 0o700); err != nil {
		return nil, &usageError{message: "make state folder", err: err, hint: "set state_dir, or use --state-dir"}
	}
	l, err := ledger.Open(ctx, f.StateDir, a.sys.Now)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return l, nil
}

// prepared is a job that is ready to run.
type prepared struct {
	runner *pipeline.Runner
	conn   *connection
}

// close ends the connections; the ledger is its opener's.
func (p *prepared) close() { p.conn.close() }

// prepare puts together what the runs of a job need. It asks the server nothing.
func (a *app) prepare(f *config.File, job config.Job, l *ledger.Ledger, log *slog.Logger) (*prepared, error) {
	patients, err := patientIDs(job.Export.Patients)
	if err != nil {
		return nil, err
	}
	job.Export.Patients = patients
	server := f.Servers[job.Server]
	conn, err := a.connect(f, server, planScopes(job), log)
	if err != nil {
		return nil, err
	}
	r := &pipeline.Runner{
		Job: job, Server: server,
		Bulk: &export.Client{
			Base: conn.base, HTTP: conn.authenticated, Bare: conn.bare, Fresh: conn.fresh,
			AllowHTTP: server.AllowHTTP,
			Limits:    export.PollLimits{Min: server.Limits.PollMin, Max: server.Limits.PollMax},
			Retries:   server.Limits.Retries, Idle: server.Limits.Stall, Log: log,
		},
		Store: &local.Store{
			Path:     job.Destination.Path,
			FileMode: fs.FileMode(job.Destination.FileMode), DirMode: fs.FileMode(job.Destination.DirMode),
			Group: job.Destination.Group, Now: a.sys.Now,
		},
		Elsewhere: func(path string) sinks.Store { return &local.Store{Path: path, Now: a.sys.Now} },
		Jobs:      slices.Sorted(maps.Keys(f.Jobs)),
		Ledger:    l,
		Spool: &spool.Spool{
			Dir: f.SpoolDir, MaxLine: job.Policies.MaxLine, MinFree: job.Policies.MinFreeDisk,
			Limits: columnLimits(job),
		},
		Log: log, Now: a.sys.Now, Version: version(),
	}
	if job.Export.Mode == "search" {
		r.Search = &search.Client{
			Base: conn.base, HTTP: conn.authenticated, AllowHTTP: server.AllowHTTP,
			Count: job.Export.Count, Retries: server.Limits.Retries, Idle: server.Limits.Stall, Log: log,
		}
	}
	if conn.auth != nil {
		r.Auth = conn.auth
	}
	for _, s := range job.Sinks {
		r.Sinks = append(r.Sinks, newSink(s, job.Policies))
	}
	return &prepared{runner: r, conn: conn}, nil
}

// newSink makes the sink that the configuration describes.
func newSink(s config.Sink, p config.Policies) sinks.Sink {
	if s.Type == "parquet" {
		return &parquet.Sink{
			Version: version(), Compression: s.Compression, Level: s.Level, Unmapped: s.Unmapped, Drift: s.Drift, Sort: s.Sort,
			TargetSize: s.TargetSize, RowGroup: s.RowGroup, MaxColumns: s.MaxColumns, MaxDepth: s.MaxDepth,
			MaxLine: p.MaxLine,
		}
	}
	return &ndjson.Sink{Compression: ndjson.Compression(s.Compression), Level: s.Level, TargetSize: s.TargetSize}
}

// columnLimits are those of the job's Parquet sink: the columns are found while
// a file lands.
func columnLimits(j config.Job) fhirjson.Limits {
	for _, s := range j.Sinks {
		if s.Type == "parquet" {
			return fhirjson.Limits{MaxColumns: s.MaxColumns, MaxDepth: s.MaxDepth}
		}
	}
	return fhirjson.Limits{}
}

// patientIDs replaces file:PATH among patient ids by the ids in that file, one a
// line. No error repeats an id (I7).
func patientIDs(refs []string) ([]string, error) {
	var ids []string
	for _, ref := range refs {
		path, ok := strings.CutPrefix(ref, "file:")
		if !ok {
			ids = append(ids, ref)
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, &usageError{message: "read patients", err: err, hint: "check the path under export.patients"}
		}
		before := len(ids)
		lines := bufio.NewScanner(bytes.NewReader(data))
		for n := 1; lines.Scan(); n++ {
			id := strings.TrimPrefix(strings.TrimSpace(lines.Text()), "Patient/")
			switch {
			case id == "" || strings.HasPrefix(id, "#"):
			case strings.ContainsAny(id, "/?&, \t\"") || len(id) > 256:
				return nil, &usageError{message: fmt.Sprintf("read patients: line %d of %s is not a patient's id", n, filepath.Base(path)), hint: "write one bare id a line"}
			default:
				ids = append(ids, id)
			}
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("read patients: %w", err)
		}
		if len(ids) == before {
			return nil, &usageError{message: "the file of patients is empty", hint: "an empty list would export everybody"}
		}
	}
	return ids, nil
}
