package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var patients = Request{Level: Patient, Types: []string{"Patient"}}

func TestP17KickOffRequest(t *testing.T) {
	sent := time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		r    Request
		want string
	}{
		{Request{Level: System}, "GET " + base + "/$export"},
		{Request{Level: Patient, Types: []string{"Patient"}}, "GET " + base + "/Patient/$export?_type=Patient"},
		{Request{Level: Group, Group: "a/b c"}, "GET " + base + "/Group/a%2Fb%20c/$export"},
		{Request{Level: System, Post: true}, "POST " + base + "/$export"},
		{Request{Level: Patient, Patients: []string{"1"}}, "POST " + base + "/Patient/$export"},
	} {
		f := answers(reply(202, "", "Content-Location", base+"/status/1", "Date", httpDate(sent)))
		k, err := clientOf(f).KickOff(t.Context(), tc.r)
		if err != nil {
			t.Fatalf("%s: %v", tc.want, err)
		}
		r := f.seen[0]
		if got := r.Method + " " + r.URL.String(); got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
		if a := r.Header["Accept"]; len(a) != 1 || a[0] != "application/fhir+json" {
			t.Errorf("Accept %q", a)
		}
		if p := r.Header["Prefer"]; len(p) != 1 || p[0] != "respond-async" {
			t.Errorf("Prefer %q", p)
		}
		if k.StatusURL != base+"/status/1" || !k.Date.Equal(sent) || len(k.Warnings)+len(k.Ignored) != 0 {
			t.Errorf("kick-off %+v", k)
		}
	}
}

func TestP18PostFallsBackToGet(t *testing.T) {
	for _, code := range []int{405, 415} {
		f := answers(reply(code, ""), reply(202, "", "Content-Location", base+"/status/1", "Date", httpDate(time.Now())))
		r := patients
		r.Post = true
		k, err := clientOf(f).KickOff(t.Context(), r)
		if err != nil || f.count() != 2 || f.seen[1].Method != "GET" || f.seen[1].URL.Query().Get("_type") != "Patient" || len(k.Warnings) != 1 {
			t.Errorf("%d: %v, %d requests, %+v", code, err, f.count(), k)
		}
		// patient needs POST: a GET would export everybody.
		f = answers(reply(code, ""), reply(202, "", "Content-Location", "/s"))
		r.Patients = []string{"1"}
		_, err = clientOf(f).KickOff(t.Context(), r)
		var refused *RefusedError
		if !errors.As(err, &refused) || f.count() != 1 || refused.Hint() == "" {
			t.Errorf("%d with patient: %v, %d requests", code, err, f.count())
		}
	}
}

func TestP21F18LenientSaysWhatWasIgnored(t *testing.T) {
	body := outcome("warning", "not-supported", "parameter _elements is not supported for Smith")
	f := answers(reply(202, body, "Content-Location", base+"/s", "Date", httpDate(time.Now())))
	r := patients
	r.Lenient = true
	k, err := clientOf(f).KickOff(t.Context(), r)
	if err != nil || f.seen[0].Header.Get("Prefer") != "respond-async, handling=lenient" {
		t.Fatalf("%v, Prefer %q", err, f.seen[0].Header.Get("Prefer"))
	}
	if len(k.Ignored) != 1 || k.Ignored[0] != "warning not-supported: parameter _elements is not supported for …" {
		t.Errorf("ignored %q", k.Ignored)
	}
}

// F18: an error beside the acceptance says that a part of the request is not done.
func TestF18ErrorBesideTheAcceptance(t *testing.T) {
	for severity, ignored := range map[string]int{"error": 1, "fatal": 1, "warning": 0} {
		f := answers(reply(202, outcome(severity, "processing", "type Device"), "Content-Location", base+"/s", "Date", httpDate(time.Now())))
		k, err := clientOf(f).KickOff(t.Context(), Request{Level: System})
		if err != nil || len(k.Ignored) != ignored || len(k.Warnings) != 1-ignored {
			t.Errorf("%s: %v %+v", severity, err, k)
		}
	}
}

func TestF13F14ContentLocation(t *testing.T) {
	for _, tc := range []struct {
		name     string
		a        *answer
		status   string // "" means a ProtocolError
		warnings int
	}{
		{"200 with", reply(200, "", "Content-Location", base+"/s"), base + "/s", 2}, // the other: no Date
		{"200 without", reply(200, "{}"), "", 0},
		{"202 without", reply(202, ""), "", 0},
		{"relative", reply(202, "", "Content-Location", "/fhir/s/1", "Date", httpDate(time.Now())), base + "/s/1", 0},
		{"http behind a proxy", reply(202, "", "Content-Location", "http://ehr.example.org/s", "Date", httpDate(time.Now())), "https://ehr.example.org/s", 1},
		{"hostile", reply(202, "", "Content-Location", "file:///etc/passwd"), "", 0},
		{"204", reply(204, ""), "", 0},
	} {
		k, err := clientOf(answers(tc.a)).KickOff(t.Context(), patients)
		var pe *ProtocolError
		switch {
		case tc.status == "" && (!errors.As(err, &pe) || class(t, err) != "server"):
			t.Errorf("%s: %v", tc.name, err)
		case tc.status != "" && (err != nil || k.StatusURL != tc.status || len(k.Warnings) != tc.warnings):
			t.Errorf("%s: %v, %+v", tc.name, err, k)
		}
	}
}

func TestF15F16F17CompleteAnswers(t *testing.T) {
	for _, tc := range []struct {
		status    int
		refused   bool
		temporary bool
		class     string
	}{
		{400, true, false, "server"},
		{401, true, false, "auth"},
		{403, true, false, "auth"},
		{404, true, false, "server"},
		{429, true, true, ""},
		{500, false, false, ""}, // may have started: ambiguous
		{501, true, false, "server"},
		{502, false, false, ""},
		{503, true, true, ""},
		{504, false, false, ""},
	} {
		f := answers(reply(tc.status, outcome("error", "processing", "unknown parameter _until"), "Retry-After", "7"))
		c := clientOf(f)
		c.Fresh = c.HTTP
		_, err := c.KickOff(t.Context(), patients)
		if f.count() != 1 {
			t.Errorf("P23: %d: sent %d times", tc.status, f.count())
		}
		var refused *RefusedError
		var ambiguous *AmbiguousError
		if errors.As(err, &refused) != tc.refused || errors.As(err, &ambiguous) == tc.refused || class(t, err) != tc.class {
			t.Errorf("%d: %T %v, class %q", tc.status, err, err, class(t, err))
		}
		if tc.refused && (refused.Temporary() != tc.temporary || refused.RetryAfter < 7*time.Second || refused.RetryAfter > 8*time.Second || len(refused.Issues) != 1) {
			t.Errorf("%d: %+v", tc.status, refused)
		}
		if !strings.Contains(err.Error(), "unknown parameter _until") {
			t.Errorf("F17: %d does not report the outcome: %v", tc.status, err)
		}
	}
}

// TestP23KickOffGoesOutOnce has servers that take the request and hang up, on
// connections that were used before: the moment at which net/http sends a GET
// again by itself.
func TestP23KickOffGoesOutOnce(t *testing.T) {
	var kickoffs atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "$export") {
			_, _ = io.WriteString(w, `{"resourceType":"CapabilityStatement"}`)
			return
		}
		kickoffs.Add(1)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	}))
	defer s.Close()
	for _, fresh := range []bool{false, true} {
		for _, post := range []bool{false, true} {
			kickoffs.Store(0)
			tr := &http.Transport{}
			c := clientAt(s.URL, tr)
			if fresh {
				c.Fresh = &http.Client{Transport: OneShot(tr)}
			} else {
				c.HTTP.Transport = keepIdle{tr} // the idle connection cannot be closed: the worst case
			}
			if _, err := c.Capability(t.Context()); err != nil { // leaves an idle connection
				t.Fatal(err)
			}
			r := patients
			r.Post = post
			_, err := c.KickOff(t.Context(), r)
			var ambiguous *AmbiguousError
			if !errors.As(err, &ambiguous) {
				t.Errorf("F16: fresh %v, post %v: %v", fresh, post, err)
			}
			if n := kickoffs.Load(); n != 1 {
				t.Errorf("fresh %v, post %v: the server saw %d kick-offs", fresh, post, n)
			}
			tr.CloseIdleConnections()
		}
	}
}

