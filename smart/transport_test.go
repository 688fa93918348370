package smart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// tokens is a TokenSource that issues t1, t2, … and counts.
type tokens struct {
	mu          sync.Mutex
	current     string
	issued      int
	invalidated []string
	err         error
}

func (s *tokens) Token(context.Context) (*Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if s.current == "" {
		s.issued++
		s.current = fmt.Sprintf("t%d", s.issued)
	}
	return &Token{AccessToken: Secret(s.current)}, nil
}

func (s *tokens) Invalidate(t Secret) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.invalidated = append(s.invalidated, string(t))
	if s.current == string(t) {
		s.current = ""
	}
}

// fhir is a server that records the Authorization of each request.
type fhir struct {
	*httptest.Server
	mu    sync.Mutex
	auths []string
}

func newFHIR(t *testing.T, h http.HandlerFunc) *fhir {
	f := &fhir{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.auths = append(f.auths, r.Header.Get("Authorization"))
		f.mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fhir) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.auths)
}

func (f *fhir) base() *url.URL { return must(url.Parse(f.URL + "/fhir")) }

func get(t *testing.T, c *http.Client, u string) (*http.Response, string, error) {
	t.Helper()
	resp, err := c.Get(u)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	return resp, string(must(io.ReadAll(resp.Body))), nil
}

func TestP15TokenOnlyToTheServerAndAllowedOrigins(t *testing.T) {
	ok := func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("Epic-Client-Id")) }
	server, files, other := newFHIR(t, ok), newFHIR(t, ok), newFHIR(t, ok)
	src := &tokens{}
	tr := &Transport{
		Source: src, Server: server.base(), Origins: []Origin{must(ParseOrigin(files.URL))},
		Header: http.Header{"Epic-Client-ID": {"my-app"}},
	}
	c := &http.Client{Transport: tr}
	for _, x := range []struct {
		f            *fhir
		auth, header string
	}{{server, "Bearer t1", "my-app"}, {files, "Bearer t1", "my-app"}, {other, "", ""}} {
		_, body, err := get(t, c, x.f.URL+"/fhir/Patient")
		if err != nil || body != x.header || x.f.seen()[0] != x.auth {
			t.Errorf("got %q, %q, %v; want %q, %q", x.f.seen(), body, err, x.auth, x.header)
		}
	}
	// An Authorization of the caller's own does not go to a foreign origin either, and
	// the request itself is not changed.
	req := must(http.NewRequest("GET", other.URL, nil))
	req.Header.Set("Authorization", "Bearer t1")
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := other.seen(); got[1] != "" || req.Header.Get("Authorization") != "Bearer t1" {
		t.Errorf("foreign origin got %q", got)
	}
}

func TestOrigins(t *testing.T) {
	base := must(url.Parse("https://EHR.example.org/fhir"))
	for raw, same := range map[string]bool{
		"https://ehr.example.org:443/x":                 true,
		"https://ehr.example.org/":                      true,
		"http://ehr.example.org/":                       false,
		"https://ehr.example.org:8443/":                 false,
		"https://ehr.example.org.evil.com/":             false,
		"https://x.ehr.example.org/":                    false,
		"https://ehr.example.org@evil.com/":             false,
		"https://evil.com/https://ehr.example.org/":     false,
		"//ehr.example.org/":                            false,
		"file:///ehr.example.org":                       false,
		"https://ehr.example.org%2eevil.com/":           false,
		"https://evil.com#@ehr.example.org/":            false,
		"https://evil.com?x=https://ehr.example.org:44": false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			continue // net/http cannot send it either
		}
		if got := (&Transport{Server: base}).allowed(u); got != same {
			t.Errorf("%s: allowed = %v, want %v", raw, got, same)
		}
	}
	if (&Transport{}).allowed(must(url.Parse("mailto:x"))) {
		t.Error("two URLs without origin count as the same")
	}
	for _, bad := range []string{"", "ehr.example.org", "https://x/path", "https://u@x", "https://x?q", "ftp://x", "https://*.example.org:x"} {
		if o, err := ParseOrigin(bad); err == nil {
			t.Errorf("ParseOrigin(%q): got %q", bad, o)
		} else {
			wantError(t, err, "auth", "not an http(s) origin", "https://")
		}
	}
}

