package fhirhttp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// StatusError is an answer with a status that the request did not ask for.
type StatusError struct {
	Op         string
	Status     int
	Issues     []Issue
	RetryAfter string // header as sent
}

func (e *StatusError) Error() string { return e.Op + ": " + Describe(e.Status, e.Issues) }

// Temporary reports whether the same request may succeed later: by the status,
// or because every issue of the outcome is transient (P25, F21).
func (e *StatusError) Temporary() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone,
		http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return e.Status >= 500 || e.Transient()
}

// Transient reports whether the server says itself that the fault passes.
func (e *StatusError) Transient() bool { return Transient(e.Issues) }

// Gateway reports whether the answer came from something in front of the server,
// or says that the server cannot be reached: no word of the server's about the
// request itself.
func (e *StatusError) Gateway() bool {
	switch e.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return len(e.Issues) == 0
	}
	return false
}

// Class says which exit code the error leads to.
func (e *StatusError) Class() string {
	switch {
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return "auth"
	case e.Status == http.StatusTooManyRequests, e.Status == http.StatusRequestTimeout, e.Gateway(), e.Transient():
		return ""
	case e.Temporary() && len(e.Issues) == 0:
		// A 500 without an outcome is a crash on the way, not the server's word that
		// the export has failed: what it refers to may well be there (F21).
		return ""
	}
	return "server"
}

// Hint says what a person can do.
func (e *StatusError) Hint() string {
	switch e.Status {
	case http.StatusUnauthorized:
		return "the server does not accept the access token: compare the client's registration with the job's server"
	case http.StatusForbidden:
		return "the client may not do this: ask for the scopes of every type of the job"
	case http.StatusTooManyRequests:
		return "the server limits the rate: lower limits.downloads, or try again later"
	case http.StatusNotFound:
		return "check the server's URL"
	case http.StatusRequestURITooLong:
		return "the request names too much at once: take a smaller batch or count"
	}
	if e.Class() == "" {
		return "the server is busy: try again later"
	}
	return ""
}

// ReadStatus makes an error of an answer, and reads its outcome. The body is
// closed.
func ReadStatus(op string, resp *http.Response) *StatusError {
	e := &StatusError{Op: op, Status: resp.StatusCode, RetryAfter: resp.Header.Get("Retry-After")}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, MaxOutcome))
	_ = resp.Body.Close()
	resp.Body = http.NoBody
	e.Issues, _ = ParseOutcome(body)
	return e
}

// TransportError is a request that was not answered, or an answer that broke
// off. Its text holds no URL and nothing of the answer; Err may.
type TransportError struct {
	Op   string
	Text string
	Err  error

	lasting bool
}

func (e *TransportError) Error() string { return e.Op + ": " + e.Text }

// Unwrap returns the cause. Its text is not safe to show.
func (e *TransportError) Unwrap() error { return e.Err }

// Class says which exit code the error leads to: that of the cause, when it has
// one.
func (e *TransportError) Class() string {
	var c interface{ Class() string }
	if errors.As(e.Err, &c) {
		return c.Class()
	}
	return ""
}

// Hint says what a person can do.
func (e *TransportError) Hint() string {
	var h interface{ Hint() string }
	if errors.As(e.Err, &h) {
		return h.Hint()
	}
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		dns     *net.DNSError
	)
	switch {
	case errors.As(e.Err, &unknown):
		return "the server's certificate is not trusted: name its authority in the server's tls.ca"
	case errors.As(e.Err, &name):
		return "the server's certificate is for another host: check the server's URL"
	case errors.As(e.Err, &dns):
		return "the host is not known: check the server's URL and the network"
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return "nothing listens there: check the server's URL, and that the server is up"
	}
	return ""
}

// Page is the cause of an answer that is HTML or XML in the place of data (F35):
// most often a maintenance page, which goes again.
type Page struct{}

func (Page) Error() string { return "a page instead of data" }

// Hint says what a person can do.
func (Page) Hint() string {
	return "a login, error or maintenance page stands in the place of the data: look at the server, then run the job again"
}

// TooLargeError is an answer that is longer than what may be held in memory
// (I8).
type TooLargeError struct {
	Op    string
	Limit int64 // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s: the answer is longer than %d bytes", e.Op, e.Limit)
}

// Class says which exit code the error leads to.
func (e *TooLargeError) Class() string { return "server" }

