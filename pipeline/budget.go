package pipeline

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// budget is the memory that all open conversions of a run share (I8).
type budget struct {
	total int64
	free  *semaphore.Weighted
}

const (
	defaultMemory = 256 << 20
	minShare      = 8 << 20
)

// newBudget makes a budget of what is left of memory beside the landings.
func newBudget(memory int64) *budget {
	if memory <= 0 {
		memory = defaultMemory
	}
	total := max(memory/4*3, minShare)
	return &budget{total: total, free: semaphore.NewWeighted(total)}
}

// take waits for a share fit for input bytes of decoded NDJSON and returns its
// size; the caller gives it back. A small type gets little, so that others run
// beside it; none gets more than half, so that a large one is never alone.
func (b *budget) take(ctx context.Context, input int64) (int64, error) {
	share := min(max(input*2, minShare), max(b.total/2, minShare))
	share = min(share, b.total)
	if err := b.free.Acquire(ctx, share); err != nil {
		return 0, context.Cause(ctx)
	}
	return share, nil
}

func (b *budget) give(share int64) { b.free.Release(share) }
