package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/pipeline/spool"
)

// judgeBad fails the run when it has more bad lines than the job allows, once
// everything has landed: only then is it known what a share is of (F40). rejected
// are lines of the deleted files that are no deletions, beside those quarantined.
func (x *execution) judgeBad(ctx context.Context, b *board, rejected int64) error {
	bad, delivered, parts := b.quality()
	if bad += rejected; x.r.Job.Policies.MaxBadLines.Allows(bad, delivered) {
		return nil
	}
	return x.tooManyBad(ctx, bad, delivered, parts)
}

// quality returns how many lines are bad of how many, and the parts that have them.
func (b *board) quality() (bad, delivered int64, parts []*spool.Part) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.tasks {
		if p := b.parts[t.Key]; p != nil {
			delivered += p.Info().Lines
			if p.Info().Quarantined > 0 {
				parts = append(parts, p)
			}
		}
	}
	return b.bad, delivered, parts
}

// tooManyBad is the failure of a run with more bad lines than it may have. delivered
// is negative as long as not everything has landed; one of the parts has a bad line.
func (x *execution) tooManyBad(ctx context.Context, bad, delivered int64, parts []*spool.Part) error {
	limit := x.r.Job.Policies.MaxBadLines.String()
	of := fmt.Sprintf("%d of %d", bad, delivered)
	if delivered < 0 {
		of = fmt.Sprintf("at least %d", bad)
	}
	long := slices.ContainsFunc(parts, func(p *spool.Part) bool {
		return slices.ContainsFunc(p.Info().Reasons, func(r spool.Reason) bool { return r.Text == spool.LongLine })
	})
	if x.r.Job.Export.Mode != modeFiles {
		advice := "flue quarantine " + x.id + " lists where they are; raise policies.max_bad_lines to publish the rest"
		if long {
			advice += ", policies.max_line to publish longer ones"
		}
		return &Failure{
			Text:   fmt.Sprintf("too many bad lines: %s, the job allows %s", of, limit),
			Advice: advice,
			Kind:   classQuality,
		}
	}
	where := ""
	for _, p := range parts {
		if line, ok, err := p.FirstBad(ctx); err == nil && ok {
			where = fmt.Sprintf(" (%s, at byte %d: %s)", line.Part, line.Offset, strings.ToValidUTF8(line.Reason, ""))
			break
		}
	}
	advice := "raise --max-bad-lines to publish the rest; the lines then lie in the snapshot's quarantine folder"
	if long {
		advice = "raise --max-line to publish longer ones, or " + advice[len("raise "):]
	}
	return &Failure{
		Text:   fmt.Sprintf("too many lines that are no resources: %s%s, %s are allowed", of, where, limit),
		Advice: advice,
		Kind:   classQuality,
	}
}
