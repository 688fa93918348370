package parquet

import (
	"context"
	"errors"
	"fmt"
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
	n, share := s.workers(in)
	sorter, err := s.newSorter(in, int64(n)*share/4)
	if err != nil {
		return nil, err
	}
	if sorter != nil {
		share = share / 4 * 3
		defer func() { err = errors.Join(err, sorter.close()) }()
	}
	g, ctx := errgroup.WithContext(ctx)
	f := &feeder{
		free:    make(chan *block, (queueLength+2)*n),
		long:    make(chan struct{}, 1),
		size:    s.blockSize(),
		maxLine: or(s.MaxLine, defaultMaxLine),
		epoch:   int64(n) * min(or(s.RowGroup, defaultRowGroup), share),
		sorter:  sorter,
	}
	f.long <- struct{}{}
	workers := make([]*worker, n)
	turns := make([]chan struct{}, n)
	for i := range workers {
		k, err := s.newWorker(in, l, share)
		if err != nil {
			return nil, err
		}
		workers[i] = k
		turns[i] = make(chan struct{}, 1)
		f.queues = append(f.queues, make(chan *block, queueLength))
	}
	turns[0] <- struct{}{}
	for i, k := range workers {
		k.writer, k.feeder = w, f
		k.turn, k.next = turns[i], turns[(i+1)%n]
		g.Go(func() error { return k.work(ctx, f.queues[i]) })
	}
	g.Go(func() error { return f.feed(ctx, in.Parts) })
	return workers, g.Wait()
}

// queueLength is how many blocks wait for a worker.
const queueLength = 3

// worker converts blocks of lines to row groups.
type worker struct {
	typ      string
	walker   fhirjson.Walker
	shredder *shredder
	encoder  *encoder
	share    int64 // bytes of memory that the buffers may have
	rows     int64

	feeder *feeder
	writer *writer
	groups []*rowGroup // encoded before the turn came, because memory ran short
	turn   <-chan struct{}
	next   chan<- struct{}
}

func (s *Sink) newWorker(in sinks.Input, l *layout, share int64) (*worker, error) {
	c, err := newCompressor(s.Compression, s.Level)
	if err != nil {
		return nil, err
	}
	k := &worker{typ: in.Type, shredder: newShredder(l), share: share}
	k.walker.Use(l.tree.Columns())
	k.encoder = &encoder{layout: l, shredder: k.shredder, compressor: c, run: []byte(in.Run)}
	return k, nil
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

// work converts the blocks of the queue until it is closed.
func (k *worker) work(ctx context.Context, queue <-chan *block) error {
	for {
		var b *block
		var open bool
		select {
		case b, open = <-queue:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !open {
			return nil
		}
		if b.flush {
			if err := k.flush(ctx); err != nil {
				return err
			}
			continue
		}
		if err := b.each(k.line); err != nil {
			return err
		}
		if k.shredder.bytes() > k.share/4 {
			// I8: the values have reached their part of the share before the
			// row group has its size. Buffers are up to twice as large, and the
			// garbage collector lets the heap be twice what is alive.
			g, err := k.encoder.encode()
			if err != nil {
				return fmt.Errorf("encode %s: %w", k.typ, err)
			}
			k.groups = append(k.groups, g.clone())
			g.reset()
		}
		k.feeder.put(b)
	}
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

// flush encodes the row group and writes it when it is the worker's turn: the
// order of row groups is that of the workers.
func (k *worker) flush(ctx context.Context) error {
	if k.shredder.rows() > 0 {
		g, err := k.encoder.encode()
		if err != nil {
			return fmt.Errorf("encode %s: %w", k.typ, err)
		}
		k.groups = append(k.groups, g)
	}
	select {
	case <-k.turn:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for _, g := range k.groups {
		if err := k.writer.append(ctx, g); err != nil {
			return err
		}
		g.reset()
	}
	clear(k.groups)
	k.groups = k.groups[:0]
	k.next <- struct{}{}
	return nil
}

// losses is what the worker's rows hold otherwise than in their columns.
func (k *worker) losses() sinks.Losses {
	l := k.encoder.losses
	l.Unmapped += k.shredder.unmappedCount
	l.Contained += k.shredder.containedCount
	return l
}
