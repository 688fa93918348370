package smart

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestP9TokenRequest(t *testing.T) {
	e := &endpoint{t: t}
	c := newClient(e)
	c.Scopes = []string{"system/Patient.rs", "system/Group.rs"}
	if _, err := c.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := e.call(0)
	want := map[string]string{
		"scope":                 "system/Patient.rs system/Group.rs",
		"grant_type":            "client_credentials",
		"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
	}
	for name, v := range want {
		if got.form.Get(name) != v {
			t.Errorf("%s: got %q, want %q", name, got.form.Get(name), v)
		}
	}
	if len(got.form) != 4 || got.form.Get("client_assertion") == "" {
		t.Errorf("form: got %d fields, want 4 with client_assertion", len(got.form))
	}
	if r := got.req; r.Method != "POST" || r.URL.String() != tokenURL || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" ||
		r.Header.Get("Accept") != "application/json" || r.Header.Get("Authorization") != "" || r.GetBody != nil {
		t.Errorf("request: got %s %s %v", r.Method, r.URL, r.Header)
	}
	if got.claims["aud"] != tokenURL {
		t.Errorf("aud: got %v, want the URL posted to", got.claims["aud"])
	}
}

func TestP10PlainHTTPOnlyForLoopbackOrByName(t *testing.T) {
	for _, c := range []struct {
		url   string
		allow bool
		ok    bool
	}{
		{"http://auth.example.org/token", false, false},
		{"http://auth.example.org/token", true, true},
		{"http://127.0.0.1:8080/token", false, true},
		{"http://[::1]/token", false, true},
		{"http://localhost/token", false, true},
		{"http://localhost.example.org/token", false, false},
		{"http://127.0.0.1.example.org/token", false, false},
		{"https://auth.example.org/token", false, true},
	} {
		e := &endpoint{t: t}
		client := newClient(e)
		client.TokenURL, client.AllowHTTP = c.url, c.allow
		_, err := client.Token(t.Context())
		if (err == nil) != c.ok || e.count() != map[bool]int{true: 1, false: 0}[c.ok] {
			t.Errorf("%s: got %v and %d requests, want ok = %v", c.url, err, e.count(), c.ok)
		}
		if err != nil {
			wantError(t, err, "auth", "plain http", "https")
		}
		// Discovery is held to the same.
		d := newClient(e)
		d.TokenURL, d.Base, d.AllowHTTP = "", strings.Replace(c.url, "/token", "/fhir", 1), c.allow
		d.HTTP = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return respond(200, `{"token_endpoint":"https://auth.example.org/token"}`), nil
		})}
		if _, err := d.Configuration(t.Context()); (err == nil) != c.ok {
			t.Errorf("discovery at %s: got %v, want ok = %v", c.url, err, c.ok)
		}
	}
}

