package parquet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/flue-fhir/flue/sinks"
)

// blockSize is how many bytes of lines are handed to a worker at once. A longer
// line makes a longer block.
const blockSize = 256 << 10

// block is a stretch of whole lines of one part.
type block struct {
	data   []byte
	place          // of the first byte
	line   int64   // number of the first line, kept where lines are skipped
	skips  []int64 // numbers of the lines that are not published, rising
	places []place // of the lines, where they do not follow one another
	round  int64   // how often each worker was dealt a block before
	last   bool    // the row group ends with it
	long   bool    // it has the feeder's token
}

// place is where a line begins.
type place struct {
	part int
	at   int64 // bytes from the part's first
}

var (
	errLongLine = errors.New("line is too long")
	bom         = []byte("\xef\xbb\xbf")
)

// feeder reads the parts and deals their lines out to the workers in turn.
type feeder struct {
	queues  []chan *block // one a worker; closed at the end
	free    chan *block   // blocks to use again
	long    chan struct{} // holds the token of the one block that may be longer than size (I8)
	size    int           // bytes of a block
	maxLine int64
	most    int64 // bytes of long blocks that end a row group
	turn    int
	round   int64
	lengths int64   // bytes of long blocks since they last did
	sorter  *sorter // nil when lines stay in the order of delivery
}

// feed deals out all parts. It returns at the first error or when ctx ends.
func (f *feeder) feed(ctx context.Context, parts []sinks.Part) error {
	defer func() {
		for _, q := range f.queues {
			close(q)
		}
	}()
	for i, p := range parts {
		if p.Lines() == 0 {
			continue
		}
		if err := f.part(ctx, i, p); err != nil {
			return fmt.Errorf("read part %d: %w", i, err)
		}
	}
	if f.sorter != nil {
		if err := f.sorted(ctx); err != nil {
			return fmt.Errorf("sort: %w", err)
		}
	}
	return nil
}

// sorted deals out the lines that the sorter has.
func (f *feeder) sorted(ctx context.Context) error {
	b := f.get()
	if err := f.sorter.each(func(p place, line []byte) error {
		if len(b.data) > 0 && len(b.data)+len(line) >= f.size {
			if err := f.send(ctx, b); err != nil {
				return err
			}
			b = f.get()
		}
		if len(line) >= f.size {
			if err := f.lengthen(ctx, b); err != nil {
				return err
			}
		}
		b.places = append(b.places, p)
		b.data = append(append(b.data, line...), '\n')
		return nil
	}); err != nil {
		return err
	}
	return f.send(ctx, b)
}

