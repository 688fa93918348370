package spool

import (
	"context"
	"io"
	"iter"
	"sync/atomic"
)

// View is the lines of one type in a part: a sinks.Part. It may be used by
// several goroutines at once, until its Selection is closed.
type View struct {
	sel     *Selection
	part    *Part
	number  int   // of the part in the selection
	ordinal int   // of the type in the part's index
	lines   int64 // published
	lost    int64 // superseded
	other   int64 // lines of other types, and those that are no resources

	failed atomic.Pointer[error] // of Skips
}

// Open returns the decoded bytes of the part; the caller closes it. When Skips
// could not yield every line, the reader ends with that error instead of
// io.EOF, so that a line which is not to be published never is.
func (v *View) Open() (io.ReadCloser, error) {
	r, err := v.part.Open()
	if err != nil {
		return nil, err
	}
	return &viewReader{ReadCloser: r, view: v}, nil
}

// Lines is how many lines of the type are published.
func (v *View) Lines() int64 { return v.lines }

// Bytes is the length of what Open returns.
func (v *View) Bytes() int64 { return v.part.foot.Info.Bytes }

// Skips yields, in rising order, the numbers of the lines that are not to be
// published for the type, blank ones left out; nil when all are published.
func (v *View) Skips() func(yield func(line int64) bool) {
	switch {
	case v.other == 0 && v.lost == 0:
		return nil
	case v.other == 0:
		return func(yield func(int64) bool) {
			v.check(v.sel.losers.of(v.number, yield))
		}
	}
	return v.skips
}

func (v *View) skips(yield func(int64) bool) {
	next, stop := iter.Pull(func(yield func(int64) bool) {
		v.check(v.sel.losers.of(v.number, yield))
	})
	defer stop()
	loser, more := next()
	v.check(v.part.eachRecord(context.Background(), func(r *record) bool {
		skip := r.kind != resourceLine || r.typ != v.ordinal
		if more && loser == r.line {
			skip = true
			loser, more = next()
		}
		return !skip || yield(r.line)
	}))
}

func (v *View) check(err error) {
	if err != nil {
		v.failed.CompareAndSwap(nil, &err)
	}
}

// Raw returns the bytes as sent when every line of them is published and they
// hold nothing else; otherwise ok is false.
func (v *View) Raw() (open func() (io.ReadCloser, error), encoding string, ok bool) {
	info := &v.part.foot.Info
	if v.other != 0 || v.lost != 0 || !info.Plain || info.Layers > 1 {
		return nil, "", false
	}
	return v.part.openSent, info.Encoding, true
}

// RawLen is the length of what Raw opens, when it does.
func (v *View) RawLen() int64 { return v.part.foot.Info.RawBytes }

// viewReader ends with the error of Skips, if there is one.
type viewReader struct {
	io.ReadCloser
	view *View
}

func (r *viewReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err == io.EOF {
		if failed := r.view.failed.Load(); failed != nil {
			err = *failed
		}
	}
	return n, err
}
