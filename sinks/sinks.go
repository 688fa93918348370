// Package sinks says what a sink and a store are, and holds the snapshot's
// manifest.
//
// A Sink turns the landed lines of one resource type into files of one format.
// A Store is where the files of a snapshot go: it makes a snapshot visible whole
// or not at all (I1). The concrete formats live in sinks/ndjson and
// sinks/parquet, the concrete stores below sinks/store; sinks/sinktest has the
// suites that every one of them passes.
package sinks

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/flue-fhir/flue/internal/fhirjson"
)

// Sink converts resources to files of one format. A Sink is used by several
// goroutines at once, each with another type.
type Sink interface {
	// Name is the format's name and the folder of its files within the snapshot:
	// "ndjson", "parquet".
	Name() string
	// Convert writes every published line of one type into files below
	// Name()/<type>/ of the staging. When it returns without error, the files are
	// closed, durable and described by the result; when it fails, whatever it
	// left is removed with the staging or overwritten by the next try.
	Convert(ctx context.Context, in Input, dst Staging) (Output, error)
}

// Input is all that a snapshot has of one type.
type Input struct {
	Type    string
	Run     string
	Parts   []Part         // in order of delivery
	Columns *fhirjson.Tree // what occurs in the parts; nil when nothing landed
	// Earlier holds the columns of the job's last snapshot for this type, as
	// kept by the sink in Output.Schema; nil when there is none. A published
	// column never vanishes.
	Earlier []byte
	// Budget is how many bytes of memory this conversion may use for buffers
	// (I8).
	Budget int64
	// Scratch makes a file for what does not fit the budget. nil means that there
	// is no place for any; a sink that cannot do without fails.
	Scratch func() (Scratch, error)
}

// Scratch is a local file without a name, readable by nobody else, that is gone
// when it is closed or the process ends. It belongs to one goroutine.
type Scratch interface {
	io.Writer
	io.ReaderAt
	io.Closer
}

// Part is a landed file, or the lines of one type in it.
type Part interface {
	// Open returns the part's lines as decoded NDJSON bytes; the caller closes
	// it. Lines of other types and lines that are not published are among them.
	Open() (io.ReadCloser, error)
	// Lines is how many lines of the type the part publishes, Bytes the length
	// of the decoded NDJSON.
	Lines() int64
	Bytes() int64
	// Skips yields, in rising order, the numbers (from 0, counting every line
	// that Open returns, blank ones too) of the lines that are not to be
	// published for the type: superseded, quarantined, of another type. It is
	// nil when every line is published.
	Skips() func(yield func(line int64) bool)
	// Raw returns the bytes as the server sent them and their content encoding
	// ("" or "gzip"), when each of their lines is published for the type;
	// otherwise ok is false.
	Raw() (open func() (io.ReadCloser, error), encoding string, ok bool)
}

// Output describes what a conversion wrote.
type Output struct {
	Files  []File
	Losses Losses
	Schema []byte // the sink's own column record for Input.Earlier of the next run; may be nil
}

// Staging is a snapshot in the making. Its methods may be called by several
// goroutines at once.
type Staging interface {
	// Create begins the file with the slash-separated path. The file appears
	// under its name only by Commit.
	Create(ctx context.Context, path string) (FileWriter, error)
	// Remove deletes a committed file, or every committed file below a folder;
	// a missing one is no error. A Sink calls it with its folder of the type
	// before it writes there: what an earlier try left must not be published.
	Remove(ctx context.Context, path string) error
	// Publish writes the manifest as the last file, makes the snapshot visible
	// under its final name and then moves latest to it (I1). The snapshot has the
	// files that the manifest lists, the contents that its attachment index names,
	// and no others, whatever an earlier try committed; one that is missing or of
	// another size is an ErrChanged. It returns where the snapshot lies, in a form
	// that a person can use. It is idempotent.
	Publish(ctx context.Context, m *Manifest) (location string, err error)
	// Discard removes the staging and everything in it.
	Discard(ctx context.Context) error
}

// ErrChanged says that a file of a staging is not what was committed: the disk or
// somebody changed it.
var ErrChanged = errors.New("a committed file was changed")

// FileWriter is a file of a staging that is being written.
type FileWriter interface {
	io.Writer
	// Commit makes the file durable under its name. SHA256 is of the bytes
	// written, in lower-case hex.
	Commit() (size int64, sha256 string, err error)
	// Abort drops the file. It does nothing after Commit.
	Abort() error
}

// Snapshot is a published snapshot in a list of them.
type Snapshot struct {
	Name      string
	Run       string
	Base      string // name of the snapshot at the beginning of its chain; empty for that one
	Published time.Time
	Latest    bool // latest points at it
	Whole     bool // it is a full one of everything, whenever that changed
}

// Locker is a Store that can keep the other processes out, which need not share
// anything else with this one.
type Locker interface {
	// Lock makes the caller the one process that publishes for the job, until the
	// closer is closed or the process ends (I10). It does not wait: an error with
	// the Class "held" tells who is. A place that cannot be locked is an
	// errors.ErrUnsupported.
	Lock(ctx context.Context, job string) (io.Closer, error)
}

// Store is where the snapshots of jobs go.
type Store interface {
	// Stage opens the staging of the run, with what an earlier try of the same
	// run committed there.
	Stage(ctx context.Context, job, run string) (Staging, error)
	// Discard removes the staging of a run that nobody goes on with; a missing one is
	// no error.
	Discard(ctx context.Context, job, run string) error
	// Latest is the manifest that latest points at; nil without error when the
	// job has published nothing yet.
	Latest(ctx context.Context, job string) (*Manifest, error)
	// Published finds the snapshot of a run: after a crash between publication
	// and the ledger's note of it, this is the truth. nil when there is none. A
	// snapshot that was made visible but that latest does not point at yet is
	// completed by calling Publish again.
	Published(ctx context.Context, job, run string) (*Manifest, error)
	// Open opens a file of a published snapshot, by the path that its manifest
	// gives; the caller closes it. One that is not there is an fs.ErrNotExist.
	Open(ctx context.Context, job, name, path string) (io.ReadCloser, error)
	// Sweep removes stagings of the job other than that of the run to keep, and
	// what a crash left of deleted snapshots.
	Sweep(ctx context.Context, job, keepRun string) error
	// Snapshot is the manifest of a published snapshot of the job; nil without
	// error when there is none of that name.
	Snapshot(ctx context.Context, job, name string) (*Manifest, error)
	// Snapshots lists the published snapshots of the job, the oldest first.
	Snapshots(ctx context.Context, job string) ([]Snapshot, error)
	// Delete removes a published snapshot for good. It vanishes whole, by one
	// rename, before anything in it is removed: no reader finds half of it (I1).
	// What a crash leaves of it is removed by Sweep. The one that latest points at
	// is refused; a missing one is no error.
	Delete(ctx context.Context, job, name string) error
	// Check proves that the destination can be written, by writing and removing
	// a probe.
	Check(ctx context.Context, job string) error
}
