package spool

import (
	"context"
	"fmt"
	"io"
)

// Original is a body that stays where it lies: a stretch of a file. The spool
// keeps what it learns of the body, but no copy; its lines are read from the
// file again.
type Original struct {
	Name   string // of the file, for people
	Stamp  string // what Lent.Stamp said when the body was listed
	Offset int64  // where the body begins in the file: at the first byte of a line
	Length int64  // bytes as they lie there
	Hash   bool   // make Info.SHA256, so that bodies that are the same are found (F27)
	Open   func() (Lent, error)
}

// Lent is an open file that somebody else may change at any time.
type Lent interface {
	io.ReaderAt
	io.Closer
	// Stamp tells one state of the file from another, such as by its size and
	// its time of modification.
	Stamp() (string, error)
}

// Watch is told how Borrow comes on. Each of its functions may be nil.
type Watch struct {
	Read   func(n int) // so many bytes more were read
	Walked func()      // the body was read, and only the disk is waited for
}

// stretch is what a part keeps of its Original.
type stretch struct {
	Stamp  string `json:"stamp"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	Rows   int64  `json:"rows"` // lines, blank ones too
}

// Borrow returns the part of a body that stays where it lies. The body is walked
// unless a part of it is there already. Its lines are checked like those that
// land; the bytes are checked by the file's stamp, before and after they are
// read (*ChangedError). A *DamagedError is that of a part which is there: Drop it.
func (r *Run) Borrow(ctx context.Context, key string, o Original, w Watch) (*Part, error) {
	p, err := r.Part(key)
	if err != nil {
		return nil, err
	}
	if p != nil {
		if s := p.foot.Original; s != nil && s.Stamp == o.Stamp && s.Offset == o.Offset && s.Length == o.Length {
			p.lent = &o
			return p, nil
		}
		if err := r.Drop(key); err != nil {
			return nil, err
		}
	}
	name := fileName(key)
	if !r.hold(name) {
		return nil, errBusy
	}
	l := &Landing{run: r, key: key, name: name, opts: Options{Name: o.Name, Expect: -1}, in: r.spool.newIntake(r.dir.Path)}
	defer func() { _ = l.Close() }()
	if _, err := r.spool.room(0); err != nil {
		close(l.in.done)
		l.in.shut = true
		return nil, err
	}
	if err := l.in.borrow(ctx, &o, w.Read); err != nil {
		return nil, err
	}
	if w.Walked != nil {
		w.Walked()
	}
	l.whole = true
	l.original = &stretch{Stamp: o.Stamp, Offset: o.Offset, Length: o.Length, Rows: l.in.rows}
	if p, err = l.Commit(); err != nil {
		return nil, err
	}
	p.lent = &o
	return p, nil
}

// borrow walks the body.
func (in *intake) borrow(ctx context.Context, o *Original, read func(n int)) error {
	body, err := o.open(func(n int) error {
		if read != nil {
			read(n)
		}
		return context.Cause(ctx)
	})
	if err != nil {
		close(in.done)
		in.shut = true
		return err
	}
	d := in.spool.newDecoder(body, o.Hash)
	if o.Offset > 0 {
		d.midway()
	}
	err = in.walk(d)
	if cerr := body.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("close %s: %w", o.Name, cerr)
	}
	if err != nil {
		return o.blame(err)
	}
	return nil
}

// open returns the bytes as they lie in the file. each, which may be nil, is
// called with the length of what was read, and its error ends the reading.
func (o *Original) open(each func(n int) error) (io.ReadCloser, error) {
	f, err := o.Open()
	if err != nil {
		return nil, &ChangedError{Name: o.Name, Err: err}
	}
	r := &lentReader{original: o, file: f, body: io.NewSectionReader(f, o.Offset, o.Length), each: each}
	if err := r.check(); err != nil {
		_ = f.Close()
		return nil, err
	}
	return r, nil
}

// blame finds out whether an error comes from a change of the file.
func (o *Original) blame(err error) error {
	r, oerr := o.open(nil)
	if oerr != nil {
		return oerr
	}
	_ = r.Close()
	return fmt.Errorf("read %s: %w", o.Name, err)
}

// Unchanged returns a *ChangedError when the file of a borrowed part is not what
// it was. Parts that landed are always as they were.
func (p *Part) Unchanged() error {
	if p.lent == nil {
		return nil
	}
	r, err := p.lent.open(nil)
	if err != nil {
		return err
	}
	return r.Close()
}

// lentReader reads a stretch of a file, and looks at its end whether the file is
// still what it was.
type lentReader struct {
	original *Original
	file     Lent
	body     *io.SectionReader
	got      int64
	each     func(n int) error
}

// Read implements io.Reader.
func (r *lentReader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.got += int64(n)
	if r.each != nil {
		if eerr := r.each(n); eerr != nil {
			return n, eerr
		}
	}
	if err == io.EOF {
		if cerr := r.check(); cerr != nil {
			return n, cerr
		}
		if r.got < r.original.Length {
			return n, &ChangedError{Name: r.original.Name, Err: io.ErrUnexpectedEOF}
		}
	}
	return n, err
}

func (r *lentReader) check() error {
	stamp, err := r.file.Stamp()
	if err != nil || stamp != r.original.Stamp {
		return &ChangedError{Name: r.original.Name, Err: err}
	}
	return nil
}

// Close implements io.Closer.
func (r *lentReader) Close() error { return r.file.Close() }

// ChangedError is a borrowed file that changed after it was listed. Nothing that
// was read of it can be relied on.
type ChangedError struct {
	Name string // of the file
	Err  error  // when it cannot be read any more; may be nil
}

func (e *ChangedError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("read %s: it cannot be read as before: %v", e.Name, e.Err)
	}
	return "read " + e.Name + ": the file changed while it was being converted"
}

// Unwrap returns the cause.
func (e *ChangedError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *ChangedError) Hint() string {
	return "Run the command again when nothing writes to the file any more: it starts anew."
}