// F42: the redirect is followed, the token is not.
func TestF42TokenDoesNotFollowARedirectToAnotherOrigin(t *testing.T) {
	other := newFHIR(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "file") })
	// localhost and 127.0.0.1 are different hosts; net/http alone keeps Authorization for a
	// subdomain and for another port of the same host.
	server := newFHIR(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/back" {
			fmt.Fprint(w, "home")
			return
		}
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
	})
	c := &http.Client{Transport: &Transport{Source: &tokens{}, Server: server.base()}}
	if _, body, err := get(t, c, server.URL+"/x?to="+url.QueryEscape(other.URL)); err != nil || body != "file" {
		t.Fatalf("got %q, %v", body, err)
	}
	if got := other.seen(); !slices.Equal(got, []string{""}) {
		t.Errorf("the other origin got %q", got)
	}
	if _, body, err := get(t, c, server.URL+"/x?to=/back"); err != nil || body != "home" {
		t.Fatalf("got %q, %v", body, err)
	}
	if got := server.seen(); !slices.Equal(got, []string{"Bearer t1", "Bearer t1", "Bearer t1"}) {
		t.Errorf("the server got %q", got)
	}
}

// F7, F8: one re-authentication, the same request once more.
func TestF7ReauthenticatesOnceOn401(t *testing.T) {
	server := newFHIR(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer t2" {
			w.WriteHeader(401)
			io.WriteString(w, strings.Repeat("no", 10_000))
			return
		}
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL, body)
	})
	src := &tokens{}
	c := &http.Client{Transport: &Transport{Source: src, Server: server.base()}}
	for i, x := range []struct{ method, body, want string }{
		{"GET", "", "GET /status?x=1 "},
		{"POST", "kick-off", "POST /status?x=1 kick-off"},
	} {
		if i > 0 {
			src.issued, src.current = 0, ""
		}
		req := must(http.NewRequest(x.method, server.URL+"/status?x=1", strings.NewReader(x.body)))
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got := string(must(io.ReadAll(resp.Body)))
		resp.Body.Close()
		if got != x.want || src.issued != 2 {
			t.Errorf("got %q with %d tokens, want %q with 2", got, src.issued, x.want)
		}
	}
}

