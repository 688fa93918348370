package export

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/flue-fhir/flue/export/internal/fhirhttp"
)

// maxManifest bounds one manifest, in bytes: some 500,000 files.
const maxManifest = 256 << 20

// Status asks the server once how the export stands. The manifest is nil while it
// runs; then Progress.Wait is how long the server wants to be left alone, 0 when
// it does not say. Errors: *LostError, *ProtocolError, and the server's and the
// transport's own, of which those without a Class may pass.
func (c *Client) Status(ctx context.Context, statusURL string) (*Manifest, Progress, error) {
	u, err := c.statusURL("status", statusURL)
	if err != nil {
		return nil, Progress{}, err
	}
	s, err := c.status(ctx, u)
	if err != nil {
		return nil, Progress{}, err
	}
	if d, ok := fhirhttp.RetryAfter(s.after, time.Now()); ok && s.manifest == nil {
		s.progress.Wait = d
	}
	s.progress.Polls = 1
	return s.manifest, s.progress, nil
}

// status is what one poll brought.
type status struct {
	manifest *Manifest // nil while the export runs
	progress Progress
	after    string // Retry-After
}

func (c *Client) status(ctx context.Context, u *url.URL) (status, error) {
	var s status
	err := c.requests(c.HTTP).Do(ctx, fhirhttp.Call{
		Op: "status", URL: u, Accept: "application/json", Once: true,
		Handle: func(resp *http.Response) (err error) {
			s, err = c.readStatus(ctx, resp)
			return err
		},
	})
	var se *fhirhttp.StatusError
	if errors.As(err, &se) && (se.Status == http.StatusNotFound || se.Status == http.StatusGone) {
		return s, &LostError{Status: se.Status}
	}
	return s, err
}

func (c *Client) readStatus(ctx context.Context, resp *http.Response) (status, error) {
	code := resp.StatusCode
	if x := strings.Fields(resp.Header.Get("X-Export-Status")); len(x) > 0 && code == http.StatusOK { // P26
		if n, err := strconv.Atoi(x[0]); err == nil && n >= 100 && n <= 599 {
			code = n
		}
	}
	s := status{after: resp.Header.Get("Retry-After")}
	s.progress.Text = printable(resp.Header.Get("X-Progress"), 200)
	s.progress.Percent = percent(s.progress.Text)
	body, err := fhirhttp.ReadAll("status", resp, maxManifest)
	if err != nil {
		return s, err
	}
	// An outcome in the place of a manifest or a progress is an error, whatever
	// the status (F23); a running export may explain itself by one.
	if issues, ok := fhirhttp.ParseOutcome(body); ok || code/100 != 2 {
		if !ok || code != http.StatusAccepted || fatal(issues) {
			return s, &fhirhttp.StatusError{Op: "status", Status: code, Issues: issues, RetryAfter: s.after}
		}
		body = nil
	}
	switch code {
	case http.StatusAccepted:
		if wire, err := parseManifest(body); err == nil && wire.Output != nil {
			s.progress.Partial, _ = c.manifest(ctx, wire, resp.Request.URL, true)
		}
		return s, nil
	case http.StatusOK:
		wire, err := parseManifest(body)
		if err != nil {
			return s, err
		}
		s.manifest, err = c.manifest(ctx, wire, resp.Request.URL, false)
		return s, err
	}
	return s, &ProtocolError{Op: "status", Reason: "answered " + fhirhttp.Describe(code, nil)}
}

// fatal reports whether an outcome beside a 202 says that the export has failed.
func fatal(issues []Issue) bool {
	for _, i := range issues {
		if i.Severity == "fatal" {
			return !fhirhttp.Transient(issues)
		}
	}
	return false
}