// opError puts the operation before an error whose text is safe.
type opError struct {
	op  string
	err error
}

func (e *opError) Error() string { return e.op + ": " + e.err.Error() }
func (e *opError) Unwrap() error { return e.err }

// Retryable reports whether a request that failed without an answer may succeed
// when it is sent again.
func Retryable(err error) bool {
	var (
		fe *finalError
		se *StatusError
		te *TransportError
		pe *PolicyError
		ce interface{ Class() string }
	)
	switch {
	case errors.Is(err, context.Canceled), errors.As(err, &fe):
		return false
	case errors.As(err, &se):
		return se.Temporary()
	case errors.As(err, &te):
		return !te.lasting && te.Class() == ""
	case errors.Is(err, io.ErrUnexpectedEOF):
		return true
	case errors.As(err, &pe):
		return false
	case errors.As(err, &ce) && ce.Class() != "":
		return false // the token's transport says that a person must mend it
	case lasting(err):
		return false
	}
	return transport(err)
}

// lasting reports errors of connecting that the next attempt cannot cure.
func lasting(err error) bool {
	var (
		unknown  x509.UnknownAuthorityError
		name     x509.HostnameError
		invalid  x509.CertificateInvalidError
		verify   *tls.CertificateVerificationError
		record   tls.RecordHeaderError
		noScheme = "unsupported protocol scheme"
	)
	return errors.As(err, &unknown) || errors.As(err, &name) || errors.As(err, &invalid) ||
		errors.As(err, &verify) || errors.As(err, &record) ||
		strings.Contains(err.Error(), noScheme) ||
		strings.Contains(err.Error(), "server gave HTTP response to HTTPS client")
}

// transport reports whether err is one of sending a request or reading its
// answer, and not of a handler.
func transport(err error) bool {
	var (
		ue *url.Error
		ne net.Error
	)
	return errors.As(err, &ue) || errors.As(err, &ne) || errors.Is(err, errStalled) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF)
}

// Scrub makes an error safe to show: of a transport's error only what is known to
// hold no URL and no content is kept as text (I6, I7). Errors of this package, of
// a handler and of the token's transport stay what they are.
func Scrub(op string, err error) error {
	var (
		fe *finalError
		te *TransportError
		ue *url.Error
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &fe):
		return err
	case errors.As(err, &te) && !errors.As(err, &ue):
		return err
	case !transport(err):
		return err
	}
	inner := err
	if errors.As(err, &ue) {
		inner = ue.Err
	}
	return &TransportError{Op: op, Text: text(inner), Err: inner, lasting: lasting(inner)}
}

// text describes a transport's error by what it is, not by what it says: net/http
// quotes broken answers and addresses in its errors.
func text(err error) string {
	var (
		pe     *PolicyError
		te     *TransportError
		classy interface{ Class() string }
		dns    *net.DNSError
		op     *net.OpError
		errno  syscall.Errno
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		alert  tls.AlertError
		nerr   net.Error
	)
	switch {
	case errors.As(err, &te):
		return te.Text
	case errors.As(err, &pe):
		return pe.Error()
	case errors.As(err, &classy):
		return classy.(error).Error()
	case errors.Is(err, errStalled):
		return errStalled.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline exceeded"
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return "host not found"
		}
		return "host could not be looked up"
	case errors.As(err, &cert):
		return "certificate not accepted: " + certText(cert)
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "the server does not speak TLS there"
	case errors.As(err, &alert):
		return "TLS handshake refused by the server"
	case errors.As(err, &errno):
		verb := "connection"
		if errors.As(err, &op) && op.Op == "dial" {
			verb = "connect"
		}
		return verb + ": " + errno.Error()
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "connection closed before the answer was complete"
	case errors.As(err, &nerr) && nerr.Timeout():
		return "timeout"
	case strings.Contains(err.Error(), "Location header"):
		return "redirected to an address that cannot be read"
	case strings.Contains(err.Error(), "malformed"):
		return "the answer is not HTTP"
	}
	return "connection failed"
}

func certText(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &unknown):
		return "signed by an unknown authority"
	case errors.As(err, &name):
		return "it is for another host"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "it has expired or is not yet valid"
	}
	return "it is not valid"
}

// Final keeps Do from repeating a request whose handler failed with err.
func Final(err error) error { return &finalError{err} }

type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }
