// Package pipeline runs one job: it plans, lands, converts and publishes, and
// keeps the promises I1 to I10 of docs/ARCHITECTURE.md while it does.
//
// The package speaks to a server through package export or export/search with
// clients that it is given, or reads the files of a conversion, which its caller
// opens; to formats and stores through package sinks, and to
// the person through an Observer. It reads no environment, no flags and no
// clock but the one in Runner.
package pipeline

import (
	"log/slog"
	"time"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/export/search"
	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
)

// Runner holds everything that the runs of one job need.
type Runner struct {
	Job    config.Job
	Server config.Server
	Bulk   *export.Client // exports for Mode bulk; in both modes it reads the CapabilityStatement
	Search *search.Client // for Mode search
	Inputs []Input        // for Mode files, a conversion: in the order of delivery
	Asked  []string       // for Mode files: the files and folders as a person named them, for the manifest
	Auth   Authorizer     // nil for servers without authentication
	Sinks  []sinks.Sink
	Store  sinks.Store
	// Elsewhere is the store of a destination that the job had before; nil leaves
	// what is there.
	Elsewhere func(path string) sinks.Store
	// Jobs are the names of all jobs of the configuration: runs of others are given
	// up when they are old. nil: they are not known.
	Jobs    []string
	Ledger  *ledger.Ledger
	Spool   *spool.Spool
	Observe func(Event) // called from several goroutines, never concurrently; it must not block; may be nil
	Log     *slog.Logger
	Now     func() time.Time // nil means time.Now
	Version string           // of the program, for the manifest

	probe func(step string) // tests stop the process here; nil otherwise
	piece int64             // tests cut files finer; 0 means pieceSize
}

// Options are the switches of one run.
type Options struct {
	Fresh   bool      // start anew even where a failed run could be resumed
	Full    bool      // ignore the watermarks: a new chain
	Trigger string    // manual | schedule
	Due     time.Time // when the schedule wanted it; zero by hand
	// AdHoc says that a person asks for something else than the job does, this once:
	// retention deletes nothing for it, since the job's own snapshots are no older
	// versions of what it publishes.
	AdHoc bool
	// Detach leaves the export running at the server once it is accepted: the next
	// run of the job fetches it (F24).
	Detach bool
	// Adopt takes over an export that something else started, instead of asking
	// for one; nil: none.
	Adopt *Adoption
}

// State is where a run stands; see package ledger for the transitions.
type State = ledger.State

// The states of a run.
const (
	Planned    = ledger.Planned
	Authorized = ledger.Authorized
	KickedOff  = ledger.KickedOff
	Exporting  = ledger.Exporting
	Landing    = ledger.Landing
	Converting = ledger.Converting
	Publishing = ledger.Publishing
	Published  = ledger.Published
	Failed     = ledger.Failed
	Cancelled  = ledger.Cancelled
	Abandoned  = ledger.Abandoned
)

// Event is something that happened in a run: what a terminal shows and a log
// line says. It holds no PHI and no secret (I6, I7).
type Event struct {
	Time time.Time
	Run  string
	Job  string
	// Kind is one of: state, poll, file, progress, type, attachments (they are
	// fetched from now on), warning, retry, resume, retention (it deleted a
	// snapshot).
	Kind  string
	State State
	Text  string // for people; X-Progress for poll, the message of a warning
	Code  string // of a warning
	Type  string // resource type, for file and type
	// Totals so far, on every event.
	Progress Progress
}

// Progress are the running totals of a run.
type Progress struct {
	FilesDone, Files int64
	Resources        int64
	BytesRead        int64 // body bytes from the server, as sent
	BytesTotal       int64 // 0 when unknown
	Percent          float64
	TypesDone, Types int
	// Converted are bytes of lines that sinks have read, of the types whose
	// conversion was begun; ToConvert is how many those have.
	Converted, ToConvert int64
	Attachments          int64 // fetched, filtered or failed
	Tokens               int64
	Retries              int64
}

// Summary is the result of a run: what `flue run` prints at its end.
type Summary struct {
	Run      string          `json:"run"`
	Job      string          `json:"job"`
	State    State           `json:"state"`
	Location string          `json:"location,omitempty"`
	Manifest *sinks.Manifest `json:"manifest,omitempty"`
	Resumed  bool            `json:"resumed"`
	Detached bool            `json:"detached,omitempty"` // the export runs at the server
	Deleted  []string        `json:"deleted,omitempty"`  // names of the snapshots that retention let go
	Error    string          `json:"error,omitempty"`
	Hint     string          `json:"hint,omitempty"`
}
