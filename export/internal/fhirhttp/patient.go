package fhirhttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

var errStalled = errors.New("the server fell silent")

// Patient returns a transport that gives up an answer once the server has sent
// nothing for idle (0 means DefaultIdle; negative means never): no header after
// the request, or no further byte of a body that is being read. Time that the
// reader takes does not count. Errors of the bodies are TransportErrors. base may
// be nil for http.DefaultTransport.
func Patient(base http.RoundTripper, idle time.Duration) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	if idle == 0 {
		idle = DefaultIdle
	}
	return &patient{base, idle}
}

type patient struct {
	base http.RoundTripper
	idle time.Duration
}

// RoundTrip implements http.RoundTripper.
func (p *patient) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	b := &body{idle: p.idle, cancel: cancel}
	b.arm()
	resp, err := p.base.RoundTrip(req.WithContext(ctx))
	b.disarm()
	if err != nil {
		cancel(nil)
		return nil, b.cause(err)
	}
	b.rc = resp.Body
	resp.Body = b
	return resp, nil
}

// body watches the reading of an answer.
type body struct {
	rc      io.ReadCloser
	idle    time.Duration
	cancel  context.CancelCauseFunc
	stalled atomic.Bool

	mu    sync.Mutex
	timer *time.Timer
}

func (b *body) arm() {
	if b.idle < 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer == nil {
		b.timer = time.AfterFunc(b.idle, func() {
			b.stalled.Store(true)
			b.cancel(errStalled)
		})
		return
	}
	b.timer.Reset(b.idle)
}

func (b *body) disarm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer != nil {
		b.timer.Stop()
	}
}

// cause is the reason of an error: the cancellation by the timer shows as that of
// the context.
func (b *body) cause(err error) error {
	if b.stalled.Load() {
		return errStalled
	}
	return err
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.arm()
	n, err := b.rc.Read(p)
	b.disarm()
	if err != nil && err != io.EOF {
		err = b.cause(err)
		err = &TransportError{Op: "read body", Text: text(err), Err: err}
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.disarm()
	err := b.rc.Close()
	b.cancel(nil)
	return err
}
