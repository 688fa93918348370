package smart

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestP8FreshJTIPerAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{t: t}
		e.err = func(n int) error {
			if n == 1 {
				return syscall.ECONNRESET
			}
			return nil
		}
		e.answer = func(n int, _ call) *http.Response {
			switch n {
			case 2:
				return respond(503, "")
			case 3:
				return respond(429, "", "Retry-After", "7")
			case 4:
				return refuse("invalid_client")
			}
			return grant(n, 300)
		}
		c := newClient(e)
		if _, err := c.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		seen := map[any]bool{}
		for i := range e.count() {
			jti := e.call(i).claims["jti"]
			if jti == nil || seen[jti] {
				t.Errorf("attempt %d: jti %v was used before", i+1, jti)
			}
			seen[jti] = true
		}
		if len(seen) != 5 {
			t.Errorf("got %d attempts, want 5", len(seen))
		}
		if wait := e.call(3).at.Sub(e.call(2).at); wait < 7*time.Second {
			t.Errorf("after Retry-After: 7 waited %v", wait)
		}
	})
}

// net/http must not send the same assertion again on its own when a kept connection
// breaks.
func TestP8NoReplayByNetHTTP(t *testing.T) {
	e := &endpoint{t: t}
	c := newClient(e)
	must(c.Token(t.Context()))
	if r := e.call(0).req; r.GetBody != nil || r.Header.Get("Idempotency-Key") != "" {
		t.Error("the request can be replayed by net/http")
	}
}

