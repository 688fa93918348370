package export

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/flue-fhir/flue/export/internal/fhirhttp"
)

// Issue is one issue of an OperationOutcome, made safe to show: severity and
// code, and of the text only the words that every reader may see (I7).
type Issue = fhirhttp.Issue

// RefusedError is a kick-off that the server turned down with a complete
// answer: no export runs, and another kick-off may go out (F16).
type RefusedError struct {
	Status     int
	RetryAfter time.Duration // as asked by the server and clamped; 0 when it did not say
	Issues     []Issue
}

func (e *RefusedError) Error() string {
	return "kick-off refused: " + fhirhttp.Describe(e.Status, e.Issues)
}

// Temporary reports whether the same kick-off may be accepted later: 429 and
// 503 (F15).
func (e *RefusedError) Temporary() bool {
	return e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable
}

// Class says which exit code the error leads to.
func (e *RefusedError) Class() string {
	switch {
	case e.Temporary():
		return ""
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return "auth"
	}
	return "server"
}

// Hint says what a person can do.
func (e *RefusedError) Hint() string {
	switch e.Status {
	case http.StatusTooManyRequests:
		return "the server runs as many exports for this client as it allows: wait for the other one to end, or delete it"
	case http.StatusServiceUnavailable:
		return "the server is not available: try again later"
	case http.StatusUnauthorized:
		return "the server does not accept the access token: compare the client's registration with the job's server"
	case http.StatusForbidden:
		return "the client may not export this: ask for the scopes of every type of the job, and Group for a group export"
	case http.StatusNotFound:
		return "check the server's URL, the level and the group id; the server may have no bulk export: mode search reads it by searches"
	case http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return "the job names too much for a URL: set post: true"
	case http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType:
		return "the server takes no POST, which the patients parameter needs"
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return "the server does not support one of the job's parameters: take it out, or set lenient: true to have it ignored"
	}
	return ""
}

// AmbiguousError is a kick-off of which nobody can say whether the server
// accepted it: the connection was lost after the request went out, or a gateway
// answered in the server's place (F16). The job's policy decides whether another
// one goes out.
type AmbiguousError struct {
	Status int   // of the answer, 0 when there was none
	Err    error // why the answer did not come; nil when there was one
	Issues []Issue
}

func (e *AmbiguousError) Error() string {
	if e.Err != nil {
		return "kick-off sent, answer lost: " + e.Err.Error()
	}
	return "kick-off sent, answer unclear: " + fhirhttp.Describe(e.Status, e.Issues)
}

// Unwrap returns the transport's error.
func (e *AmbiguousError) Unwrap() error { return e.Err }

// Explained reports whether the server itself said what is wrong, and not that it
// passes: another kick-off is likely to get the same answer.
func (e *AmbiguousError) Explained() bool { return len(e.Issues) > 0 && !fhirhttp.Transient(e.Issues) }

// Hint says what a person can do.
func (e *AmbiguousError) Hint() string {
	return "an export may be running at the server: with ambiguous_kickoff: repeat the next run starts another one"
}

// LostError is an export that the server does not know, or no longer (F22).
type LostError struct {
	Status int
}

func (e *LostError) Error() string {
	return fmt.Sprintf("export lost: the server answers %d for its status", e.Status)
}

// Class says which exit code the error leads to.
func (e *LostError) Class() string { return "server" }

// Hint says what a person can do.
func (e *LostError) Hint() string {
	return "the export expired or was deleted at the server: run the job again, or set on_export_lost: restart"
}

// ExpiredError is a file whose link does not work any more: fetch the manifest
// again (Refresh) and open the file by its fresh link (P35).
type ExpiredError struct {
	Status int
	Token  bool // the file was asked for with a token
	Issues []Issue
}

func (e *ExpiredError) Error() string {
	return "file not available: " + fhirhttp.Describe(e.Status, e.Issues)
}

// Class says which exit code the error leads to when a fresh link does not help
// either: 401 and 403 of a file that needs the token are a scope fault (F8).
func (e *ExpiredError) Class() string {
	if e.Token && (e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized) {
		return "auth"
	}
	return "server"
}

// Hint says what a person can do.
func (e *ExpiredError) Hint() string {
	if e.Class() == "auth" {
		return "the token does not open the file: check the granted scopes; a file server on another host needs its origin in the server's origins"
	}
	return "the export's files expire: run the job again soon after the export has ended"
}

// ProtocolError is an answer that breaks the protocol so that going on would
// lose or mix data.
type ProtocolError struct {
	Op     string // "kick-off", "status", "manifest", "open file"
	Reason string // without URLs and content

	err error
}

func (e *ProtocolError) Error() string { return e.Op + ": " + e.Reason }

// Class says which exit code the error leads to.
func (e *ProtocolError) Class() string { return "server" }

// Unwrap returns the cause, if there is one.
func (e *ProtocolError) Unwrap() error { return e.err }

// Hint says what a person can do.
func (e *ProtocolError) Hint() string {
	var h interface{ Hint() string }
	if errors.As(e.err, &h) {
		return h.Hint()
	}
	return ""
}