// keepIdle hides CloseIdleConnections.
type keepIdle struct{ rt http.RoundTripper }

func (k keepIdle) RoundTrip(r *http.Request) (*http.Response, error) { return k.rt.RoundTrip(r) }

func TestP23FreshConnection(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "$export") {
			w.Header().Set("Content-Location", "/s")
			w.WriteHeader(202)
			return
		}
		_, _ = io.WriteString(w, `{"resourceType":"CapabilityStatement"}`)
	}))
	defer s.Close()
	for _, fresh := range []bool{false, true} {
		c := clientAt(s.URL, &http.Transport{})
		if fresh {
			c.Fresh = &http.Client{Transport: OneShot(&http.Transport{})}
		}
		if _, err := c.Capability(t.Context()); err != nil {
			t.Fatal(err)
		}
		var reused []bool
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(i httptrace.GotConnInfo) { reused = append(reused, i.Reused) },
		})
		if _, err := c.KickOff(ctx, patients); err != nil || !slices.Equal(reused, []bool{false}) {
			t.Errorf("fresh %v: %v, reused %v", fresh, err, reused)
		}
	}
}

func TestF16NotSentIsNotAmbiguous(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	for name, c := range map[string]*Client{
		"refused connection": clientAt("http://"+l.Addr().String(), &http.Transport{}),
		"unknown host":       clientOf(answers(failure(&net.DNSError{Err: "no such host", IsNotFound: true}))),
		"token":              clientOf(answers(failure(authError{}))),
		"dial":               clientOf(answers(failure(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}))),
	} {
		_, err := c.KickOff(t.Context(), patients)
		var ambiguous *AmbiguousError
		var refused *RefusedError
		if err == nil || errors.As(err, &ambiguous) || errors.As(err, &refused) {
			t.Errorf("%s: %T %v", name, err, err)
		}
		if name == "token" && class(t, err) != "auth" {
			t.Errorf("the token's error lost its class: %v", err)
		}
	}
	// A transport that does not trace: in doubt the request went out.
	_, err = clientOf(answers(failure(io.ErrUnexpectedEOF))).KickOff(t.Context(), patients)
	var ambiguous *AmbiguousError
	if !errors.As(err, &ambiguous) || ambiguous.Hint() == "" || strings.Contains(err.Error(), "http") {
		t.Errorf("lost: %T %v", err, err)
	}
}

type authError struct{}

func (authError) Error() string { return "client not registered" }
func (authError) Class() string { return "auth" }

func TestF16CancelledKickOffIsAmbiguousOnceSent(t *testing.T) {
	arrived := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}))
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, err := clientAt(s.URL, &http.Transport{}).KickOff(ctx, patients)
	var ambiguous *AmbiguousError
	if !errors.As(err, &ambiguous) {
		t.Errorf("%T %v", err, err)
	}
}

func TestKickOffRedirectsKeepTheRequest(t *testing.T) {
	for _, tc := range []struct {
		to   string
		post bool
		ok   bool
	}{
		{base + "/moved/Patient/$export?_type=Patient", false, true},
		{base + "/moved/Patient/$export", false, false},                  // would export every type
		{base + "/moved/Patient/$export?_type=All", false, false},        // another one
		{base + "/moved/Patient/$export", true, false},                   // 302 makes it a GET
		{"http://other.example.org/$export?_type=Patient", false, false}, // https to http
	} {
		f := &fake{do: func(n int, r *http.Request) (*http.Response, error) {
			if n == 0 {
				return reply(302, "", "Location", tc.to).response()
			}
			return reply(202, "", "Content-Location", base+"/s").response()
		}}
		r := patients
		r.Post = tc.post
		_, err := clientOf(f).KickOff(t.Context(), r)
		var pe *ProtocolError
		if tc.ok != (err == nil) || !tc.ok && !errors.As(err, &pe) {
			t.Errorf("%s: %v", tc.to, err)
		}
	}
}

