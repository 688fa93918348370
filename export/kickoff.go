package export

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/flue-fhir/flue/export/internal/fhirhttp"
)

// kickoffIdle is how long a server may take to answer a kick-off: some prepare
// the export before they do, and giving up makes the kick-off ambiguous.
const kickoffIdle = 10 * time.Minute

// KickOff asks the server for an export. The request goes out once, on a
// connection of its own, and nothing repeats it by itself (P23, I4): whether
// another one may go out is for the caller to decide, by the error:
//
//   - *RefusedError: the server said no with a complete answer. Temporary tells
//     429 and 503, after which the caller may try again when RetryAfter is over.
//   - *AmbiguousError: an export may be running (F16).
//   - *ProtocolError: the server accepted, but its answer leads nowhere (F14);
//     an export may be running.
//   - *RequestError: the request makes no sense; nothing was sent.
//   - any other error: the request did not reach the server.
//
// A POST that the server does not take (405, 415) goes out again as GET, unless
// a parameter needs POST (P18).
func (c *Client) KickOff(ctx context.Context, r Request) (*Kickoff, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	post := r.Post || len(r.Patients) > 0
	k, err := c.kickOff(ctx, r, post)
	var refused *RefusedError
	if c.Fresh == nil && errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
		// The token's transport cannot send a request again that it cannot rewind, but
		// has dropped the token that was refused (F7).
		k, err = c.kickOff(ctx, r, post)
	}
	if post && len(r.Patients) == 0 && errors.As(err, &refused) &&
		(refused.Status == http.StatusMethodNotAllowed || refused.Status == http.StatusUnsupportedMediaType) {
		c.log().DebugContext(ctx, "kick-off goes out as GET", "status", refused.Status)
		if k, err = c.kickOff(ctx, r, false); err == nil {
			k.Warnings = append(k.Warnings, "the server takes no POST: the export was asked for by GET")
		}
	}
	return k, err
}

func (c *Client) kickOff(ctx context.Context, r Request, post bool) (*Kickoff, error) {
	u := c.exportURL(r)
	if err := c.policy().Check(u); err != nil {
		return nil, &RequestError{"server URL: " + err.Error()}
	}
	var sent sentinel
	req, err := c.kickoffRequest(sent.trace(ctx), u, r, post)
	if err != nil {
		return nil, err
	}
	resp, err := c.once(req, r).Do(req)
	if err != nil {
		safe := fhirhttp.Scrub("kick-off", err)
		if resp != nil {
			_ = resp.Body.Close()
		}
		var pe *fhirhttp.PolicyError
		switch {
		case errors.As(err, &pe):
			return nil, &ProtocolError{Op: "kick-off", Reason: pe.Error(), err: pe} // a redirect, not an acceptance
		case sent.harmless(err):
			return nil, safe
		}
		return nil, &AmbiguousError{Err: safe}
	}
	defer func() { _ = resp.Body.Close() }()
	return c.accepted(resp, r)
}

// accepted reads the answer of a kick-off.
func (c *Client) accepted(resp *http.Response, r Request) (*Kickoff, error) {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, fhirhttp.MaxOutcome)) // a body that breaks off does not undo the acceptance
	issues, _ := fhirhttp.ParseOutcome(body, r.words()...)
	switch status := resp.StatusCode; {
	case status == http.StatusAccepted || status == http.StatusOK:
	case status/100 == 4, status == http.StatusServiceUnavailable, status == http.StatusNotImplemented:
		e := &RefusedError{Status: status, Issues: issues}
		if after := resp.Header.Get("Retry-After"); after != "" {
			if _, ok := fhirhttp.RetryAfter(after, time.Now()); ok {
				e.RetryAfter = c.requests(nil).Wait(0, after)
			}
		}
		return nil, e
	case status >= 500:
		return nil, &AmbiguousError{Status: status, Issues: issues}
	default:
		return nil, &ProtocolError{Op: "kick-off", Reason: "answered " + fhirhttp.Describe(status, issues)}
	}
	location := resp.Header.Get("Content-Location")
	if location == "" {
		return nil, &ProtocolError{Op: "kick-off", Reason: "answered " + fhirhttp.Describe(resp.StatusCode, issues) + " without Content-Location"}
	}
	status, upgraded, err := c.policy().Resolve(resp.Request.URL, location) // relative: F14
	if err != nil {
		return nil, &ProtocolError{Op: "kick-off", Reason: "Content-Location: " + err.Error(), err: err}
	}
	k := &Kickoff{StatusURL: status.String()}
	var local bool
	if k.Date, local = date(resp.Header); local {
		k.Warnings = append(k.Warnings, "the server sent no Date with the kick-off: the local clock stands for it")
	}
	if resp.StatusCode == http.StatusOK {
		k.Warnings = append(k.Warnings, "the kick-off was answered 200 and not 202") // F13
	}
	if upgraded {
		k.Warnings = append(k.Warnings, "the status URL was plain http: it is asked over https")
	}
	for _, i := range issues { // P21, F18
		switch {
		case i.Severity == "success" || i.Code == "success":
		case i.Severity == "information" && i.Code == "informational": // that it has begun
		case r.Lenient || i.Code == "not-supported" || i.Severity == "error" || i.Severity == "fatal":
			k.Ignored = append(k.Ignored, i.String())
		default:
			k.Warnings = append(k.Warnings, "kick-off: "+i.String())
		}
	}
	return k, nil
}

