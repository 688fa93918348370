package pipeline

import (
	"context"
	"io"
	"time"
)

// stall is how long a body may bring next to nothing.
func (x *execution) stall() time.Duration {
	if d := x.r.Server.Limits.Stall; d > 0 {
		return d
	}
	return defaultStall
}

// stallReader counts the bytes of a body, and cuts the body when it stands still
// or trickles: when reads that took after together brought less than minFlow.
// What happens between two reads is not the server's fault and does not count.
type stallReader struct {
	body  io.Reader
	after time.Duration
	count func(n int)
	timer *time.Timer
	read  int64 // bytes so far

	left  time.Duration // of reading, until minFlow must have come
	flown int
}

func newStallReader(body io.Reader, after time.Duration, cancel context.CancelCauseFunc, count func(n int)) *stallReader {
	r := &stallReader{body: body, after: after, count: count, left: after}
	r.timer = time.AfterFunc(after, func() { cancel(errStalled) })
	r.timer.Stop() // until a read begins
	return r
}

func (r *stallReader) Read(p []byte) (int, error) {
	begun := time.Now()
	r.timer.Reset(r.left)
	n, err := r.body.Read(p)
	r.timer.Stop()
	if r.flown += n; r.flown >= minFlow {
		r.left, r.flown = r.after, 0
	} else {
		r.left = max(r.left-time.Since(begun), 0)
	}
	r.read += int64(n)
	r.count(n)
	return n, err
}

func (r *stallReader) stop() { r.timer.Stop() }