func TestP12ResponseForms(t *testing.T) {
	for _, c := range []struct {
		body   string
		life   time.Duration
		scopes []string
		fail   string
	}{
		{`{"access_token":"t","token_type":"bearer","expires_in":300}`, 300 * time.Second, nil, ""},
		{`{"access_token":"t","token_type":"BEARER","expires_in":"900","scope":"system/*.rs"}`, 900 * time.Second, []string{"system/*.rs"}, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":60.0,"scope":" a  b "}`, time.Minute, []string{"a", "b"}, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":" 60 ","scope":["a","b c"]}`, time.Minute, []string{"a", "b", "c"}, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":3.6e3}`, time.Hour, nil, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":1e300}`, maxLifetime, nil, ""},
		{`{"access_token":"t","token_type":"Bearer"}`, 5 * time.Minute, nil, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":null,"scope":null}`, 5 * time.Minute, nil, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":"soon"}`, 5 * time.Minute, nil, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":0}`, 5 * time.Minute, nil, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":-4}`, 5 * time.Minute, nil, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":"NaN"}`, 5 * time.Minute, nil, ""},
		{`{"access_token":"t"}`, 5 * time.Minute, nil, ""},
		{`{"access_token":"t","token_type":"mac"}`, 0, nil, "token_type is not bearer"},
		{`{"access_token":"t","token_type":7}`, 0, nil, "token_type is not bearer"},
		{`{"access_token":"","token_type":"bearer"}`, 0, nil, "no access_token"},
		{`{"access_token":7,"token_type":"bearer"}`, 0, nil, "no access_token"},
		{`{"access_token":"a\r\nX: y","token_type":"bearer"}`, 0, nil, "a header cannot carry"},
		{`{"access_token":"t","token_type":"bearer","scope":""}`, 0, nil, "no scope at all"},
		{`{"access_token":"t","token_type":"bearer","scope":[]}`, 0, nil, "no scope at all"},
		{`[]`, 0, nil, "right type"},
		{`null`, 0, nil, "no access_token"},
		{``, 0, nil, "not JSON"},
		{`{"access_token":"t"`, 0, nil, "not JSON"},
	} {
		now := time.Unix(1_700_000_000, 0)
		e := &endpoint{t: t, answer: func(int, call) *http.Response { return respond(200, c.body) }}
		client := newClient(e)
		client.Now = func() time.Time { return now }
		tok, err := client.Token(t.Context())
		if c.fail != "" {
			wantError(t, err, "auth", c.fail, "")
			if e.count() != 1 {
				t.Errorf("%s: asked %d times", c.body, e.count())
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		if string(tok.AccessToken) != "t" || tok.Expiry.Sub(now) != c.life || !slices.Equal(tok.Scopes, c.scopes) || (tok.Scopes == nil) != (c.scopes == nil) {
			t.Errorf("%s: got life %v, scopes %q; want %v, %q", c.body, tok.Expiry.Sub(now), tok.Scopes, c.life, c.scopes)
		}
	}
}

// F5: what was assumed for the server's silence is said once.
func TestF5WarnsOnceAboutAMissingExpiry(t *testing.T) {
	log, out := logged()
	c := newClient(&endpoint{t: t, answer: func(int, call) *http.Response {
		return respond(200, `{"access_token":"t","token_type":"bearer"}`)
	}})
	c.Log = log
	for range 3 {
		tok, err := c.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Invalidate(tok.AccessToken)
	}
	if got := strings.Count(out.String(), "how long the token lives"); got != 1 {
		t.Errorf("got %d warnings, want 1:\n%s", got, out)
	}
	if got := strings.Count(out.String(), "which scopes it granted"); got != 1 {
		t.Errorf("got %d warnings about the scope, want 1:\n%s", got, out)
	}
}

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

func TestF12NextAssertionUsesTheNewKey(t *testing.T) {
	e := &endpoint{t: t}
	c := newClient(e)
	now := Keys{ecKey()}
	c.Keys = keySource(func() *Key { return now[0] })
	tok := must(c.Token(t.Context()))
	now = Keys{rsaKey()}
	if got := must(c.Token(t.Context())); got != tok {
		t.Error("a rotation threw a good token away")
	}
	c.Invalidate(tok.AccessToken)
	must(c.Token(t.Context()))
	if got := []any{e.call(0).header["kid"], e.call(1).header["kid"], e.call(1).header["alg"]}; !slices.Equal(got, []any{"ec", "rsa", "RS384"}) {
		t.Errorf("got %v, want ec, then rsa with RS384", got)
	}
}

type keySource func() *Key

func (f keySource) SigningKey(context.Context, time.Time, []string) (*Key, error) { return f(), nil }

func TestClientSecretBasicAndPost(t *testing.T) {
	const secret = "s3cr+t/%:ü"
	e := &endpoint{t: t}
	c := newClient(e)
	c.Keys, c.Secret, c.ClientID = nil, secret, "my:client"
	must(c.Token(t.Context()))
	user, pass, ok := e.call(0).req.BasicAuth()
	if !ok || user != "my%3Aclient" || pass != "s3cr%2Bt%2F%25%3A%C3%BC" { // RFC 6749 2.3.1
		t.Errorf("Basic: got %q, %q", user, pass)
	}
	if f := e.call(0).form; len(f) != 2 {
		t.Errorf("Basic: form has %d fields, want grant_type and scope", len(f))
	}
	c2 := newClient(e)
	c2.Keys, c2.Secret, c2.SecretInBody = nil, secret, true
	must(c2.Token(t.Context()))
	last := e.call(1)
	if last.req.Header.Get("Authorization") != "" || last.form.Get("client_secret") != secret || last.form.Get("client_id") != "my-client" {
		t.Errorf("post: got %v", last.req.Header)
	}
	e.answer = func(int, call) *http.Response { return respond(401, `{"error":"invalid_client"}`) }
	c3 := newClient(e)
	c3.Keys, c3.Secret = nil, secret
	_, err := c3.Token(t.Context())
	wantError(t, err, "auth", "invalid_client", "Basic")
	if e.count() != 3 {
		t.Errorf("a wrong secret was sent %d times", e.count()-2)
	}
	_, err = c3.Assertion(t.Context())
	wantError(t, err, "auth", "secret instead of a key", "")
}

func TestSettingsThatCannotWork(t *testing.T) {
	for _, c := range []struct {
		change func(*Client)
		want   string
	}{
		{func(c *Client) { c.ClientID = "" }, "no client id"},
		{func(c *Client) { c.Keys = nil }, "neither a key nor"},
		{func(c *Client) { c.Secret = "x" }, "both a key and"},
		{func(c *Client) { c.TokenURL = "" }, "neither a FHIR base URL nor"},
		{func(c *Client) { c.TokenURL = "auth/token" }, "absolute http(s) URL"},
		{func(c *Client) { c.TokenURL = "https://u:p@x/token" }, "without user info"},
	} {
		e := &endpoint{t: t}
		client := newClient(e)
		c.change(client)
		_, err := client.Token(t.Context())
		if wantError(t, err, "auth", c.want, ""); err.(*Error).Hint() == "" || e.count() != 0 {
			t.Errorf("%v: no hint, or asked", err)
		}
	}
}

func TestStaticToken(t *testing.T) {
	tok, err := StaticToken{"abc"}.Token(t.Context())
	if err != nil || tok.AccessToken != "abc" || !tok.Expiry.IsZero() || !tok.usable(time.Now()) {
		t.Errorf("got %+v, %v", tok, err)
	}
	_, err = StaticToken{""}.Token(t.Context())
	wantError(t, err, "auth", "empty", "bearer token")
	_, err = StaticToken{"Bearer abc\n"}.Token(t.Context())
	wantError(t, err, "auth", "header cannot carry", "without the word Bearer")
}

// The endpoint is forgotten when it is gone, so that a server that moved it is found.
func TestP4DiscoveredAgainWhenTheEndpointMoved(t *testing.T) {
	moved := false
	c := newClient(nil)
	c.TokenURL, c.Base = "", "https://fhir.example.org"
	c.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		switch {
		case strings.HasSuffix(r.URL.Path, "smart-configuration"):
			return respond(200, fmt.Sprintf(`{"token_endpoint":"https://auth.example.org/%v"}`, moved)), nil
		case r.URL.Path == fmt.Sprintf("/%v", moved):
			return grant(1, 300), nil
		}
		return respond(404, ""), nil
	})}
	tok := must(c.Token(t.Context()))
	moved = true
	c.Invalidate(tok.AccessToken)
	_, err := c.Token(t.Context())
	wantError(t, err, "auth", "status 404", "no token endpoint")
	if _, err := c.Token(t.Context()); err != nil {
		t.Errorf("got %v, want a token of the new endpoint", err)
	}
}