// Poll waits until the export is done and returns its manifest; observe, which
// may be nil, is told of every answer in between. It may take weeks: whoever
// stops it by the context asks again with the same URL (F24, F25).
//
// What may pass is asked again: for good while the server says itself that it
// passes or that the client is too fast, up to Retries times for its own faults,
// and four times as often while it cannot be reached. Errors are those of Status.
func (c *Client) Poll(ctx context.Context, statusURL string, observe func(Progress)) (*Manifest, error) {
	u, err := c.statusURL("status", statusURL)
	if err != nil {
		return nil, err
	}
	p := poller{limits: fhirhttp.Waits{Min: c.Limits.Min, Max: c.Limits.Max}, attempts: c.attempts()}
	for {
		s, err := c.status(ctx, u)
		if err == nil && s.manifest != nil {
			return s.manifest, nil
		}
		req := c.requests(nil)
		if err != nil {
			again, after, reason := p.judge(err)
			if !again || ctx.Err() != nil {
				return nil, err
			}
			req.Waits = p.limits
			wait := req.Wait(p.failures-1, after)
			req.Retrying("status", reason, wait)
			if err := fhirhttp.Sleep(ctx, wait); err != nil {
				return nil, err
			}
			continue
		}
		p.running()
		req.Waits = p.limits
		s.progress.Polls = p.polls
		s.progress.Wait = req.Wait(p.polls-1, s.after)
		if observe != nil {
			observe(s.progress)
		}
		if err := fhirhttp.Sleep(ctx, s.progress.Wait); err != nil {
			return nil, err
		}
	}
}

// Refresh fetches the manifest of a finished export again, for links that have
// expired (P35). Its files are the same in the same order, whatever their URLs.
func (c *Client) Refresh(ctx context.Context, statusURL string) (*Manifest, error) {
	return c.Poll(ctx, statusURL, nil)
}

// poller decides what follows an answer; it knows no clock.
type poller struct {
	limits   fhirhttp.Waits
	attempts int
	polls    int // answers that said that the export runs
	failures int // in a row, of any kind
	faults   int // in a row, the server's own
	lost     int // in a row, 404
}

func (p *poller) running() {
	p.polls++
	p.failures, p.faults, p.lost = 0, 0, 0
}

// judge decides whether an error is asked away.
func (p *poller) judge(err error) (again bool, after, reason string) {
	p.failures++
	var (
		se     *fhirhttp.StatusError
		gone   *LostError
		broken *ProtocolError
	)
	switch {
	case errors.As(err, &gone):
		// A 404 in the midst of polling may be a balancer that asked a machine which
		// has not heard of the export yet: it has to be said twice.
		p.lost++
		return gone.Status == http.StatusNotFound && p.lost < 2, "", "404"
	case errors.As(err, &se) && se.Status == http.StatusTooManyRequests:
		lo, hi := max(p.limits.Min, time.Second), p.limits.Max
		if hi <= 0 {
			hi = 5 * time.Minute
		}
		p.limits.Min = min(2*lo, hi) // for good: P24
		return true, se.RetryAfter, "429"
	case errors.As(err, &se):
		after, reason = se.RetryAfter, strconv.Itoa(se.Status)
		switch {
		case !se.Temporary():
			return false, "", ""
		case se.Transient():
			return true, after, reason
		case se.Gateway():
			return p.failures < 4*p.attempts, after, reason
		}
		p.faults++
		return p.faults < p.attempts, after, reason
	case errors.As(err, &broken) && broken.Op == "manifest" && broken.err == nil:
		p.faults++ // a maintenance page or a cut answer: F21
		return p.faults < p.attempts, "", "manifest"
	case fhirhttp.Retryable(err):
		return p.failures < 4*p.attempts, "", "connection"
	}
	return false, "", ""
}

// printable cuts a header to n bytes without control characters.
func printable(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return strings.TrimSpace(s)
}

// percent reads "50% complete"; negative when there is no such figure.
func percent(s string) float64 {
	end := strings.IndexByte(s, '%')
	if end < 0 {
		return -1
	}
	head := strings.TrimRight(s[:end], " ")
	start := len(head)
	for start > 0 && strings.IndexByte("0123456789.", head[start-1]) >= 0 {
		start--
	}
	f, err := strconv.ParseFloat(head[start:], 64)
	if err != nil || f < 0 || f > 100 {
		return -1
	}
	return f
}