// F11: a 401 for a token just issued stops, and says so.
func TestF11SecondRefusalStops(t *testing.T) {
	server := newFHIR(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="x", error="invalid_token", error_description="t1"`)
		w.WriteHeader(401)
	})
	src := &tokens{}
	c := &http.Client{Transport: &Transport{Source: src, Server: server.base()}}
	_, _, err := get(t, c, server.URL+"/fhir/Patient/secret-id?x=SECRETQUERY")
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	wantError(t, e, "auth", "status 401 invalid_token: the server refuses a token that was just issued", "token URL")
	if strings.Contains(e.Error(), "secret-id") || strings.Contains(e.Error(), "QUERY") {
		t.Errorf("the error shows the request: %v", e)
	}
	if got := server.seen(); !slices.Equal(got, []string{"Bearer t1", "Bearer t2"}) {
		t.Errorf("got %q, want two requests", got)
	}
	if !slices.Equal(src.invalidated, []string{"t1", "t2"}) {
		t.Errorf("invalidated: %v", src.invalidated)
	}
}

// F11 is for tokens just issued: one that somebody else got while this request was under way
// may have been revoked since, and another one is asked for.
func TestF11ATokenOlderThanTheRefusalIsNotJustIssued(t *testing.T) {
	for _, refuseAll := range []bool{false, true} {
		e := &endpoint{t: t}
		client := newClient(e)
		first := must(client.Token(t.Context()))
		var requests atomic.Int32
		server := newFHIR(t, func(w http.ResponseWriter, _ *http.Request) {
			n := requests.Add(1)
			if n == 1 { // meanwhile another request renews
				client.Invalidate(first.AccessToken)
				_, _ = client.Token(context.Background())
			}
			if n <= 2 || refuseAll { // the server has revoked both
				w.WriteHeader(401)
			}
		})
		c := &http.Client{Transport: &Transport{Source: client, Server: server.base()}}
		_, _, err := get(t, c, server.URL+"/status")
		if (err != nil) != refuseAll || requests.Load() != 3 || e.count() != 3 {
			t.Errorf("refuse all %v: got %v after %d requests with %d tokens, want 3 of each", refuseAll, err, requests.Load(), e.count())
		}
		if e, ok := errors.AsType[*Error](err); refuseAll && (!ok || !strings.Contains(e.Error(), "just issued")) {
			t.Errorf("got %v", err)
		}
	}
}

func TestOnly401IsActedOn(t *testing.T) {
	status := 0
	server := newFHIR(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) })
	src := &tokens{}
	c := &http.Client{Transport: &Transport{Source: src, Server: server.base()}}
	for _, status = range []int{200, 202, 400, 403, 404, 429, 500, 503} {
		before := len(server.seen())
		resp, _, err := get(t, c, server.URL)
		if err != nil || resp.StatusCode != status || len(server.seen()) != before+1 || src.issued != 1 {
			t.Errorf("%d: got %v after %d requests and %d tokens", status, err, len(server.seen())-before, src.issued)
		}
	}
}

func TestBodiesThatCannotBeReadAgainAreNotSentAgain(t *testing.T) {
	server := newFHIR(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401); io.WriteString(w, "why") })
	src := &tokens{}
	c := &http.Client{Transport: &Transport{Source: src, Server: server.base()}}
	req := must(http.NewRequest("POST", server.URL, io.MultiReader(strings.NewReader("x"))))
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body := string(must(io.ReadAll(resp.Body))); resp.StatusCode != 401 || body != "why" || len(server.seen()) != 1 {
		t.Errorf("got %d %q after %d requests; want the 401 itself", resp.StatusCode, body, len(server.seen()))
	}
	if !slices.Equal(src.invalidated, []string{"t1"}) {
		t.Errorf("invalidated: %v; the next request must not use the token", src.invalidated)
	}
}

func TestStaticTokensAndOpenServersPassA401On(t *testing.T) {
	server := newFHIR(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) })
	for _, src := range []TokenSource{StaticToken{"abc"}, nil} {
		c := &http.Client{Transport: &Transport{Source: src, Server: server.base()}}
		if resp, _, err := get(t, c, server.URL); err != nil || resp.StatusCode != 401 {
			t.Errorf("got %v", err)
		}
	}
	if got := server.seen(); !slices.Equal(got, []string{"Bearer abc", ""}) {
		t.Errorf("got %q", got)
	}
}

func TestF8ParallelDownloadsShareOneReauthentication(t *testing.T) {
	const files = 50
	var revoked atomic.Bool
	var at sync.WaitGroup
	at.Add(files)
	server := newFHIR(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer access-token-1" && revoked.Load() {
			at.Done()
			at.Wait() // all get their 401 for the same token
			w.WriteHeader(401)
			return
		}
		fmt.Fprint(w, "ok")
	})
	e := &endpoint{t: t}
	client := newClient(e)
	c := &http.Client{Transport: &Transport{Source: client, Server: server.base()}}
	if _, _, err := get(t, c, server.URL); err != nil {
		t.Fatal(err)
	}
	revoked.Store(true)
	var wg sync.WaitGroup
	for range files {
		wg.Go(func() {
			if _, body, err := get(t, c, server.URL); err != nil || body != "ok" {
				t.Errorf("got %q, %v", body, err)
			}
		})
	}
	wg.Wait()
	if e.count() != 2 {
		t.Errorf("got %d token requests, want 2", e.count())
	}
}

func TestP10TransportRefusesPlainHTTP(t *testing.T) {
	body := &closed{Reader: bytes.NewReader(nil)}
	tr := &Transport{Source: &tokens{}, Server: must(url.Parse("http://ehr.example.org/fhir")), Base: roundTrip(func(r *http.Request) (*http.Response, error) {
		return respond(200, r.Header.Get("Authorization")), nil
	})}
	req := must(http.NewRequest("POST", "http://ehr.example.org/fhir/Patient/secret-id", body))
	_, err := tr.RoundTrip(req)
	wantError(t, err, "auth", "plain http", "https")
	if !body.closed {
		t.Error("the body was not closed")
	}
	tr.AllowHTTP = true
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := must(io.ReadAll(resp.Body)); string(got) != "Bearer t1" {
		t.Errorf("got %q", got)
	}
}

// Headers of the server's own are as secret as a token, also where there is no token, and so
// is an Authorization of the caller's.
func TestP10TransportSendsNoSecretOverPlainHTTP(t *testing.T) {
	for _, c := range []struct {
		name          string
		header        http.Header
		authorization string
		ok            bool
	}{
		{"nothing secret", nil, "", true},
		{"a header", http.Header{"X-Api-Key": {"k"}}, "", false},
		{"the caller's", nil, "Basic eDp5", false},
	} {
		sent := 0
		tr := &Transport{Server: must(url.Parse("http://ehr.example.org/fhir")), Header: c.header, Base: roundTrip(func(*http.Request) (*http.Response, error) {
			sent++
			return respond(200, ""), nil
		})}
		req := must(http.NewRequest("GET", "http://ehr.example.org/fhir/metadata", nil))
		if c.authorization != "" {
			req.Header.Set("Authorization", c.authorization)
		}
		_, err := tr.RoundTrip(req)
		if (err == nil) != c.ok || (sent == 1) != c.ok {
			t.Errorf("%s: got %v, sent %d", c.name, err, sent)
		}
		if !c.ok {
			wantError(t, err, "auth", "plain http", "https")
			tr.AllowHTTP = true
			if _, err := tr.RoundTrip(req); err != nil || sent != 1 {
				t.Errorf("%s, allowed: got %v, sent %d", c.name, err, sent)
			}
		}
	}
}

type closed struct {
	io.Reader
	closed bool
}

func (c *closed) Close() error { c.closed = true; return nil }

func TestTokenErrorsReachTheCaller(t *testing.T) {
	server := newFHIR(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) })
	why := &Error{Op: "request token", Code: "invalid_client", kind: lasting}
	src := &tokens{err: why}
	c := &http.Client{Transport: &Transport{Source: src, Server: server.base()}}
	_, _, err := get(t, c, server.URL)
	if !errors.Is(err, why) || len(server.seen()) != 0 {
		t.Errorf("got %v after %d requests", err, len(server.seen()))
	}
	src.err = nil
	hook := &Transport{Source: src, Server: server.base(), Base: roundTrip(func(r *http.Request) (*http.Response, error) {
		src.err = why // re-authentication fails
		return http.DefaultTransport.RoundTrip(r)
	})}
	_, _, err = get(t, &http.Client{Transport: hook}, server.URL)
	if !errors.Is(err, why) || len(server.seen()) != 1 {
		t.Errorf("got %v after %d requests", err, len(server.seen()))
	}
}

// A request over a transport that keeps no connections is sent once, even when the
// server closes without answering; a 401 is an answer.
func TestP23KickOffIsSentOnceOverATransportWithoutKeepAlive(t *testing.T) {
	var n atomic.Int32
	server := newFHIR(t, func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) {
		case 2:
			w.WriteHeader(401)
		case 4:
			panic(http.ErrAbortHandler)
		}
	})
	alone := http.DefaultTransport.(*http.Transport).Clone()
	alone.DisableKeepAlives = true
	c := &http.Client{Transport: &Transport{Source: &tokens{}, Server: server.base(), Base: alone}}
	for i, want := range []int32{1, 3, 4} {
		_, _, err := get(t, c, server.URL+"/fhir/$export")
		if n.Load() != want || (err != nil) != (want == 4) {
			t.Errorf("request %d: %d arrived, want %d; %v", i, n.Load(), want, err)
		}
	}
}

// A 401 whose body never ends does not hold the request up.
func TestF7StalledRefusalIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body, _ := io.Pipe()
		src := &tokens{}
		tr := &Transport{Source: src, Server: must(url.Parse("https://ehr.example.org/fhir")), Base: roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") == "Bearer t1" {
				refused := respond(401, "")
				refused.Body = body
				return refused, nil
			}
			return respond(200, "ok"), nil
		})}
		start := time.Now()
		resp, err := tr.RoundTrip(must(http.NewRequest("GET", "https://ehr.example.org/fhir/x", nil)))
		if err != nil || resp.StatusCode != 200 || time.Since(start) > drainTime {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}
