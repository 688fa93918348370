package sandbox

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// The kinds of Fault.
const (
	FaultStatus      = "status"       // the answer is Status with Header and Body; nothing is handled
	FaultReset       = "reset"        // the connection is reset; nothing is handled
	FaultDrop        = "drop"         // the request is handled, but the connection is reset instead of answered (F16)
	FaultTruncate    = "truncate"     // the connection ends after At bytes of the body (F33, F34)
	FaultShort       = "short"        // the body ends after At bytes as if it were whole: no Content-Length
	FaultStall       = "stall"        // the body stands still for Delay after At bytes
	FaultCorrupt     = "corrupt"      // the byte At of the body has all bits flipped
	FaultContentType = "content-type" // Header's Content-Type replaces the right one (F35)
	FaultDelay       = "delay"        // the request is handled after Delay
)

var faultKinds = []string{
	FaultStatus, FaultReset, FaultDrop, FaultTruncate, FaultShort, FaultStall, FaultCorrupt, FaultContentType, FaultDelay,
}

// Fault is what goes wrong with one request.
type Fault struct {
	Kind   string        `json:"kind"`
	Status int           `json:"status,omitempty"`
	Header http.Header   `json:"header,omitempty"`
	Body   string        `json:"body,omitempty"`
	At     int64         `json:"at,omitempty"`
	Delay  time.Duration `json:"delay,omitempty"` // in JSON: nanoseconds
}

// serve answers the request with the fault.
func (f *Fault) serve(w *recorder, r *http.Request, next http.Handler) {
	w.fault = f.Kind
	switch f.Kind {
	case FaultStatus:
		for name, values := range f.Header {
			w.Header()[http.CanonicalHeaderKey(name)] = values
		}
		w.WriteHeader(orElse(f.Status, http.StatusServiceUnavailable))
		_, _ = io.WriteString(w, f.Body) // the client went away
	case FaultReset:
		reset(w)
	case FaultDrop:
		next.ServeHTTP(&recorder{ResponseWriter: &discarded{header: http.Header{}}}, r)
		reset(w)
	case FaultDelay:
		if pause(r.Context(), f.Delay) {
			next.ServeHTTP(w, r)
		}
	default:
		next.ServeHTTP(&faultyWriter{ResponseWriter: w, fault: f, request: r}, r)
	}
}

// reset ends the connection with an RST where it is TCP.
func reset(w *recorder) {
	w.status = 0
	conn, _, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the end is orderly, which also fails the client
	}
	_ = conn.Close()
}

// discarded is the answer that nobody gets.
type discarded struct{ header http.Header }

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(p []byte) (int, error) { return len(p), nil }
func (d *discarded) WriteHeader(int)             {}

// faultyWriter spoils the body on its way out.
type faultyWriter struct {
	http.ResponseWriter
	fault   *Fault
	request *http.Request
	at      int64
	begun   bool
	stalled bool
}

func (w *faultyWriter) WriteHeader(status int) {
	if !w.begun {
		w.begun = true
		switch w.fault.Kind {
		case FaultContentType:
			w.Header().Set("Content-Type", w.fault.Header.Get("Content-Type"))
		case FaultShort:
			w.Header().Del("Content-Length")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *faultyWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	left := w.fault.At - w.at
	if left < 0 || left >= int64(len(p)) {
		if w.fault.Kind == FaultShort && left < 0 {
			return len(p), nil
		}
		n, err := w.ResponseWriter.Write(p)
		w.at += int64(n)
		return n, err
	}
	switch w.fault.Kind {
	case FaultTruncate:
		_, _ = w.ResponseWriter.Write(p[:left]) // it is cut off anyway
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	case FaultShort:
		n, err := w.ResponseWriter.Write(p[:left])
		w.at = w.fault.At + 1
		if err != nil {
			return n, err
		}
		// Sent now, so that no Content-Length is made up for a short body.
		return len(p), http.NewResponseController(w.ResponseWriter).Flush()
	case FaultCorrupt:
		spoiled := append([]byte(nil), p...)
		spoiled[left] ^= 0xff
		p = spoiled
	case FaultStall:
		if !w.stalled {
			w.stalled = true
			if _, err := w.ResponseWriter.Write(p[:left]); err != nil {
				return 0, err
			}
			w.at += left
			_ = http.NewResponseController(w.ResponseWriter).Flush()
			if !pause(w.request.Context(), w.fault.Delay) {
				return int(left), w.request.Context().Err()
			}
			n, err := w.ResponseWriter.Write(p[left:])
			w.at += int64(n)
			return int(left) + n, err
		}
	}
	n, err := w.ResponseWriter.Write(p)
	w.at += int64(n)
	return n, err
}

// FaultRule injects a fault into some requests of a pattern.
type FaultRule struct {
	Pattern string `json:"path"`            // of the requests; "" is all
	Skip    int    `json:"skip,omitempty"`  // requests that pass first
	Times   int    `json:"times,omitempty"` // requests that it hits then; 0 is once, negative all
	Fault   Fault  `json:"fault"`
}

// FaultRules applies rules in turn. The zero value has none.
type FaultRules struct {
	mu    sync.Mutex
	rules []FaultRule
}

// Set replaces the rules. A fault of an unknown kind is an error, and then
// nothing is replaced.
func (f *FaultRules) Set(rules ...FaultRule) error {
	for _, rule := range rules {
		if !slices.Contains(faultKinds, rule.Fault.Kind) {
			return errors.New("set faults: a kind is unknown")
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append([]FaultRule(nil), rules...)
	for i := range f.rules {
		f.rules[i].Times = orElse(f.rules[i].Times, 1)
	}
	return nil
}

// Fault returns the fault of the first rule that hits the request. It can be a
// Server's Fault.
func (f *FaultRules) Fault(r *http.Request) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.rules {
		rule := &f.rules[i]
		if rule.Times == 0 || rule.Pattern != "" && rule.Pattern != Pattern(r) {
			continue
		}
		if rule.Skip > 0 {
			rule.Skip--
			continue
		}
		if rule.Times > 0 {
			rule.Times--
		}
		out := rule.Fault
		return &out
	}
	return nil
}

// pause waits, and reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// seconds is a duration in whole seconds, rounded up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
