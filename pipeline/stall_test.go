package pipeline

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// drip is a body that brings some bytes after each wait, and ends.
type drip struct {
	ctx   context.Context
	wait  time.Duration
	bytes int
	times int
}

func (d *drip) Read(p []byte) (int, error) {
	if d.times == 0 {
		return 0, io.EOF
	}
	d.times--
	select {
	case <-d.ctx.Done():
		return 0, context.Cause(d.ctx)
	case <-time.After(d.wait):
		return min(len(p), d.bytes), nil
	}
}

func TestStallReader(t *testing.T) {
	for name, c := range map[string]struct {
		drip  drip
		think time.Duration // of the reader, between two reads
		cut   time.Duration // when the body is cut; 0 for never
		read  int64
	}{
		"silence":                    {drip: drip{wait: time.Hour, bytes: 1, times: 1}, cut: time.Minute},
		"a trickle below the floor":  {drip: drip{wait: 7 * time.Second, bytes: 10, times: 1000}, cut: time.Minute, read: 80},
		"silence after a good start": {drip: drip{wait: 50 * time.Second, bytes: minFlow, times: 3}, read: 3 * minFlow},
		"slow but above the floor":   {drip: drip{wait: 10 * time.Second, bytes: minFlow / 4, times: 100}, read: 25 * minFlow},
		"a short body":               {drip: drip{wait: time.Second, bytes: 1, times: 50}, read: 50},
		"a slow reader":              {drip: drip{wait: time.Second, bytes: 1, times: 50}, think: time.Hour, read: 50},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				c.drip.ctx = ctx
				var counted int64
				r := newStallReader(&c.drip, time.Minute, cancel, func(n int) { counted += int64(n) })
				defer r.stop()
				begun := time.Now()
				buf := make([]byte, 32<<10)
				var err error
				for err == nil {
					_, err = r.Read(buf)
					time.Sleep(c.think)
				}
				if c.cut > 0 && (!errors.Is(err, errStalled) || time.Since(begun) != c.cut) {
					t.Errorf("ended with %v after %v, want it cut after %v", err, time.Since(begun), c.cut)
				}
				if c.cut == 0 && err != io.EOF {
					t.Errorf("ended with %v, want its end", err)
				}
				if r.read != c.read || counted != c.read {
					t.Errorf("read %d, counted %d, want %d", r.read, counted, c.read)
				}
			})
		})
	}
}
