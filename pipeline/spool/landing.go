package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/flue-fhir/flue/internal/durable"
)

// Options say what is known of a body before it is read.
type Options struct {
	// Name is what a person calls the body; "" means the key.
	Name string
	// Type is the declared resource type, "" when unknown. Lines of another type
	// are no fault: they are routed by their resourceType (F30).
	Type string
	// Expect is the announced number of resources; negative when there is none
	// (F37).
	Expect int64
	// AllowMismatch takes a body with another number of resources; Info keeps
	// both numbers.
	AllowMismatch bool
}

// Source is an opened body.
type Source struct {
	Body     io.Reader // bytes as sent, from Offset on; Copy does not close it
	Encoding string    // "" or "gzip"; magic bytes decide where they disagree (F36)
	Offset   int64     // where Body begins: what Resume said, or 0
	Length   int64     // of the whole body as sent; -1 when unknown
	// Endless says that a cut of the body could not be told from its end.
	Endless bool
	// Validator is a strong validator of the bytes as sent, fit for If-Range; ""
	// when there is none, and then another process begins anew.
	Validator string
}

// Landing is a part in the making. It is for one goroutine, which ends it with
// Commit or Close.
type Landing struct {
	run  *Run
	key  string
	name string
	opts Options

	origin origin
	file   *durable.File // nil while nothing is on the disk
	size   int64         // of the chunks in it
	room   int64         // size up to which the disk is known to have room
	kind   chunkKind     // of the data chunks; 0 until the first bytes tell
	sent   int64         // bytes as sent that are in the chunks and in buf
	buf    []byte        // headerLen bytes and what is not in a chunk yet; nil when there is none
	held   []byte        // the chunk of a small body that is whole; it is on no disk
	in     *intake       // nil until it has something to walk
	replay bool          // the chunks come from an earlier process and in has not seen them
	whole  bool          // Copy returned nil
	notes  []string      // see Note
	short  bool
	// original is where a borrowed body lies; nil for one that landed.
	original *stretch
	closed   bool
}

// origin is what a later process must know to go on with a partial file.
type origin struct {
	Validator string `json:"validator"`
	Length    int64  `json:"length"`
}

// Land begins a part, or takes it up again where an earlier process left it. It
// fails when the part has landed: see Part, and Drop.
func (r *Run) Land(key string, o Options) (*Landing, error) {
	l := &Landing{run: r, key: key, name: fileName(key), opts: o, origin: origin{Length: -1}}
	if !r.hold(l.name) {
		return nil, errBusy
	}
	if err := l.open(); err != nil {
		r.free(l.name)
		return nil, err
	}
	return l, nil
}

// open finds what an earlier process left.
func (l *Landing) open() error {
	if _, landed, err := l.run.find(l.name); err != nil {
		return err
	} else if landed {
		return errLanded
	}
	if _, err := l.run.spool.room(0); err != nil {
		return err
	}
	partial := l.run.path(l.name, partialSuffix)
	fi, err := os.Lstat(partial)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("land part: %w", err)
	}
	if err := l.create(); err != nil {
		return err
	}
	found, err := scanPrefix(l.file, fi.Size())
	if err != nil {
		return errors.Join(fmt.Errorf("land part: %w", err), l.file.Close())
	}
	text, err := os.ReadFile(l.run.path(l.name, originSuffix))
	if err != nil || json.Unmarshal(text, &l.origin) != nil || l.origin.Validator == "" {
		found = prefix{} // no server can send the rest
	} else if l.origin.Length < 0 || found.sent >= l.origin.Length {
		found = found.less() // there is something to ask for
	}
	l.size, l.room, l.kind, l.sent, l.replay = fi.Size(), found.size, found.kind, found.sent, found.size > 0
	if found.size == 0 {
		err = l.restart()
	} else {
		l.size = found.size
		err = l.file.Truncate(found.size)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("land part: %w", err), l.file.Close())
	}
	return nil
}

