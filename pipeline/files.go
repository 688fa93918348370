package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
)

// modeFiles is the Export.Mode of a conversion: a run over files instead of a
// server's answers. No jobs.yaml has it.
const modeFiles = "files"

// Input is a file of a conversion. It is read where it lies, more than once, and
// not copied; a stream is read once and lands in the spool.
type Input struct {
	Name  string // for people; unique among the inputs
	Size  int64  // bytes as they lie; 0 for a stream
	Stamp string // what spool.Lent.Stamp of the file says now
	Open  func() (spool.Lent, error)
	// Stream is set instead of Open when there is no file to be read again. The
	// caller closes it after the run.
	Stream io.Reader
}

// states names the inputs with what tells whether they have changed.
func states(inputs []Input) []string {
	var list []string
	for _, in := range inputs {
		list = append(list, fmt.Sprintf("%q %d %q %t", in.Name, in.Size, in.Stamp, in.Stream != nil))
	}
	return list
}

// pieceSize is about how many bytes of a plain file are one task: large files are
// cut at line ends, so that all processors read them.
const pieceSize = 32 << 20

// piece is a stretch of an input.
type piece struct {
	input          int // its place in Runner.Inputs
	offset, length int64
}

const pieceForm = "%d/" + kindFile + "/%06d/%d+%d"

func (p piece) key(generation int) string {
	return fmt.Sprintf(pieceForm, generation, p.input, p.offset, p.length)
}

func parsePiece(key string) (p piece, err error) {
	var generation int
	_, err = fmt.Sscanf(key, pieceForm, &generation, &p.input, &p.offset, &p.length)
	return p, err
}

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

// twins are the sizes that several inputs have: only those may be the same, and
// are worth a hash.
func twins(inputs []Input) map[int64]bool {
	seen := map[int64]bool{}
	for _, in := range inputs {
		_, again := seen[in.Size]
		seen[in.Size] = again
	}
	return seen
}

// cut returns the offsets at which the pieces of an input begin that are about
// so many bytes long, and its size.
func cut(in Input, about int64) ([]int64, error) {
	whole := []int64{0, in.Size}
	n := (in.Size + about - 1) / about
	if in.Stream != nil || n < 2 {
		return whole, nil
	}
	f, err := in.Open()
	if err != nil {
		return nil, &spool.ChangedError{Name: in.Name, Err: err}
	}
	defer f.Close()
	head := make([]byte, 4)
	if _, err := f.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s: %w", in.Name, err)
	}
	if spool.Compressed(head) {
		return whole, nil
	}
	cuts := []int64{0}
	for k := range n - 1 {
		at := in.Size / n * (k + 1)
		if at <= cuts[len(cuts)-1] {
			continue // a line that is longer than a piece
		}
		if at, err = lineFrom(f, at, in.Size); err != nil {
			return nil, fmt.Errorf("read %s: %w", in.Name, err)
		}
		if at < in.Size {
			cuts = append(cuts, at)
		}
	}
	return append(cuts, in.Size), nil
}

// lineFrom returns where the first line begins behind the offset at, or the size.
func lineFrom(r io.ReaderAt, at, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for at < size {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return at + int64(i) + 1, nil
		}
		at += int64(n)
		if err != nil {
			return 0, err
		}
	}
	return size, nil
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
			if err = x.dropDamaged(t); err == nil {
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

// unreadable gives a file that is no NDJSON its class: reading it again does not
// mend it.
func unreadable(err error) error {
	var content *spool.ContentError
	if !errors.As(err, &content) {
		return err
	}
	return &Failure{
		Text:   "a file cannot be converted",
		Advice: "it must be NDJSON, plain or compressed by gzip or zstd: mend the file, or leave it out",
		Kind:   classQuality, Err: err,
	}
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

// streamError is a stream that broke.
type streamError struct{ err error }

func (e *streamError) Error() string   { return e.err.Error() }
func (e *streamError) Unwrap() error   { return e.err }
func (e *streamError) Retryable() bool { return false }

// Hint says what to do.
func (e *streamError) Hint() string {
	if hint := hintOf(e.err); hint != "" {
		return hint
	}
	return "run the command again with the whole input"
}

// causeOf returns the change of a file in place of what came of it.
func causeOf(err error, parts []*spool.Part) error {
	for _, p := range parts {
		if changed := p.Unchanged(); changed != nil {
			return changed
		}
	}
	return err
}

// tooManyBad is the failure of a run with more bad lines than it may have; p is
// the part that has the last of them.
func (x *execution) tooManyBad(ctx context.Context, bad int64, p *spool.Part) error {
	limit := x.r.Job.Policies.MaxBadLines
	if x.r.Job.Export.Mode != modeFiles {
		return &Failure{
			Text:   fmt.Sprintf("%d lines are not resources, the job allows %d", bad, limit),
			Advice: "raise policies.max_bad_lines to publish the rest; the lines then lie in the snapshot's quarantine folder",
			Kind:   classQuality,
		}
	}
	where := ""
	if line, ok, err := p.FirstBad(ctx); err == nil && ok {
		where = fmt.Sprintf(" (%s, at byte %d: %s)", line.Name, line.Offset, strings.ToValidUTF8(line.Reason, ""))
	}
	return &Failure{
		Text:   fmt.Sprintf("at least %d lines are not resources%s, %d are allowed", bad, where, limit),
		Advice: "raise --max-bad-lines to publish the rest; the lines then lie in the snapshot's quarantine folder",
		Kind:   classQuality,
	}
}

// advice is for a job of a configuration, or for a conversion.
func (r *Runner) advice(job, conversion string) string {
	if r.Job.Export.Mode == modeFiles {
		return conversion
	}
	return job
}

// clear removes what a conversion leaves behind that failed for good: nobody
// will come back for it.
func (x *execution) clear(ctx context.Context) {
	if x.r.Job.Export.Mode != modeFiles {
		return
	}
	var err error
	if x.spool != nil {
		err = x.spool.Remove()
	}
	if x.stage != nil {
		err = errors.Join(err, x.stage.Discard(ctx))
	}
	if err != nil {
		x.r.log().Warn("clean up after a conversion", "run", x.run.ID, "error", err)
	}
}
