package search

import (
	"errors"
	"strings"
)

// RestartError is a partition that broke in a way that only reading it again
// from its first page mends: a paging link that expired (F50), a page that broke
// off after a part of it was written, a link too long for the server (F59). What
// was written of the partition is dropped, or its duplicates are found by id.
type RestartError struct {
	Reason string
	Err    error
}

func (e *RestartError) Error() string { return "restart the partition: " + e.Reason }

// Unwrap returns the cause.
func (e *RestartError) Unwrap() error { return e.Err }

// IgnoredError is a search of which the server dropped a parameter: its self link
// does not have it (F56). What it found is more than what was asked for.
type IgnoredError struct {
	Type   string
	Params []string // names, never values
}

func (e *IgnoredError) Error() string {
	return "search " + e.Type + ": the server ignores " + strings.Join(e.Params, ", ")
}

// Class says which exit code the error leads to.
func (e *IgnoredError) Class() string { return "server" }

// Hint says what a person can do.
func (e *IgnoredError) Hint() string {
	for _, p := range e.Params {
		if p == "_lastUpdated" {
			return "the server cannot search by time: run the job without since"
		}
	}
	return "take the filter out of the job: the server would send more than was asked for"
}

// BundleError is a page that is no Bundle of a search, or breaks the protocol.
type BundleError struct {
	Op     string
	Reason string // without URLs and content

	err error
}

func (e *BundleError) Error() string { return e.Op + ": " + e.Reason }

// Unwrap returns the cause, if there is one.
func (e *BundleError) Unwrap() error { return e.err }

// Class says which exit code the error leads to.
func (e *BundleError) Class() string { return "server" }

// Hint says what a person can do.
func (e *BundleError) Hint() string {
	var h interface{ Hint() string }
	if errors.As(e.err, &h) {
		return h.Hint()
	}
	return ""
}
