package pipeline

import (
	"context"
	"errors"

	"github.com/flue-fhir/flue/pipeline/spool"
)

// causeOf returns the change of a file in place of what came of it.
func causeOf(err error, parts []*spool.Part) error {
	for _, p := range parts {
		if changed := p.Unchanged(); changed != nil {
			return changed
		}
	}
	return err
}

// advice is for a job of a configuration, or for a conversion.
func (r *Runner) advice(job, conversion string) string {
	if r.Job.Export.Mode == modeFiles {
		return conversion
	}
	return job
}

// unreadable gives a file that is no NDJSON its class: reading it again does not
// mend it.
func unreadable(err error) error {
	var content *spool.ContentError
	if !errors.As(err, &content) {
		return err
	}
	return &Failure{
		Text:   "a file cannot be converted",
		Advice: "it must be NDJSON, plain or compressed by gzip, zstd or bzip2: mend the file, or leave it out",
		Kind:   classQuality, Err: err,
	}
}

// streamError is a stream that broke.
type streamError struct{ err error }

func (e *streamError) Error() string   { return e.err.Error() }
func (e *streamError) Unwrap() error   { return e.err }
func (e *streamError) Retryable() bool { return false }

// Hint says what to do.
func (e *streamError) Hint() string {
	if hint := hintOf(e.err); hint != "" {
		return hint
	}
	return "run the command again with the whole input"
}

// clear removes what a conversion leaves behind that failed for good: nobody
// will come back for it.
func (x *execution) clear(ctx context.Context) {
	if x.r.Job.Export.Mode != modeFiles {
		return
	}
	var err error
	if x.spool != nil {
		err = x.spool.Remove()
	}
	if x.stage != nil {
		err = errors.Join(err, x.stage.Discard(ctx))
	}
	if err != nil {
		x.r.log().Warn("clean up after a conversion", "run", x.run.ID, "error", err)
	}
}
