// Package fhirhttp is what the clients of a FHIR server share: requests that
// are repeated by a stated policy, Retry-After, OperationOutcomes as errors, and
// error texts that hold no URL, token or content (I6, I7).
//
// A Client repeats only requests that may be repeated: GET and DELETE. A
// kick-off never goes through it (P23).
package fhirhttp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// Limits of what is read of an answer that is not a file.
const (
	// MaxOutcome bounds the body of an error answer, in bytes.
	MaxOutcome = 1 << 20
	// DefaultIdle is how long a server may keep silent within one answer: longer
	// than the searches and the balancers that are patient with them.
	DefaultIdle = 5 * time.Minute
	// UserAgent is sent where nobody set another one.
	UserAgent = "flue (+https://github.com/flue-fhir/flue)"
)

// Client sends requests that may be repeated. It may be used by several
// goroutines at once, and copied.
type Client struct {
	HTTP     *http.Client
	Policy   Policy
	Attempts int   // of one request, the first included; 0 means 5
	Waits    Waits // between attempts
	Idle     time.Duration
	Log      *slog.Logger        // nil discards
	OnRetry  func(reason string) // may be nil
	Now      func() time.Time    // nil means time.Now
	Random   func() float64      // in [0,1); nil means math/rand
}

// Call is one request that may be repeated.
type Call struct {
	Op     string // what it is for, first word of its errors: "status"
	Method string // "" means GET
	URL    *url.URL
	Accept string
	Header http.Header // further headers; may be nil
	// Once turns the repeating off.
	Once bool
	// NotFound is how many times a 404 is asked again (F43).
	NotFound int
	// OK says which statuses are an answer; nil means 200 to 299.
	OK func(status int) bool
	// Handle reads an answer. It may be called again for a repeated request: when
	// it fails with a TransportError or io.ErrUnexpectedEOF. It need not close the
	// body; Keep says that it took the body over.
	Handle func(*http.Response) error
	// Keep leaves the answer's body open when Handle succeeds.
	Keep bool
}

// Do sends the request until it is answered, or the attempts are used up.
// Errors are *StatusError, *TransportError, what Handle returned, or the
// context's.
func (c *Client) Do(ctx context.Context, call Call) error {
	if err := c.Policy.Check(call.URL); err != nil {
		return &opError{call.Op, err}
	}
	method := call.Method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, call.URL.String(), nil)
	if err != nil {
		return &TransportError{Op: call.Op, Text: "request cannot be built", Err: err, lasting: true}
	}
	for k, v := range call.Header {
		req.Header[k] = v
	}
	if call.Accept != "" {
		req.Header.Set("Accept", call.Accept)
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", UserAgent)
	}
	rreq, err := retryablehttp.FromRequest(req)
	if err != nil {
		return &TransportError{Op: call.Op, Text: "request cannot be built", Err: err, lasting: true}
	}

	try := &attempt{client: c, call: call}
	if call.Handle != nil {
		rreq.SetResponseHandler(try.handle)
	}
	attempts := c.Attempts
	if attempts <= 0 {
		attempts = 5
	}
	if call.Once {
		attempts = 1
	}
	rc := &retryablehttp.Client{
		HTTPClient:   c.httpClient(),
		RetryMax:     attempts - 1,
		CheckRetry:   try.check,
		Backoff:      try.backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	resp, err := rc.Do(rreq)
	if resp != nil && (try.err != nil || err != nil || !call.Keep) {
		_ = resp.Body.Close()
	}
	switch {
	case ctx.Err() != nil && (err != nil || try.err != nil):
		return &opError{call.Op, context.Cause(ctx)}
	case try.err != nil:
		var fe *finalError
		if errors.As(try.err, &fe) {
			return fe.err
		}
		return try.err
	case err != nil:
		return Scrub(call.Op, err)
	}
	return nil
}

func (c *Client) httpClient() *http.Client {
	hc := http.Client{}
	if c.HTTP != nil {
		hc = *c.HTTP
	}
	hc.CheckRedirect = c.Policy.Redirect
	hc.Transport = Patient(hc.Transport, c.Idle)
	return &hc
}

func (c *Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// Wait is the time to the next attempt after attempt attempts (from 0).
func (c *Client) Wait(attempt int, retryAfter string) time.Duration {
	random := rand.Float64
	if c.Random != nil {
		random = c.Random
	}
	return c.Waits.Next(c.now(), attempt, retryAfter, random())
}

func (c *Client) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// attempt is the state of one request over its attempts.
type attempt struct {
	client   *Client
	call     Call
	err      error // of the last attempt; nil when it was answered
	notFound int
}

// check decides after an attempt whether there is another one.
func (a *attempt) check(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		a.err = &opError{a.call.Op, context.Cause(ctx)}
		return false, nil
	}
	if err != nil && errors.Is(err, a.err) {
		return false, nil // the handler's refusal of a status that was judged already
	}
	a.err = nil
	if err != nil {
		a.err = Scrub(a.call.Op, err)
		return Retryable(err), nil
	}
	if a.call.OK != nil && a.call.OK(resp.StatusCode) || a.call.OK == nil && resp.StatusCode/100 == 2 {
		return false, nil
	}
	se := ReadStatus(a.call.Op, resp)
	a.err = se
	if se.Status == http.StatusNotFound && a.notFound < a.call.NotFound {
		a.notFound++
		return true, nil
	}
	return se.Temporary(), nil
}

func (a *attempt) handle(resp *http.Response) error {
	if a.err != nil {
		return a.err
	}
	return a.call.Handle(resp)
}

func (a *attempt) backoff(_, _ time.Duration, n int, resp *http.Response) time.Duration {
	reason, after := "connection", ""
	if resp != nil && a.err != nil {
		var se *StatusError
		if errors.As(a.err, &se) {
			reason, after = strconv.Itoa(se.Status), resp.Header.Get("Retry-After")
		}
	}
	wait := a.client.Wait(n, after)
	a.client.Retrying(a.call.Op, reason, wait)
	return wait
}

// Retrying tells the log and OnRetry that a request is repeated.
func (c *Client) Retrying(op, reason string, wait time.Duration) {
	c.log().Debug("request is repeated", "op", op, "reason", reason, "wait", wait)
	if c.OnRetry != nil {
		c.OnRetry(op + ": " + reason)
	}
}

// ReadAll reads the answer's body up to limit bytes.
func ReadAll(op string, resp *http.Response, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, Scrub(op, err)
	case int64(len(b)) > limit:
		return nil, &TooLargeError{Op: op, Limit: limit}
	}
	return b, nil
}

// Sleep waits for d or until ctx is done.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// HTML reports whether a body's first bytes are markup: a login or error page in
// the place of data (F35).
func HTML(head []byte) bool {
	s := strings.TrimLeft(strings.TrimPrefix(string(head), "\ufeff"), " \t\r\n")
	return strings.HasPrefix(s, "<")
}
