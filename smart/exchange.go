package smart

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answer is a whole HTTP response, read through a limit.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// exchange sends a request and reads the answer to its end.
func exchange(client *http.Client, req *http.Request, limit int64) (*answer, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, cause(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if int64(len(body)) > limit {
		return nil, &oversize{limit}
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// oversize is an answer beyond the limit.
type oversize struct{ limit int64 }

func (o *oversize) Error() string {
	return fmt.Sprintf("the answer has more than %d bytes", o.limit)
}

// html reports whether the answer is a web page.
func (a *answer) html() bool {
	if t, _, err := mime.ParseMediaType(a.header.Get("Content-Type")); err == nil && (t == "text/html" || t == "application/xhtml+xml") {
		return true
	}
	head := bytes.ToLower(bytes.TrimSpace(a.body[:min(len(a.body), 512)]))
	return bytes.HasPrefix(head, []byte("<!doctype html")) || bytes.HasPrefix(head, []byte("<html"))
}

// noDowngrade is the client with redirects from https to http refused.
func noDowngrade(client *http.Client) *http.Client {
	c := copyClient(client)
	next := c.CheckRedirect
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if req.URL.Scheme != "https" && via[len(via)-1].URL.Scheme == "https" {
			return errText("a redirect from https to http is not followed")
		}
		if next != nil {
			return next(req, via)
		}
		if len(via) >= 10 {
			return errText("more than 10 redirects")
		}
		return nil
	}
	return c
}

// copyClient copies a client's settings, without its cookies.
func copyClient(client *http.Client) *http.Client {
	if client == nil {
		client = http.DefaultClient
	}
	return &http.Client{Transport: client.Transport, CheckRedirect: client.CheckRedirect, Timeout: client.Timeout}
}

// network turns a failure to get any answer into e.
func (e *Error) network(err error) *Error {
	e.Err, e.kind = err, passing
	var (
		tooBig   *oversize
		record   tls.RecordHeaderError
		unknown  x509.UnknownAuthorityError
		host     x509.HostnameError
		invalid  x509.CertificateInvalidError
		refusal  errText
		certFail *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &tooBig):
		e.kind = lasting
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		e.kind = lasting
		e.hint = "The server does not speak TLS there: check scheme and port of the URL."
	case errors.As(err, &unknown):
		e.kind = lasting
		e.hint = "The server's certificate is signed by an authority that this machine does not know: name its CA bundle in the TLS settings of the server."
	case errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &certFail):
		e.kind = lasting
		e.hint = "The server's certificate does not hold for this URL and time: check the host name and this machine's clock."
	case errors.As(err, &refusal):
		e.kind = lasting
	case errors.Is(err, context.DeadlineExceeded), timedOut(err):
		e.silent, e.Err = true, fmt.Errorf("no answer in time: %w", err)
		e.hint = "The server did not answer in time. Check that this machine may reach it (proxy, firewall), and run again."
	default:
		e.hint = "Check host name, proxy and firewall, and run again."
	}
	return e
}

// NetworkHint says what a person can do about a request that net/http could not get an
// answer to, as an [*Error] of this package does: about TLS, the host's name, silence. It is
// for programs that send requests of their own beside those of this package.
func NetworkHint(err error) string { return new(Error).network(cause(err)).hint }

// timedOut reports a time limit of the transport.
func timedOut(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// refused sorts an unexpected status into e: what may pass and what may not.
func (e *Error) refused(a *answer) {
	e.kind = lasting
	if a.status == http.StatusTooManyRequests || a.status == http.StatusRequestTimeout || a.status >= 500 {
		e.kind = passing
		e.retryAfter = retryAfter(a.header.Get("Retry-After"), time.Now())
	}
}

// attemptTimeout is that of one request.
func attemptTimeout(d time.Duration) time.Duration {
	if d <= 0 {
		return 30 * time.Second
	}
	return d
}

const (
	// transientRetries is how often a request is repeated after 429, 5xx or a network
	// failure: with backoff that is some 15 s, and more only where the server asks for it.
	transientRetries = 4
	// silentRetries is how often it is repeated when no answer came in time (30 s).
	silentRetries = 1
)

// patience counts the failures of one request that may pass by themselves.
type patience struct{ failures, silent int }

// next says whether to try again, and after which wait. It counts the failure.
func (p *patience) next(err *Error) (wait time.Duration, again bool) {
	p.failures++
	if err.silent {
		p.silent++
	}
	return backoff(p.failures, err.retryAfter), p.failures <= transientRetries && p.silent <= silentRetries
}

// tell logs that the failure is waited out: a warning the first time, so that nobody waits
// without knowing why.
func (p *patience) tell(ctx context.Context, log *slog.Logger, err *Error, wait time.Duration) {
	level := slog.LevelDebug
	if p.failures == 1 {
		level = slog.LevelWarn
	}
	log.Log(ctx, level, "no answer that helps yet: trying again", "error", err.Error(), "wait", wait.Round(time.Millisecond))
}

const (
	firstBackoff  = time.Second
	maxRetryAfter = time.Minute
)

// backoff is the wait after the n-th failed attempt (from 1): 1 s, 2 s, 4 s, …, at
// most 30 s, spread by up to a quarter either way, and never shorter than the server asked for.
func backoff(n int, retryAfter time.Duration) time.Duration {
	d := min(firstBackoff<<min(n-1, 10), 30*time.Second)
	d = d - d/4 + rand.N(d/2)
	return max(d, min(retryAfter, maxRetryAfter))
}

// retryAfter reads a Retry-After header; 0 when it says nothing useful.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Duration(max(0, min(n, int64(maxRetryAfter/time.Second)))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, min(at.Sub(now), maxRetryAfter))
	}
	return 0
}

// sleep waits, or returns why it could not.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
