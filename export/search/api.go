package search

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

var errUnfinished = errors.New("search: not there yet")

// Result says what reading a partition brought.
type Result struct {
	Resources int64     // lines written
	Included  int64     // of them, entries with search.mode include (F55)
	Pages     int64     //
	Total     int64     // Bundle.total of the first page, -1 when the server does not say; advisory (F52)
	Date      time.Time // of the first page, by the server's clock (F57)
	// Outcomes counts the issues of outcome entries by severity and code (F54).
	Outcomes []Outcome
	Warnings []string
}

// Outcome counts issues of one severity and code.
type Outcome struct {
	Severity string
	Code     string
	Count    int64
}

// Patients lists the ids of all patients, page by page, and returns the
// server's date at the first page.
func (c *Client) Patients(ctx context.Context, r Request, each func(id string) error) (time.Time, error) {
	return time.Time{}, errUnfinished
}

// Partitions cuts the request into searches. ids are the patients in the order
// in which Patients listed them.
func (c *Client) Partitions(r Request, ids []string) iter.Seq[Partition] {
	return func(func(Partition) bool) {}
}

// Read reads a partition and writes one NDJSON line per entry.
func (c *Client) Read(ctx context.Context, p Partition, w io.Writer) (Result, error) {
	return Result{}, errUnfinished
}

// RestartError is a partition that broke in a way that only reading it again
// from its first page mends: what was written of it is to be dropped (F50).
type RestartError struct {
	Reason string
	Err    error
}

func (e *RestartError) Error() string { return "restart the partition: " + e.Reason }

// Unwrap returns the cause.
func (e *RestartError) Unwrap() error { return e.Err }