func TestF7KickOffAgainAfterARefusedToken(t *testing.T) {
	// Without Fresh the token's transport cannot rewind the request.
	f := answers(reply(401, ""), reply(202, "", "Content-Location", base+"/s"))
	if _, err := clientOf(f).KickOff(t.Context(), patients); err != nil || f.count() != 2 {
		t.Errorf("%v after %d requests", err, f.count())
	}
	f = answers(reply(401, ""))
	if _, err := clientOf(f).KickOff(t.Context(), patients); class(t, err) != "auth" || f.count() != 2 {
		t.Errorf("%v after %d requests", err, f.count())
	}
}

// renewing stands for the token's transport: it sends a request again after a 401, and ends
// with an error that has a class when that is refused as well, or no token is had for it.
type renewing struct {
	base    http.RoundTripper
	noToken bool
}

func (t renewing) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	_ = resp.Body.Close()
	if t.noToken {
		return nil, authError{}
	}
	if r.GetBody != nil {
		if r.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	if resp, err = t.base.RoundTrip(r); err == nil && resp.StatusCode == http.StatusUnauthorized {
		_ = resp.Body.Close()
		return nil, authError{}
	}
	return resp, err
}

// TestF11F16OnlyARefusalIsCertain has kick-offs that end with an error of the token's
// transport or of the network, after a first 401: a complete 401 is no lost answer, and
// an answer that is lost after one is (P23, I4).
func TestF11F16OnlyARefusalIsCertain(t *testing.T) {
	const refuse, hangUp = http.StatusUnauthorized, 0
	for _, tc := range []struct {
		name      string
		answers   []int
		noToken   bool
		ambiguous bool
	}{
		{"refused twice", []int{refuse, refuse}, false, false},
		{"refused, then no token", []int{refuse}, true, false},
		{"refused, then lost", []int{refuse, hangUp}, false, true},
		{"lost", []int{hangUp}, false, true},
	} {
		for _, post := range []bool{false, true} {
			var n atomic.Int32
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if status := tc.answers[min(int(n.Add(1)), len(tc.answers))-1]; status != hangUp {
					w.WriteHeader(status)
					return
				}
				if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
					_ = conn.Close()
				}
			}))
			c := clientAt(s.URL, &http.Transport{})
			c.Fresh = &http.Client{Transport: renewing{OneShot(&http.Transport{}), tc.noToken}}
			r := Request{Level: System, Post: post}
			_, err := c.KickOff(t.Context(), r)
			s.Close()
			var ambiguous *AmbiguousError
			if errors.As(err, &ambiguous) != tc.ambiguous || int(n.Load()) != len(tc.answers) {
				t.Errorf("%s, post %v: %T %v after %d requests", tc.name, post, err, err, n.Load())
			}
			if !tc.ambiguous && class(t, err) != "auth" {
				t.Errorf("%s, post %v: class of %v", tc.name, post, err)
			}
		}
	}
}

// An error that says it is the token's while the request lies unanswered at the server is
// not believed.
func TestF16UnansweredIsAmbiguousWhateverTheErrorSays(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = conn.Close()
		}
	}))
	defer s.Close()
	c := clientAt(s.URL, classed{&http.Transport{}})
	_, err := c.KickOff(t.Context(), patients)
	var ambiguous *AmbiguousError
	if !errors.As(err, &ambiguous) {
		t.Errorf("%T %v", err, err)
	}
}

// classed gives every error a class.
type classed struct{ base http.RoundTripper }

func (c classed) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.base.RoundTrip(r)
	if err != nil {
		return nil, authError{}
	}
	return resp, nil
}

func TestKickOffSurvivesABrokenBody(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Location", "/s")
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(202)
		_, _ = fmt.Fprint(w, "{")
	}))
	defer s.Close()
	k, err := clientAt(s.URL, &http.Transport{}).KickOff(t.Context(), patients)
	if err != nil || k.StatusURL != s.URL+"/s" {
		t.Errorf("%v %+v: the status URL is lost with the body", err, k)
	}
}
