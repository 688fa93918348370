package smart

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestP13CachedUntilTheMargin(t *testing.T) {
	for _, c := range []struct{ life, use time.Duration }{
		{time.Hour, time.Hour - 30*time.Second},
		{300 * time.Second, 270 * time.Second},
		{100 * time.Second, 80 * time.Second},
		{5 * time.Second, 4 * time.Second},
		{time.Second, time.Second},      // F6: the floor
		{time.Millisecond, time.Second}, // F6
	} {
		if got := useFor(c.life); got != c.use {
			t.Errorf("useFor(%v): got %v, want %v", c.life, got, c.use)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{t: t, answer: func(n int, _ call) *http.Response { return grant(n, 300) }}
		c := newClient(e)
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{0, 1}, {270*time.Second - 1, 1}, {1, 2}, {269 * time.Second, 2}, {time.Second, 3}} {
			time.Sleep(step.wait)
			if _, err := c.Token(t.Context()); err != nil || e.count() != step.want {
				t.Errorf("after %v more: %v, %d requests; want %d", step.wait, err, e.count(), step.want)
			}
		}
		if c.Tokens() != 3 {
			t.Errorf("Tokens: got %d, want 3", c.Tokens())
		}
		for i := range e.count() {
			if e.call(i).form.Has("refresh_token") {
				t.Error("a refresh token was sent")
			}
		}
	})
}

// F6: tokens that end at once do not make a storm: at most one request a second.
func TestF6ShortTokensMakeNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{t: t, answer: func(n int, _ call) *http.Response {
			return respond(200, fmt.Sprintf(`{"access_token":"t%d","token_type":"bearer","expires_in":0.001}`, n))
		}}
		c := newClient(e)
		start := time.Now()
		for time.Since(start) < 10*time.Second {
			if _, err := c.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := e.count(); n > 10 {
			t.Errorf("%d requests in 10 s, want at most 10", n)
		}
	})
}

// One request for each expiry, however many ask (P13). Run with -race.
func TestP13ThousandCallersTwentyExpiriesOneRequestEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, expiries = 1000, 20
		e := &endpoint{t: t, answer: func(n int, _ call) *http.Response {
			time.Sleep(200 * time.Millisecond) // all callers wait meanwhile
			return grant(n, 300)
		}}
		c := newClient(e)
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for i := range expiries {
					tok, err := c.Token(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					if want := Secret(fmt.Sprintf("access-token-%d", i+1)); tok.AccessToken != want {
						t.Errorf("period %d: got token %s, want %s", i, string(tok.AccessToken), string(want))
						return
					}
					time.Sleep(270*time.Second + 100*time.Millisecond)
				}
			})
		}
		wg.Wait()
		if got := e.count(); got != expiries {
			t.Errorf("got %d token requests, want %d", got, expiries)
		}
		if c.Tokens() != expiries {
			t.Errorf("Tokens: got %d, want %d", c.Tokens(), expiries)
		}
	})
}

func TestCancelledCallersDoNotCancelOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		e := &endpoint{t: t, answer: func(n int, c call) *http.Response {
			select {
			case <-release:
			case <-c.req.Context().Done():
				return respond(500, "") // what net/http makes of it is an error as well
			}
			return grant(n, 300)
		}}
		client := newClient(e)
		first, stop := context.WithCancelCause(t.Context())
		why := errors.New("the first went home")
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := client.Token(first); !errors.Is(err, why) {
				t.Errorf("cancelled caller: got %v, want its cause", err)
			}
		})
		synctest.Wait() // the first has started the request
		wg.Go(func() {
			tok, err := client.Token(t.Context())
			if err != nil || tok.AccessToken != "access-token-1" {
				t.Errorf("other caller: got %v", err)
			}
		})
		synctest.Wait()
		stop(why)
		synctest.Wait()
		close(release)
		wg.Wait()
		if e.count() != 1 {
			t.Errorf("got %d requests, want 1", e.count())
		}
	})
}

// When the last caller gives up, the request ends too: no goroutine stays behind.
func TestLastCallerTakesTheRequestAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{t: t, err: func(n int) error { return nil }}
		var ended bool
		e.answer = func(n int, c call) *http.Response {
			if n == 1 {
				<-c.req.Context().Done()
				ended = true
			}
			return grant(n, 300)
		}
		client := newClient(e)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := client.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if !ended {
			t.Error("the request goes on")
		}
		tok, err := client.Token(t.Context()) // a new one
		if err != nil || tok.AccessToken != "access-token-2" {
			t.Errorf("next caller: got %v", err)
		}
	})
}

func TestNoLockIsHeldOverHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		e := &endpoint{t: t}
		e.answer = func(n int, _ call) *http.Response { <-release; return grant(n, 300) }
		c := newClient(e)
		go c.Token(context.Background())
		synctest.Wait()
		c.Invalidate("x")
		_, _ = c.Tokens(), c.Skew()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Token(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		close(release)
	})
}

// P13, F7: a late 401 for an old token does not throw the new one away.
func TestInvalidateByValue(t *testing.T) {
	e := &endpoint{t: t}
	c := newClient(e)
	first := must(c.Token(t.Context()))
	c.Invalidate(first.AccessToken)
	second := must(c.Token(t.Context()))
	c.Invalidate(first.AccessToken)
	if got := must(c.Token(t.Context())); got != second || e.count() != 2 {
		t.Errorf("got token %s after %d requests, want the second", string(got.AccessToken), e.count())
	}
}

// stuck is a signer that does not answer, like a KMS that cannot be reached.
type stuck struct {
	crypto.Signer
	until chan struct{}
}

func (s stuck) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	<-s.until
	return s.Signer.Sign(r, digest, o)
}

// A caller gives up when its ctx ends, whatever the signer does.
func TestP13CallerGivesUpOnAHangingSigner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer := stuck{ecKey().signer, make(chan struct{})}
		e := &endpoint{t: t}
		c := newClient(e)
		c.Keys = must(NewKey(signer, "", ""))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if _, err := c.Token(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("Token: got %v after %v", err, time.Since(start))
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.Assertion(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Assertion: got %v", err)
		}
		close(signer.until)
		synctest.Wait()
		if e.count() != 0 {
			t.Errorf("an assertion was sent that nobody waited for")
		}
		if _, err := c.Token(t.Context()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}