// The same over the wire: a server that has read an assertion on a connection that was used
// before, and hangs up, sees another one in the next attempt.
func TestP8NoReplayOverABrokenConnection(t *testing.T) {
	var mu sync.Mutex
	var jtis []any
	connections := map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, claims, err := DecodeAssertion(Secret(r.FormValue("client_assertion")))
		var c struct{ Jti any }
		if err != nil || json.Unmarshal(claims, &c) != nil {
			t.Errorf("assertion: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		jtis = append(jtis, c.Jti)
		connections[r.RemoteAddr]++
		if len(jtis) == 2 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"t%d","token_type":"bearer","expires_in":300}`, len(jtis))
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer s.Close()
	c := newClient(nil)
	c.TokenURL, c.HTTP = s.URL+"/token", s.Client()
	c.Invalidate(must(c.Token(t.Context())).AccessToken)
	if got, err := c.Token(t.Context()); err != nil || got.AccessToken != "t3" {
		t.Fatalf("got %v", err)
	}
	if len(jtis) != 3 || jtis[0] == jtis[1] || jtis[1] == jtis[2] || jtis[0] == jtis[2] {
		t.Errorf("the server saw the jtis %v, want three", jtis)
	}
	if len(connections) != 2 {
		t.Errorf("%d connections: the broken one was not one used before", len(connections))
	}
}

func TestRetriesAreBoundedAndSelective(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func() *http.Response
		err    error
		want   int
		class  string
	}{
		{"network", nil, syscall.ECONNREFUSED, 1 + transientRetries, ""},
		{"500", func() *http.Response { return respond(500, "") }, nil, 1 + transientRetries, ""},
		{"503", func() *http.Response { return respond(503, "<html>", "Retry-After", "junk") }, nil, 1 + transientRetries, ""},
		{"429", func() *http.Response { return respond(429, "", "Retry-After", "1700000000000") }, nil, 1 + transientRetries, ""},
		{"temporarily_unavailable", func() *http.Response { return refuse("temporarily_unavailable") }, nil, 1 + transientRetries, ""},
		{"F2 invalid_client", func() *http.Response { return refuse("invalid_client") }, nil, 2, "auth"},
		{"F2 unauthorized_client", func() *http.Response { return refuse("unauthorized_client") }, nil, 2, "auth"},
		{"F2 invalid_grant", func() *http.Response { return refuse("invalid_grant") }, nil, 2, "auth"},
		{"F3 invalid_scope", func() *http.Response { return refuse("invalid_scope") }, nil, 1, "auth"},
		{"unsupported_grant_type", func() *http.Response { return refuse("unsupported_grant_type") }, nil, 1, "auth"},
		{"invalid_request", func() *http.Response { return refuse("invalid_request") }, nil, 1, "auth"},
		{"404", func() *http.Response { return respond(404, "") }, nil, 1, "auth"},
		{"200 with an error", func() *http.Response { return respond(200, `{"error":"invalid_scope"}`) }, nil, 1, "auth"},
		{"login page", func() *http.Response { return respond(200, "<html>", "Content-Type", "text/html") }, nil, 1, "auth"},
		{"endless", func() *http.Response { return respond(200, strings.Repeat(" ", maxTokenResponse+1)) }, nil, 1, "auth"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &endpoint{t: t}
				if c.err != nil {
					e.err = func(int) error { return c.err }
				} else {
					e.answer = func(int, call) *http.Response { return c.answer() }
				}
				start := time.Now()
				_, err := newClient(e).Token(t.Context())
				wantError(t, err, c.class, "", "")
				if e.count() != c.want {
					t.Errorf("got %d attempts, want %d", e.count(), c.want)
				}
				if took := time.Since(start); took > 5*time.Minute {
					t.Errorf("took %v", took)
				}
				if c.err != nil && !errors.Is(err, c.err) {
					t.Errorf("got %v, want the cause in it", err)
				}
			})
		})
	}
}

// F1: the local clock is wrong; the server's Date header mends it, also for
// the renewals that follow, and the difference is reported.
func TestF1ClockSkewIsMeasuredAndCorrected(t *testing.T) {
	for _, ahead := range []time.Duration{10 * time.Minute, -3 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			server := func() time.Time { return time.Now().Add(ahead) }
			e := &endpoint{t: t}
			e.answer = func(n int, c call) *http.Response {
				exp, _ := c.claims["exp"].(interface{ Int64() (int64, error) }).Int64()
				left := time.Unix(exp, 0).Sub(server())
				if left <= 0 || left > 5*time.Minute {
					return respond(400, `{"error":"invalid_client"}`, "Date", server().UTC().Format(http.TimeFormat))
				}
				return grant(n, 300)
			}
			log, out := logged()
			c := newClient(e)
			c.Log = log
			tok, err := c.Token(t.Context())
			if err != nil || e.count() != 2 {
				t.Fatalf("got %v after %d requests, want 2", err, e.count())
			}
			if got := c.Skew(); (got - ahead).Abs() > 2*time.Second {
				t.Errorf("Skew: got %v, want %v", got, ahead)
			}
			if !strings.Contains(out.String(), "clock differs") {
				t.Errorf("not reported: %s", out)
			}
			c.Invalidate(tok.AccessToken)
			tok, err = c.Token(t.Context())
			if err != nil || e.count() != 3 {
				t.Fatalf("renewal: got %v after %d requests, want 3", err, e.count())
			}
			// Somebody sets the clock while the program runs.
			ahead = 0
			c.Invalidate(tok.AccessToken)
			if _, err = c.Token(t.Context()); err != nil || e.count() != 5 || c.Skew() != 0 {
				t.Errorf("clock set: got %v after %d requests, skew %v; want 5 requests", err, e.count(), c.Skew())
			}
		})
	}
}

func TestF1SkewIsInTheErrorWhenItWasNotAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{t: t, answer: func(int, call) *http.Response {
			return respond(401, `{"error":"invalid_client","error_description":"no"}`, "Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		}}
		c := newClient(e)
		_, err := c.Token(t.Context())
		got := wantError(t, err, "auth", "invalid_client", "1h0m0s behind this machine's")
		if got.Skew.Round(time.Minute) != -time.Hour || e.count() != 2 || c.Skew() != 0 {
			t.Errorf("got skew %v after %d requests, client's %v", got.Skew, e.count(), c.Skew())
		}
	})
}

// F9: Epic answers a renewal with 400 now and then, for a key that has just worked.
func TestF9FlakyRenewalIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := 0
		e := &endpoint{t: t}
		e.answer = func(n int, _ call) *http.Response {
			if fail > 0 {
				fail--
				return respond(400, `{"error":"invalid_client","error_description":null}`)
			}
			return grant(n, 300)
		}
		c := newClient(e)
		tok := must(c.Token(t.Context()))
		for _, f := range []struct {
			fails int
			ok    bool
		}{{1, true}, {5, true}, {6, false}} {
			c.Invalidate(tok.AccessToken)
			before := e.count()
			fail = f.fails
			next, err := c.Token(t.Context())
			if (err == nil) != f.ok || e.count()-before != min(f.fails, provenRetries)+1 {
				t.Errorf("%d failures: got %v after %d requests", f.fails, err, e.count()-before)
			}
			if err == nil {
				tok = next
			}
		}
		// A key that never worked gets F2's single retry.
		c.Keys = must(NewKey(rsaKey().signer, "", "other"))
		before := e.count()
		fail = 9
		_, err := c.Token(t.Context())
		wantError(t, err, "auth", "invalid_client", `kid "other"`)
		if got := e.count() - before; got != 2 {
			t.Errorf("another key: got %d requests, want 2", got)
		}
	})
}

func TestF10TokenEndpointRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		e := &endpoint{t: t, answer: func(int, call) *http.Response {
			return respond(status, "", "Location", "https://evil.example.com/token?state=SECRETQUERY")
		}}
		_, err := newClient(e).Token(t.Context())
		got := wantError(t, err, "auth", "redirects, which is not followed (to https://evil.example.com/token)", "token URL")
		if e.count() != 1 || strings.Contains(got.Error(), "SECRETQUERY") {
			t.Errorf("%d: %v after %d requests", status, err, e.count())
		}
	}
}

// F2: who is refused asks once more, with a fresh JWT, and not again.
func TestF2RejectedClientRetriesOnce(t *testing.T) {
	for _, code := range []string{"invalid_client", "unauthorized_client", "invalid_grant"} {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{t: t, answer: func(int, call) *http.Response { return refuse(code) }}
			_, err := newClient(e).Token(t.Context())
			wantError(t, err, "auth", code, "")
			if e.count() != 2 || e.call(0).claims["jti"] == e.call(1).claims["jti"] {
				t.Errorf("%s: got %d requests, want 2 with different jtis", code, e.count())
			}
		})
	}
}

// F3: what was asked for is in the hint, and nothing is tried again, also with a key that
// has worked before (F9).
func TestF3InvalidScopeIsNotRetried(t *testing.T) {
	e := &endpoint{t: t}
	c := newClient(e)
	c.Scopes = []string{"system/Patient.rs", "system/Unicorn.rs"}
	tok := must(c.Token(t.Context()))
	e.answer = func(int, call) *http.Response { return refuse("invalid_scope") }
	c.Invalidate(tok.AccessToken)
	_, err := c.Token(t.Context())
	wantError(t, err, "auth", "invalid_scope", "system/Patient.rs system/Unicorn.rs")
	if e.count() != 2 {
		t.Errorf("got %d requests, want the good one and one refusal", e.count())
	}
}