// Resume tells what to ask the server for: the bytes as sent from offset on, if
// the representation still has the validator. Offset 0 is the whole body.
// encoding is "gzip" when the bytes that are kept are: ask for the same again.
func (l *Landing) Resume() (offset int64, validator, encoding string) {
	if l.sent == 0 || l.origin.Validator == "" || l.whole {
		return 0, "", ""
	}
	if l.kind == rawChunk {
		encoding = "gzip"
	}
	return l.sent, l.origin.Validator, encoding
}

// Copy reads the body to its end. nil means that the body is whole and checked
// and that Commit comes next. After an error with a Retryable method that says
// true, open the body again as Resume tells and call Copy again: a *BodyError
// keeps what came, a *ContentError or *CountError nothing. A body that begins at
// 0 replaces what was kept. Any other error is the local disk's or ctx's; Resume
// tells what is left then.
func (l *Landing) Copy(ctx context.Context, s Source) error {
	if l.closed {
		return errClosed
	}
	l.whole = false // another body takes its place
	err := l.begin(ctx, s)
	if err == nil {
		err = l.read(ctx, s.Body)
	}
	if err == nil {
		err = l.finish(s)
	}
	content, count := (*ContentError)(nil), (*CountError)(nil)
	if errors.As(err, &content) || errors.As(err, &count) || err != nil && l.in != nil && l.in.dead() {
		if rerr := l.restart(); rerr != nil {
			return rerr
		}
	}
	return err
}

// begin makes the landing ready for the first byte of s.
func (l *Landing) begin(ctx context.Context, s Source) error {
	switch s.Encoding {
	case "", "identity", "gzip", "x-gzip":
	default:
		return &ContentError{Fault: Encoding}
	}
	if s.Offset == 0 {
		if l.sent > 0 || l.in != nil {
			if err := l.restart(); err != nil {
				return err
			}
		}
		l.origin = origin{Validator: s.Validator, Length: s.Length}
		return nil
	}
	switch o := &l.origin; {
	case s.Offset != l.sent:
		return &ContentError{Fault: Misplaced}
	case s.Validator != "" && s.Validator != o.Validator, s.Length >= 0 && o.Length >= 0 && s.Length != o.Length:
		return &ContentError{Fault: Changed}
	case o.Length < 0:
		o.Length = s.Length
	}
	if l.replay {
		return l.walkAgain(ctx)
	}
	return nil
}

// walkAgain gives the intake what an earlier process landed.
func (l *Landing) walkAgain(ctx context.Context) error {
	r := sentReader{file: l.file.File, end: l.size}
	for {
		b, err := r.next()
		switch {
		case err == io.EOF:
			l.replay = false
			return nil
		case errors.Is(err, errChunk):
			err = &ContentError{Fault: BrokenSpool}
		case err == nil && ctx.Err() != nil:
			err = context.Cause(ctx)
		case err == nil:
			buf := l.run.spool.pools.buffer()
			err = l.walk(append(buf[:headerLen], b...))
		}
		if err != nil {
			l.forget() // the next attempt walks the prefix from its first byte
			return err
		}
	}
}

// read takes the bytes of a body until its end.
func (l *Landing) read(ctx context.Context, body io.Reader) error {
	for empty := 0; ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if l.buf == nil {
			l.buf = l.run.spool.pools.buffer()[:headerLen]
		}
		if len(l.buf)-headerLen >= l.step() {
			if err := l.flush(); err != nil {
				return err
			}
			continue
		}
		n, err := body.Read(l.buf[len(l.buf) : headerLen+l.step()])
		l.buf = l.buf[:len(l.buf)+n]
		l.sent += int64(n)
		if l.kind == 0 && len(l.buf) >= headerLen+2 {
			l.kind = packedChunk
			if isGzip(l.buf[headerLen:]) {
				l.kind = rawChunk
			}
		}
		if l.origin.Length >= 0 && l.sent > l.origin.Length {
			return &ContentError{Fault: TooLong}
		}
		switch {
		case err == io.EOF && l.origin.Length < 0, err != nil && l.sent == l.origin.Length:
			return nil
		case err == io.EOF:
			return &BodyError{Got: l.sent, Want: l.origin.Length, Err: io.ErrUnexpectedEOF}
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return &BodyError{Got: l.sent, Want: l.origin.Length, Err: err}
		case n > 0:
			empty = 0
		default:
			if empty++; empty == 100 {
				return &BodyError{Got: l.sent, Want: l.origin.Length, Err: io.ErrNoProgress}
			}
		}
	}
}

