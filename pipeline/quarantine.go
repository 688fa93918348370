package pipeline

import (
	"context"
	"fmt"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
)

// Landed counts the files of a run that lie in the spool.
type Landed struct{ Files, Of int }

// EachBad calls yield with each line that is to go to quarantine of what a run has
// landed: in the spool, before it is published or instead of it. It changes nothing,
// so the run may go on meanwhile.
func EachBad(ctx context.Context, l *ledger.Ledger, s *spool.Spool, run string, yield func(spool.BadLine) error) (Landed, error) {
	tasks, err := l.Tasks(ctx, run)
	if err != nil {
		return Landed{}, err
	}
	landed := Landed{Of: len(tasks)}
	from, err := s.Look(run)
	if from == nil || err != nil {
		return landed, err
	}
	var parts, deleted []*spool.Part
	for _, t := range inOrder(tasks) {
		p, err := from.Part(t.Key)
		if err != nil {
			return landed, err
		}
		if p == nil {
			continue
		}
		landed.Files++
		parts = append(parts, p)
		if t.Kind == kindDeleted {
			deleted = append(deleted, p)
		}
	}
	if err := spool.EachBad(ctx, parts, yield); err != nil {
		return landed, fmt.Errorf("list bad lines: %w", err)
	}
	for _, p := range deleted {
		if err := eachDeletion(ctx, p, func(l spool.ResourceLine) error { return yield(rejected(p, l)) }, func(export.Deletion) error { return nil }); err != nil {
			return landed, fmt.Errorf("list bad lines: %w", err)
		}
	}
	return landed, nil
}
