package pipeline

import (
	"context"
	"time"
)

// backoff is how long to wait before the attempt-th repetition (from 1): twice
// as long each time, at most limit, and with random in [0, 1) between half and
// all of it.
func backoff(attempt int, random float64, limit time.Duration) time.Duration {
	d := 500 * time.Millisecond
	for i := 1; i < attempt && d < limit; i++ {
		d *= 2
	}
	d = min(d, limit)
	return d/2 + time.Duration(random*float64(d/2))
}

// sleep waits, or returns why ctx ended.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