func (c *Client) exportURL(r Request) *url.URL {
	var u *url.URL
	switch r.Level {
	case Patient:
		u = c.at("Patient", "$export")
	case Group:
		u = c.at("Group", r.Group, "$export")
	default:
		u = c.at("$export")
	}
	return u
}

func (c *Client) kickoffRequest(ctx context.Context, u *url.URL, r Request, post bool) (*http.Request, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if post {
		b, err := r.body()
		if err != nil {
			return nil, &RequestError{"its parameters cannot be written"}
		}
		method, body = http.MethodPost, bytes.NewReader(b)
	} else {
		u.RawQuery = r.query()
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, &RequestError{"it cannot be built"}
	}
	prefer := "respond-async"
	if r.Lenient {
		prefer += ", handling=lenient"
	}
	req.Header.Set("Accept", "application/fhir+json") // exactly so: P17
	req.Header.Set("Prefer", prefer)
	req.Header.Set("User-Agent", fhirhttp.UserAgent)
	if post {
		req.Header.Set("Content-Type", "application/fhir+json")
	}
	if c.Fresh == nil {
		// net/http sends a request again when a connection that was idle turns out
		// to be dead, but never one with a body that it cannot rewind. A GET's empty
		// body shows on no HTTP/1.1 wire.
		if req.Body == nil {
			req.Body = noRewind{bytes.NewReader(nil)}
		}
		req.GetBody = nil
	}
	return req, nil
}

// noRewind is an empty body that net/http does not know to be empty.
type noRewind struct{ *bytes.Reader }

// Close implements io.Closer.
func (noRewind) Close() error { return nil }

// once returns the client for a kick-off.
func (c *Client) once(req *http.Request, r Request) *http.Client {
	hc := http.Client{}
	switch {
	case c.Fresh != nil:
		hc = *c.Fresh
	case c.HTTP != nil:
		hc = *c.HTTP
		c.HTTP.CloseIdleConnections()
	}
	policy := c.policy()
	method, query := req.Method, req.URL.Query()
	hc.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		// A redirect that drops parameters would ask for more than the job may have.
		got := next.URL.Query()
		for name, values := range query {
			if !slices.Equal(got[name], values) {
				return &fhirhttp.PolicyError{Reason: "the redirect drops parameters of the export"}
			}
		}
		if next.Method != method {
			return &fhirhttp.PolicyError{Reason: "the redirect turns POST into GET"}
		}
		return policy.Redirect(next, via)
	}
	hc.Transport = fhirhttp.Patient(hc.Transport, kickoffIdle)
	return &hc
}

// sentinel notices what became of a kick-off.
type sentinel struct {
	dialled  atomic.Bool // a transport asked for a connection: its trace can be believed
	left     atomic.Bool // the kick-off's own headers were written
	answered atomic.Bool // and an answer to them began to arrive
}

func (s *sentinel) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { s.dialled.Store(true) },
		// The token request may run under the same context: only the kick-off has
		// this header.
		WroteHeaderField: func(key string, value []string) {
			if strings.EqualFold(key, "Prefer") && len(value) > 0 && strings.HasPrefix(value[0], "respond-async") {
				s.left.Store(true)
				s.answered.Store(false) // one that goes out again waits for an answer of its own
			}
		},
		GotFirstResponseByte: func() { s.answered.Store(s.left.Load()) },
	})
}

// harmless reports whether no export can run because of a kick-off that ended with
// err: it never left, or it was refused with a complete answer (F16). In doubt one
// may run.
func (s *sentinel) harmless(err error) bool {
	var (
		dns   *net.DNSError
		op    *net.OpError
		class interface{ Class() string }
	)
	switch {
	case errors.As(err, &class):
		// The token's transport: before the request, or after a complete 401, which it
		// answers with another token (F7) or gives up (F11). The trace has to agree.
		return !s.left.Load() || s.answered.Load()
	case s.left.Load():
		return false
	case s.dialled.Load():
		return true
	case errors.As(err, &dns):
		return true
	}
	return errors.As(err, &op) && op.Op == "dial"
}
