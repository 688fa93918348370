package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/flue-fhir/flue/export/search"
	"github.com/flue-fhir/flue/pipeline/ledger"
)

// The classes of errors; each leads to an exit code. An error without a class
// may pass.
const (
	classAuth    = "auth"
	classServer  = "server"
	classQuality = "quality"
	classUsage   = "usage"
)

// Failure is an error that the pipeline itself finds: what happened, what a
// person can do, and which exit code it leads to. It holds no PHI (I7).
type Failure struct {
	Text   string
	Advice string
	Kind   string // class; "" when it may pass
	Err    error  // cause, may be nil
}

func (e *Failure) Error() string {
	if e.Err != nil {
		return e.Text + ": " + e.Err.Error()
	}
	return e.Text
}

// Unwrap returns the cause.
func (e *Failure) Unwrap() error { return e.Err }

// Hint says what a person can do.
func (e *Failure) Hint() string { return e.Advice }

// Class says which exit code the error leads to.
func (e *Failure) Class() string { return e.Kind }

// bug is a promise of this program that it finds broken just before it would
// have published: nothing is published then.
func bug(format string, args ...any) error {
	return &Failure{
		Text:   "the numbers do not add up, nothing is published: " + fmt.Sprintf(format, args...),
		Advice: "this is a defect of flue; report it with the output of flue show. The published snapshots are as they were.",
		Kind:   classQuality,
	}
}

// ErrCancelled is the cause of a run that a person cancelled.
var ErrCancelled = errors.New("run cancelled")

// errStalled is the cause of a request whose body brought next to nothing for
// too long.
var errStalled = errors.New("the server sent next to nothing for too long")

func classOf(err error) string {
	var c interface{ Class() string }
	if errors.As(err, &c) {
		return c.Class()
	}
	return ""
}

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// resumable reports whether a run that failed may be taken up again: for a reason
// that may pass, or one that a person mends while what the server has done for the
// run is worth keeping, a refused token or a variable that was not set.
// resume_within ends it in any case.
func resumable(run ledger.Run) bool {
	switch run.Class {
	case "", classAuth:
		return true
	case classUsage:
		return run.StatusURL != "" || run.Listed && !run.KickoffDate.IsZero()
	}
	return false
}

// retryable reports whether the step that failed may be tried again at once.
func retryable(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	var again *search.RestartError
	if errors.As(err, &again) {
		return true // whatever broke it, reading from the first page may mend it (F50)
	}
	var r interface{ Retryable() bool }
	if errors.As(err, &r) {
		return r.Retryable()
	}
	return classOf(err) == ""
}
