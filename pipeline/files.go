package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
)

// modeFiles is the Export.Mode of a conversion: a run over files instead of a
// server's answers. No jobs.yaml has it.
const modeFiles = "files"

// listInputs makes the pieces of the inputs the tasks, or finds those that an
// earlier try made: the fingerprint of the run says that the inputs are the same.
func (x *execution) listInputs(ctx context.Context) ([]ledger.Task, source, error) {
	src := &fileSource{x: x, pieces: map[string]piece{}, twins: twins(x.r.Inputs), read: map[int]bool{}}
	var total int64
	for _, in := range x.r.Inputs {
		total += in.Size
	}
	x.obs.count(func(p *Progress) { p.BytesTotal = total })
	if x.run.Listed {
		tasks, err := x.r.Ledger.Tasks(ctx, x.run.ID)
		if err != nil {
			return nil, nil, err
		}
		for _, t := range tasks {
			p, err := parsePiece(t.Key)
			if err != nil || p.input >= len(x.r.Inputs) {
				return nil, nil, bug("a file is not among those listed before")
			}
			src.pieces[t.Key] = p
		}
		return tasks, src, nil
	}
	var tasks []ledger.Task
	for i, in := range x.r.Inputs {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		cuts, err := cut(in, cmp.Or(x.r.piece, pieceSize))
		if err != nil {
			return nil, nil, err
		}
		for j := range len(cuts) - 1 {
			p := piece{input: i, offset: cuts[j], length: cuts[j+1] - cuts[j]}
			key := p.key(x.plan.Generation)
			src.pieces[key] = p
			tasks = append(tasks, ledger.Task{Key: key, Kind: kindFile, Ordinal: len(tasks), Count: -1, Path: in.Name})
		}
	}
	run, err := x.r.Ledger.List(ctx, x.run.ID, tasks, func(r *ledger.Run) { r.State = Landing })
	if err != nil {
		return nil, nil, err
	}
	x.run = run
	x.obs.enter(Landing)
	x.step("state landing")
	return tasks, src, nil
}

// lender is a source whose bodies may lie on the local disk and stay there.
type lender interface {
	lend(t ledger.Task) (o spool.Original, ok bool)
}

// fileSource lends the pieces of files, and reads streams.
type fileSource struct {
	x      *execution
	pieces map[string]piece // by task
	twins  map[int64]bool

	mu   sync.Mutex
	read map[int]bool // streams that were read, as far as that went
}

func (s *fileSource) lend(t ledger.Task) (spool.Original, bool) {
	p := s.pieces[t.Key]
	in := s.x.r.Inputs[p.input]
	if in.Stream != nil {
		return spool.Original{}, false
	}
	return spool.Original{
		Name: in.Name, Stamp: in.Stamp, Offset: p.offset, Length: p.length,
		Hash: s.twins[in.Size], Open: in.Open,
	}, true
}

// borrow makes a part of what is lent.
func (x *execution) borrow(ctx context.Context, t ledger.Task, o spool.Original, walked func()) (*spool.Part, error) {
	if err := x.r.Ledger.Note(ctx, x.id, ledger.Note{Key: t.Key, State: ledger.TaskLanding, Attempt: true}); err != nil {
		return nil, err
	}
	for again := false; ; again = true {
		p, err := x.spool.Borrow(ctx, t.Key, o, spool.Watch{Read: x.counted, Walked: walked})
		if damaged := (*spool.DamagedError)(nil); errors.As(err, &damaged) && !again {
			if err = x.dropDamaged(ctx, t.Key); err == nil {
				continue
			}
		}
		return p, unreadable(err)
	}
}

// counted notes bytes that were read of an input.
func (x *execution) counted(n int) {
	x.meter.bytes.Add(int64(n))
	x.obs.count(func(p *Progress) { p.BytesRead += int64(n) })
}

// fetch reads a stream. There is no second try: what was read of it is gone.
func (s *fileSource) fetch(ctx context.Context, t ledger.Task, l *spool.Landing) (int64, error) {
	p := s.pieces[t.Key]
	s.mu.Lock()
	again := s.read[p.input]
	s.read[p.input] = true
	s.mu.Unlock()
	if again {
		return 0, bug("a stream was to be read twice")
	}
	in := s.x.r.Inputs[p.input]
	var got int64
	err := l.Copy(ctx, spool.Source{Length: -1, Body: countReader{in.Stream, func(n int) {
		got += int64(n)
		s.x.counted(n)
	}}})
	if err != nil {
		err = &streamError{unreadable(fmt.Errorf("read %s: %w", in.Name, err))}
	}
	return got, err
}

type countReader struct {
	r     io.Reader
	count func(n int)
}

func (c countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.count(n)
	return n, err
}
