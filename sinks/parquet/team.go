package parquet

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
)

// team is the workers of a conversion. Each shreds the blocks that it is dealt
// into cells of its own. Where a row group ends all meet, encode it together and
// go on. Where that is depends on the input and on the number of workers alone,
// not on who was faster.
type team struct {
	workers []*worker
	group   *rowGroup
	writer  *writer
	input   int64 // bytes of input that end a row group
	values  int64 // bytes of values that do (I8)

	last atomic.Int64 // the round with which the row group ends
	open atomic.Int64 // workers that may be dealt more
	gate gate

	// What the last one at the gate has found, for all: a worker that goes on
	// first changes what the others would see.
	rows uint32
	over bool // no worker is open
}

// lead is how many rounds a worker may be ahead of another: the feeder deals in
// turn, so it is what waits for a worker, what the worker has in hand and what
// the feeder is dealing.
const lead = queueLength + 2

// ends reports whether the row group ends with the block that the worker has
// just shredded. A worker that has its part of a row group says so, and the row
// group ends with a round that no worker can have behind it.
func (t *team) ends(k *worker, round int64) bool {
	n := int64(len(t.workers))
	if k.input >= t.input/n || k.shredder.bytes() >= t.values/n {
		last := round
		if n > 1 {
			last += lead
		}
		for {
			old := t.last.Load()
			if old <= last || t.last.CompareAndSwap(old, last) {
				break
			}
		}
	}
	return round >= t.last.Load()
}

// finish encodes and writes the row group, which all workers have come to. It
// reports whether that was the last one.
func (t *team) finish(ctx context.Context, k *worker) (over bool, err error) {
	err = t.gate.pass(ctx, len(t.workers), func() error {
		t.last.Store(math.MaxInt64)
		t.over = t.open.Load() == 0
		t.group.close()
		t.rows = t.group.rows()
		return nil
	})
	if err != nil {
		return false, err
	}
	over = t.over
	if t.rows > 0 {
		if err := k.encoder.encode(t.group); err != nil {
			return false, err
		}
		if err := t.gate.pass(ctx, len(t.workers), func() error { return t.write(ctx) }); err != nil {
			return false, err
		}
	}
	k.shredder.reset()
	k.encoder.reset()
	k.input = 0
	return over, nil
}

func (t *team) write(ctx context.Context) error {
	var chunks []chunk
	for _, k := range t.workers {
		chunks = append(chunks, k.encoder.chunks...)
	}
	return t.writer.append(ctx, int(t.rows), chunks)
}

// gate lets goroutines wait for one another.
type gate struct {
	mu   sync.Mutex
	here int
	next chan struct{} // closed when all have come
}

// pass returns when n goroutines have come; the last one does the work before.
// Where that fails the others are not let through: ctx ends for them.
func (g *gate) pass(ctx context.Context, n int, work func() error) error {
	g.mu.Lock()
	if g.next == nil {
		g.next = make(chan struct{})
	}
	next := g.next
	g.here++
	last := g.here == n
	if last {
		g.here, g.next = 0, nil
	}
	g.mu.Unlock()
	if last {
		if err := work(); err != nil {
			return err
		}
		close(next)
		return nil
	}
	select {
	case <-next:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
