// Package verify checks a published snapshot offline: that it is what its
// manifest says, file by file and number by number, and, where asked, that its
// Parquet holds the same resources as its NDJSON.
//
// Nothing of a resource gets into a finding: they name files, types, columns
// and counts (I7). Memory is bounded, whatever the size of the snapshot, but
// for its longest line (I8).
package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/flue-fhir/flue/sinks"
)

// Options say what is checked and with what.
type Options struct {
	// Rebuild makes every resource from its Parquet row and compares it with its
	// NDJSON line.
	Rebuild bool
	// Workers is how many files are read at once; 0 means GOMAXPROCS.
	Workers int
	// Tell is called with each finding as soon as it is known, by one goroutine
	// at a time; may be nil.
	Tell func(Finding)

	most int // resources held in memory while differences are counted; 0 means mostHeld
}

// Report is what was found.
type Report struct {
	Dir      string // the snapshot's folder, without symbolic links
	Manifest *sinks.Manifest
	Findings []Finding
}

// OK reports whether nothing differs.
func (r *Report) OK() bool {
	for _, f := range r.Findings {
		if f.Status == Failed {
			return false
		}
	}
	return true
}

// Snapshot checks the snapshot in a folder. The error is for what keeps it from
// being checked; what differs is in the report. A folder that is no snapshot is
// a *NotSnapshotError.
func Snapshot(ctx context.Context, dir string, o Options) (*Report, error) {
	root, real, err := open(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	c := &checker{Options: o, root: root, report: &Report{Dir: real}}
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if err := c.manifest(dir); err != nil || c.report.Manifest == nil {
		return c.report, err
	}
	for _, check := range []func(context.Context) error{c.files, c.counts, c.attachments, c.columns, c.chain, c.rebuild} {
		if err := check(ctx); err != nil {
			return c.report, err
		}
	}
	return c.report, nil
}

// open opens a snapshot's folder and tells where it really is.
func open(dir string) (root *os.Root, real string, err error) {
	if real, err = filepath.EvalSymlinks(dir); err == nil {
		real, err = filepath.Abs(real)
	}
	if err == nil {
		root, err = os.OpenRoot(real)
	}
	if err != nil {
		return nil, "", &NotSnapshotError{Dir: dir, Err: err}
	}
	return root, real, nil
}

// checker checks one snapshot.
type checker struct {
	Options
	root   *os.Root
	report *Report
	seen   []*seen // beside the manifest's files
}

// seen is what was found of one file of the manifest.
type seen struct {
	sinks.File
	broken bool // not there, not readable or not what it was
	rows   int64
}

func (c *checker) tell(f Finding) {
	c.report.Findings = append(c.report.Findings, f)
	if c.Tell != nil {
		c.Tell(f)
	}
}

// manifestName is the file that makes a folder a snapshot.
const manifestName = "manifest.json"

// NotSnapshotError is a folder that is no snapshot, or one that this program
// cannot judge.
type NotSnapshotError struct {
	Dir  string
	Err  error
	hint string
}

func (e *NotSnapshotError) Error() string {
	err := e.Err
	// The path is in the message already.
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Sprintf("%s is no snapshot: %v", e.Dir, err)
}

func (e *NotSnapshotError) Unwrap() error { return e.Err }

// Class decides the exit code.
func (e *NotSnapshotError) Class() string { return "usage" }

// Hint says what to do.
func (e *NotSnapshotError) Hint() string {
	if e.hint != "" {
		return e.hint
	}
	return "name a folder with a manifest.json: DESTINATION/JOB/latest, or one below DESTINATION/JOB/snapshots"
}
