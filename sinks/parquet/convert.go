package parquet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/flue-fhir/flue/internal/fhirjson"
	"github.com/flue-fhir/flue/sinks"
)

// convert runs the workers over the input and writes what they encode.
func (s *Sink) convert(ctx context.Context, in sinks.Input, dst sinks.Staging, l *layout) (out sinks.Output, err error) {
	doc, err := l.document(in.Type).encode()
	if err != nil {
		return out, fmt.Errorf("describe columns of %s: %w", in.Type, err)
	}
	w := &writer{
		dst:       dst,
		layout:    l,
		folder:    s.Name() + "/" + in.Type + "/",
		createdBy: "flue version " + s.Version,
		pairs:     s.describe(in, doc),
		target:    or(s.TargetSize, defaultTargetSize),
	}
	// What an earlier try left, killed before its end and cut otherwise, must not
	// stay behind the last file (I5).
	if err := dst.Remove(ctx, strings.TrimSuffix(w.folder, "/")); err != nil {
		return out, fmt.Errorf("remove %s: %w", w.folder, err)
	}
	defer func() {
		if err != nil {
			w.discard(ctx)
		}
	}()
	workers, err := s.run(ctx, in, l, w)
	if err != nil {
		return out, err
	}
	var rows, want int64
	for _, k := range workers {
		rows += k.rows
		out.Losses.Add(k.losses())
	}
	for _, p := range in.Parts {
		want += p.Lines()
	}
	if rows != want {
		// I3: what is published is what was counted.
		return out, fmt.Errorf("convert %s: %d rows for %d published lines", in.Type, rows, want)
	}
	if s.Unmapped == Fail && out.Losses.Unmapped > 0 {
		return out, &UnmappedError{Type: in.Type, Count: out.Losses.Unmapped}
	}
	if out.Files, err = w.finish(ctx); err != nil {
		return out, err
	}
	for _, f := range out.Files {
		rows -= f.Rows
	}
	if rows != 0 {
		return out, fmt.Errorf("convert %s: %d rows are not in the files", in.Type, rows)
	}
	file, err := writeFile(ctx, dst, w.folder+SchemaName, in.Type, doc)
	if err != nil {
		return out, err
	}
	out.Files = append(out.Files, file)
	if out.Schema, err = l.tree.MarshalText(); err != nil {
		return out, fmt.Errorf("keep columns of %s: %w", in.Type, err)
	}
	return out, nil
}

// run starts a feeder and the workers, and waits for them.
func (s *Sink) run(ctx context.Context, in sinks.Input, l *layout, w *writer) (_ []*worker, err error) {
	n, budget := s.workers(in)
	sorter, err := s.newSorter(in, budget/4)
	if err != nil {
		return nil, err
	}
	if sorter != nil {
		budget = budget / 4 * 3
		defer func() { err = errors.Join(err, sorter.close()) }()
	}
	f := &feeder{
		most:    max(budget/4, 1),
		free:    make(chan *block, (queueLength+2)*n),
		long:    make(chan struct{}, 1),
		size:    s.blockSize(),
		maxLine: or(s.MaxLine, defaultMaxLine),
		sorter:  sorter,
	}
	f.long <- struct{}{}
	t, err := s.newTeam(n, budget, in, l, w)
	if err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, k := range t.workers {
		queue := make(chan *block, queueLength)
		f.queues = append(f.queues, queue)
		k.feeder = f
		g.Go(func() error { return k.work(ctx, queue) })
	}
	g.Go(func() error { return f.feed(ctx, in.Parts) })
	return t.workers, g.Wait()
}

// newTeam makes n workers.
func (s *Sink) newTeam(n int, budget int64, in sinks.Input, l *layout, w *writer) (*team, error) {
	t := &team{
		group:  newRowGroup(l),
		writer: w,
		input:  or(s.RowGroup, defaultRowGroup),
		// The buffers of values are up to twice as large, and the garbage
		// collector lets the heap be twice what is alive.
		values: budget / 4,
	}
	t.last.Store(math.MaxInt64)
	t.open.Store(int64(n))
	for range n {
		c, err := newCompressor(s.Compression, s.Level)
		if err != nil {
			return nil, err
		}
		k := &worker{typ: in.Type, team: t, shredder: newShredder(l, t.group.pool)}
		k.walker.Use(l.tree.Columns())
		k.encoder = &encoder{layout: l, compressor: c, run: []byte(in.Run), pool: t.group.pool}
		t.group.parts = append(t.group.parts, k.shredder)
		t.workers = append(t.workers, k)
	}
	return t, nil
}

// queueLength is how many blocks wait for a worker.
const queueLength = 3

// worker shreds blocks of lines, and encodes columns of the row groups.
type worker struct {
	typ      string
	team     *team
	feeder   *feeder
	walker   fhirjson.Walker
	shredder *shredder
	encoder  *encoder
	input    int64 // bytes of the row group
	rows     int64 // of all row groups
}

// newSorter returns nil when the rows stay in the order of delivery.
func (s *Sink) newSorter(in sinks.Input, memory int64) (*sorter, error) {
	switch s.Sort {
	case "", Delivery:
		return nil, nil
	}
	keys, err := newKeyReader(in.Type)
	if keys == nil || err != nil {
		return nil, err
	}
	return &sorter{keys: keys, limit: memory, scratch: in.Scratch}, nil
}

var errOtherType = errors.New("resource of another type")

// work converts the blocks of the queue until it is closed, and helps with the
// row groups of the others until theirs are.
func (k *worker) work(ctx context.Context, queue <-chan *block) error {
	for open := true; ; {
		if open {
			var b *block
			select {
			case b, open = <-queue:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if !open {
				k.team.open.Add(-1)
			} else if last, err := k.shred(b); err != nil {
				return err
			} else if !last {
				continue
			}
		}
		over, err := k.team.finish(ctx, k)
		if err != nil || over {
			return err
		}
	}
}

// shred shreds a block, and reports whether the row group ends with it.
func (k *worker) shred(b *block) (last bool, err error) {
	if err := b.each(k.line); err != nil {
		return false, err
	}
	k.input += int64(len(b.data))
	round := b.round
	last = b.last
	k.feeder.put(b)
	return k.team.ends(k, round) || last, nil
}

// line shreds one line into a row.
func (k *worker) line(p place, line []byte) error {
	if int64(len(line)) > k.feeder.maxLine {
		return &LineError{Part: p.part, Offset: p.at, Err: errLongLine}
	}
	k.shredder.begin()
	found, err := k.walker.WalkType(line, k.typ, k.shredder)
	if err == nil && found.Type != k.typ {
		err = errOtherType
	}
	if err != nil {
		return &LineError{Part: p.part, Offset: p.at, Err: err}
	}
	k.shredder.end()
	k.rows++
	return nil
}

// losses is what the worker's rows hold otherwise than in their columns.
func (k *worker) losses() sinks.Losses {
	l := k.encoder.losses
	l.Unmapped += k.shredder.unmappedCount
	l.Contained += k.shredder.containedCount
	return l
}
