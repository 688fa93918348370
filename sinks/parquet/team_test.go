package parquet

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
)

// TestLead: while a worker has a block in hand, no other comes to the round with
// which it may end the row group, so all end it with that one.
func TestLead(t *testing.T) {
	for slow := range 3 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f := &feeder{}
			for range 3 {
				f.queues = append(f.queues, make(chan *block, queueLength))
			}
			go func() {
				for f.deal(ctx, &block{}) == nil {
				}
			}()
			hand := <-f.queues[slow]
			rounds := make([]int64, len(f.queues))
			for i, q := range f.queues {
				if i == slow {
					continue
				}
				go func() {
					for {
						select {
						case b := <-q:
							rounds[i] = b.round
						case <-ctx.Done():
							return
						}
					}
				}()
			}
			synctest.Wait()
			if most := slices.Max(rounds); most >= hand.round+lead {
				t.Errorf("worker %d has round %d in hand, another round %d", slow, hand.round, most)
			}
		})
	}
}