func (f *feeder) part(ctx context.Context, number int, p sinks.Part) error {
	r, err := p.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	next := func() (int64, bool) { return 0, false }
	if skips := p.Skips(); skips != nil {
		pull, stop := iter.Pull(iter.Seq[int64](skips))
		defer stop()
		next = pull
	}
	skip, more := next()
	var at, line int64
	carry := f.get()
	for {
		b := carry
		b.place, b.line = place{number, at}, line
		rest, err := f.fill(ctx, r, b)
		if err != nil && err != io.EOF {
			return err
		}
		if err == nil {
			carry = f.get()
			carry.data = append(carry.data, rest...)
		}
		at += int64(len(b.data))
		if more {
			line += int64(bytes.Count(b.data, []byte{'\n'}))
			if err == io.EOF {
				line++
			}
		}
		for more && skip < line {
			b.skips = append(b.skips, skip)
			skip, more = next()
		}
		if len(b.data) > 0 {
			if e := f.take(ctx, b); e != nil {
				return e
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// fill reads into the block up to its size, and further where a line is longer.
// It returns what is read of a line that is not whole; at the end of the input
// the last line is whole.
func (f *feeder) fill(ctx context.Context, r io.Reader, b *block) (rest []byte, err error) {
	seen := 0 // bytes without a line end
	for {
		if len(b.data) == cap(b.data) {
			if err := f.lengthen(ctx, b); err != nil {
				return nil, err
			}
			grown := make([]byte, len(b.data), max(2*cap(b.data), f.size))
			copy(grown, b.data)
			b.data = grown
		}
		n, err := r.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		if err == io.EOF {
			return nil, io.EOF
		}
		if err != nil {
			return nil, err
		}
		if len(b.data) < cap(b.data) {
			continue
		}
		if i := bytes.LastIndexByte(b.data[seen:], '\n'); i >= 0 {
			i += seen + 1
			rest, b.data = b.data[i:], b.data[:i]
			return rest, nil
		}
		seen = len(b.data)
		if int64(seen) > f.maxLine {
			return nil, errLongLine
		}
	}
}

// lengthen waits until the block may be longer than the others.
func (f *feeder) lengthen(ctx context.Context, b *block) error {
	if b.long {
		return nil
	}
	select {
	case <-f.long:
		b.long = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// shorten gives the token of a long block back.
func (f *feeder) shorten(b *block) {
	if b.long {
		b.long = false
		f.long <- struct{}{}
	}
}

// take sends the block, or keeps it to be sorted.
func (f *feeder) take(ctx context.Context, b *block) error {
	if f.sorter == nil {
		return f.send(ctx, b)
	}
	f.shorten(b) // the sorter has a limit of its own
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return f.sorter.add(b)
}

// send hands the block to the worker whose turn it is. Long blocks may have more
// values than there is memory for before the workers see it: enough of them end
// the row group (I8).
func (f *feeder) send(ctx context.Context, b *block) error {
	if b.long {
		f.lengths += int64(len(b.data))
	}
	if err := f.deal(ctx, b); err != nil {
		return err
	}
	if f.lengths < f.most {
		return nil
	}
	f.lengths = 0
	for f.turn > 0 {
		if err := f.deal(ctx, &block{}); err != nil {
			return err
		}
	}
	for range f.queues {
		if err := f.deal(ctx, &block{last: true}); err != nil {
			return err
		}
	}
	return nil
}

func (f *feeder) deal(ctx context.Context, b *block) error {
	b.round = f.round
	select {
	case f.queues[f.turn] <- b:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if f.turn = (f.turn + 1) % len(f.queues); f.turn == 0 {
		f.round++
	}
	return nil
}

// get returns an empty block.
func (f *feeder) get() *block {
	select {
	case b := <-f.free:
		return b
	default:
		return &block{data: make([]byte, 0, f.size)}
	}
}

// put gives a block back. Long ones are left to the garbage collector.
func (f *feeder) put(b *block) {
	f.shorten(b)
	if cap(b.data) != f.size {
		return
	}
	*b = block{data: b.data[:0], skips: b.skips[:0], places: b.places[:0]}
	select {
	case f.free <- b:
	default:
	}
}

// each yields the published lines of the block, without line ends and the
// spaces around them (F38), and where they begin in the part.
func (b *block) each(yield func(p place, line []byte) error) error {
	data, number, skips, places := b.data, b.line, b.skips, b.places
	if b.at == 0 {
		data = bytes.TrimPrefix(data, bom)
	}
	for len(data) > 0 {
		p := place{b.part, b.at + int64(len(b.data)-len(data))}
		if len(places) > 0 {
			p, places = places[0], places[1:]
		}
		line := data
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			line, data = data[:i], data[i+1:]
		} else {
			data = nil
		}
		if len(skips) > 0 && skips[0] == number {
			skips = skips[1:]
		} else if line = trim(line); len(line) > 0 {
			if err := yield(p, line); err != nil {
				return err
			}
		}
		number++
	}
	return nil
}

// trim removes the white space of JSON around a line.
func trim(line []byte) []byte {
	for len(line) > 0 && isSpace(line[0]) {
		line = line[1:]
	}
	for len(line) > 0 && isSpace(line[len(line)-1]) {
		line = line[:len(line)-1]
	}
	return line
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