// step is how many bytes as sent make a chunk: of gzip, which holds so much
// more, fewer.
func (l *Landing) step() int {
	n := l.run.spool.chunk
	if n == 0 {
		n = maxData
	}
	if l.kind == rawChunk {
		return n / rawShare
	}
	return n
}

// finish checks the body as a whole.
func (l *Landing) finish(s Source) error {
	if l.sent == 0 && s.Encoding != "" && s.Encoding != "identity" && l.origin.Length < 0 {
		return &BodyError{Got: 0, Want: -1, Err: io.ErrUnexpectedEOF} // gzip of nothing has bytes
	}
	if err := l.flushLast(); err != nil {
		return err
	}
	if l.in == nil {
		l.in = l.run.spool.startIntake(l.run.dir.Path)
	}
	if err := l.in.finish(); err != nil {
		return err
	}
	info := &l.in.info
	if info.RawBytes != l.sent { // I3: every byte has been walked
		return &ContentError{Fault: BrokenSpool}
	}
	checked := l.origin.Length >= 0 || info.Layers > 0
	if l.in.cutLine && !checked {
		return &ContentError{Fault: CutLine}
	}
	resources := info.Lines - info.Outcomes - info.Headers
	if want := l.opts.Expect; want >= 0 && want != info.Lines && want != resources && !l.opts.AllowMismatch {
		return &CountError{Want: want, Got: info.Lines, Whole: checked}
	}
	info.Unproved = s.Endless && !checked && l.opts.Expect < 0
	l.whole = true
	return nil
}

// Note keeps with the part what is to be said of its body beside its lines, in
// place of what was said before: texts without content (I7), and whether less came
// than was promised (I2).
func (l *Landing) Note(notes []string, short bool) { l.notes, l.short = notes, short }

// Close ends the landing and keeps what it has for a later Land. It does
// nothing after Commit.
func (l *Landing) Close() error {
	if l.closed {
		return nil
	}
	var err error
	if !l.whole && l.size > 0 && l.origin.Validator != "" && len(l.buf) > headerLen {
		err = l.store()
	}
	l.end()
	if l.file != nil {
		if cerr := l.file.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("close part: %w", cerr)
		}
	}
	return err
}

// end frees what the landing holds but the file.
func (l *Landing) end() {
	l.closed = true
	l.forget()
	if l.buf != nil {
		l.run.spool.pools.putBuffer(l.buf)
		l.buf = nil
	}
	l.run.free(l.name)
}

// forget drops what the intake knows.
func (l *Landing) forget() {
	if l.in != nil {
		l.in.stop()
		l.in = nil
	}
}

// restart drops everything that was kept: the next body begins at its first
// byte.
func (l *Landing) restart() error {
	l.forget()
	l.held = nil
	if l.buf != nil {
		l.buf = l.buf[:headerLen]
	}
	l.origin = origin{Length: -1}
	l.kind, l.sent, l.room, l.replay = 0, 0, 0, false
	if l.size == 0 {
		return nil
	}
	// Cut first, then forget the origin, and only then another body may come:
	// bytes and origin are never those of two bodies.
	l.size = 0
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("cut part: %w", err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("cut part: %w", err)
	}
	if err := os.Remove(l.run.path(l.name, originSuffix)); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("cut part: %w", err)
	}
	return l.run.dir.Sync()
}
