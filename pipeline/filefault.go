package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"

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

// tooManyBad is the failure of a run with more bad lines than it may have; p is
// the part that has the last of them.
func (x *execution) tooManyBad(ctx context.Context, bad int64, p *spool.Part) error {
	limit := x.r.Job.Policies.MaxBadLines
	if x.r.Job.Export.Mode != modeFiles {
		return &Failure{
			Text:   fmt.Sprintf("%d lines are not resources, the job allows %d", bad, limit),
			Advice: "raise policies.max_bad_lines to publish the rest; the lines then lie in the snapshot's quarantine folder",
			Kind:   classQuality,
		}
	}
	where := ""
	if line, ok, err := p.FirstBad(ctx); err == nil && ok {
		where = fmt.Sprintf(" (%s, at byte %d: %s)", line.Part, line.Offset, strings.ToValidUTF8(line.Reason, ""))
	}
	return &Failure{
		Text:   fmt.Sprintf("at least %d lines are not resources%s, %d are allowed", bad, where, limit),
		Advice: "raise --max-bad-lines to publish the rest; the lines then lie in the snapshot's quarantine folder",
		Kind:   classQuality,
	}
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
		Advice: "it must be NDJSON, plain or compressed by gzip or zstd: mend the file, or leave it out",
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
