package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// spoil serves the request with a body that goes wrong on its way.
func (in *injector) spoil(w http.ResponseWriter, r *http.Request, p string, f *fault) {
	b := &spoiled{ResponseWriter: w, fault: f, ctx: r.Context(), note: func() { in.note(f.Kind) }}
	in.serve(b, r, p)
	if !b.struck {
		in.giveBack(f) // an error, or a body that the fault cannot strike
		return
	}
	if b.cut {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// errCut ends a body that was cut off.
var errCut = errors.New("cut")

// spoiled is an answer whose body goes wrong.
type spoiled struct {
	http.ResponseWriter
	fault *fault
	ctx   context.Context // of the request
	note  func()          // records the strike

	begun  bool
	strike bool // this answer is one that the fault can strike
	struck bool
	cut    bool
	at     int64 // where it goes wrong
	sent   int64
}

func (b *spoiled) WriteHeader(status int) {
	if b.begun {
		return
	}
	b.begun = true
	head := b.Header()
	n, err := strconv.ParseInt(head.Get("Content-Length"), 10, 64)
	if err != nil {
		n = 2000
	}
	b.at = min(int64(b.fault.At*float64(n)), n-1)
	b.strike = n > 0 && (status == http.StatusOK || status == http.StatusPartialContent)
	switch b.fault.Kind {
	case "corrupt gzip":
		b.strike = b.strike && head.Get("Content-Encoding") == "gzip"
	case "cut short":
		if b.strike {
			head.Del("Content-Length")
		}
	case "content type":
		if b.strike {
			b.hit()
			head.Set("Content-Type", b.fault.How)
			if b.fault.How == "none" {
				head["Content-Type"] = nil // net/http adds none of its own
			}
		}
	}
	b.ResponseWriter.WriteHeader(status)
}

// hit records, once, that the fault strikes.
func (b *spoiled) hit() {
	if !b.struck {
		b.struck = true
		b.note()
	}
}

func (b *spoiled) flush() { _ = http.NewResponseController(b.ResponseWriter).Flush() }

func (b *spoiled) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	left := b.at - b.sent
	if !b.strike || b.fault.Kind == "content type" || b.fault.Kind != "slow body" && left >= int64(len(p)) {
		return b.write(p)
	}
	if b.fault.Kind == "slow body" {
		return b.slow(p)
	}
	if left < 0 { // past it
		if b.fault.Kind == "cut short" {
			return len(p), nil
		}
		return b.write(p)
	}
	b.hit()
	if b.fault.Kind == "corrupt gzip" {
		p = append([]byte(nil), p...)
		p[left] ^= 0xff
		return b.write(p)
	}
	n, err := b.write(p[:left])
	b.flush()
	if err != nil {
		return n, err
	}
	switch b.fault.Kind {
	case "cut short":
		b.sent = b.at + 1
		return len(p), nil
	case "stall":
		b.wait(time.Minute)
	case "trickle":
		for _, c := range p[left:] {
			if !b.wait(20 * time.Millisecond) {
				break
			}
			if _, err := b.write([]byte{c}); err != nil {
				break
			}
			b.flush()
		}
	}
	b.cut = true
	return n, errCut
}

func (b *spoiled) write(p []byte) (int, error) {
	n, err := b.ResponseWriter.Write(p)
	b.sent += int64(n)
	return n, err
}

// slow writes in twenty pieces with pauses between them.
func (b *spoiled) slow(p []byte) (int, error) {
	b.hit()
	done := 0
	for done < len(p) {
		n, err := b.write(p[done:min(done+len(p)/20+1, len(p))])
		done += n
		if err != nil {
			return done, err
		}
		b.flush()
		if !b.wait(b.fault.Delay / 20) {
			break
		}
	}
	return done, b.ctx.Err()
}

// wait pauses, and reports false when the client went away.
func (b *spoiled) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-b.ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// corrupt chooses the byte of a file that stays corrupt: one inside a line.
func (in *injector) corrupt(r *http.Request, f *fault) bool {
	whole := r.Clone(r.Context())
	whole.Header.Set("Accept-Encoding", "identity")
	whole.Header.Del("Range")
	got := newBuffered()
	in.next.ServeHTTP(got, whole)
	if got.status != http.StatusOK {
		return false
	}
	at := int(f.At * float64(len(got.body)))
	for at < len(got.body) && (got.body[at] < 'a' || got.body[at] > 'z') {
		at++
	}
	if at == len(got.body) {
		return false
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.bad[fileName(r)] = int64(at)
	return true
}

// badLine is the answer with a file of which one byte is corrupt, whatever range
// of it is asked for.
type badLine struct {
	http.ResponseWriter
	at    int64 // in the file
	begun bool
}

func (b *badLine) WriteHeader(status int) {
	if !b.begun {
		b.begun = true
		if from, ok := strings.CutPrefix(b.Header().Get("Content-Range"), "bytes "); ok {
			start, _, _ := strings.Cut(from, "-")
			b.at -= int64(atoi(start))
		}
		if status != http.StatusOK && status != http.StatusPartialContent {
			b.at = -1
		}
	}
	b.ResponseWriter.WriteHeader(status)
}

func (b *badLine) Write(p []byte) (int, error) {
	if !b.begun {
		b.WriteHeader(http.StatusOK)
	}
	if b.at >= 0 && b.at < int64(len(p)) {
		p = append([]byte(nil), p...)
		p[b.at] = 0xff // never in UTF-8
	}
	n, err := b.ResponseWriter.Write(p)
	b.at -= int64(n)
	return n, err
}

// buffered is an answer that is kept.
type buffered struct {
	header http.Header
	status int
	body   []byte
}

func newBuffered() *buffered { return &buffered{header: http.Header{}} }

func (b *buffered) Header() http.Header { return b.header }

func (b *buffered) WriteHeader(status int) {
	if b.status == 0 {
		b.status = status
	}
}

func (b *buffered) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	b.body = append(b.body, p...)
	return len(p), nil
}

// send passes the answer on.
func (b *buffered) send(w http.ResponseWriter) {
	for name, values := range b.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(b.body)))
	w.WriteHeader(max(b.status, http.StatusOK))
	_, _ = w.Write(b.body) // the client went away
}
