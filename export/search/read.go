package search

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flue-fhir/flue/export/internal/fhirhttp"
)

// maxOutcomeBytes bounds the OutcomeLines of a partition.
const maxOutcomeBytes = 1 << 20

// Result says what reading a partition brought.
type Result struct {
	Resources int64     // lines written
	Included  int64     // of them, entries with search.mode include (F55)
	Pages     int64     //
	Total     int64     // Bundle.total of the first page, -1 when the server does not say; advisory (F52)
	Date      time.Time // of the first page, by the server's clock (F57)
	// Outcomes counts the issues of outcome entries, which are never data (F54);
	// OutcomeLines are those entries, one NDJSON line each without the line end, up to
	// 1 MiB. They may hold PHI.
	Outcomes     []Outcome
	OutcomeLines [][]byte
	Warnings     []string // without content: types and counts only (I7)
	// Short says that the server sent less than it promised: fewer matches than it
	// counted, or entries without a resource. What came is not the whole (I2).
	Short bool

	outcomeBytes int
}

// Outcome counts issues of one severity and code.
type Outcome struct {
	Severity string
	Code     string
	Count    int64
}

// Incomplete reports whether the server said that something is missing (F54).
func (r Result) Incomplete() bool {
	return slices.ContainsFunc(r.Outcomes, func(o Outcome) bool {
		return o.Severity == "error" || o.Severity == "fatal" || o.Severity == "unknown"
	})
}

// Read reads a partition from its first page to its last and writes one NDJSON
// line per entry to w: the server's own bytes, without the white space of a
// pretty-printed Bundle. Pages are repeated within bounds.
//
// Errors: *RestartError when the partition is to be read again from its start,
// *IgnoredError when the server searched by less than was asked, *BundleError when
// an answer is none, w's, and the server's and the transport's own, of which those
// without a Class may pass. After any error what was written is a part of the
// partition.
func (c *Client) Read(ctx context.Context, p Partition, w io.Writer) (Result, error) {
	op := "search " + p.Type
	u, asked, err := c.firstURL(p.Query)
	if err != nil {
		return Result{}, err
	}
	v := &lines{w: w, counts: map[[2]string]int64{}}
	walked, err := c.pages(ctx, op, p.Type, u, asked, v)
	if err != nil {
		walked.total = -1 // nobody can tell what is still to come
	}
	r := walked.result(v.all.Resources - v.all.Included)
	r.Resources, r.Included, r.OutcomeLines = v.all.Resources, v.all.Included, v.all.OutcomeLines
	for k, n := range v.counts {
		r.Outcomes = append(r.Outcomes, Outcome{Severity: k[0], Code: k[1], Count: n})
	}
	slices.SortFunc(r.Outcomes, func(a, b Outcome) int {
		return cmp.Or(strings.Compare(a.Severity, b.Severity), strings.Compare(a.Code, b.Code))
	})
	return r, err
}

// firstURL makes the URL of a search's first page and says by which parameters
// it is restricted.
func (c *Client) firstURL(query string) (u *url.URL, asked []string, err error) {
	path, raw, _ := strings.Cut(query, "?")
	base := *c.Base
	base.Path = strings.TrimRight(base.Path, "/") + "/" + path
	base.RawPath, base.Fragment, base.User = "", "", nil
	for pair := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, nil, &BundleError{Op: "search", Reason: "the query cannot be read"}
		}
		name, _, _ = strings.Cut(name, ":")
		if name != "" && name != "_include" && name != "_revinclude" && !slices.Contains(asked, name) {
			asked = append(asked, name)
		}
	}
	if raw != "" {
		raw += "&"
	}
	base.RawQuery = raw + "_count=" + strconv.Itoa(c.count())
	return &base, asked, nil
}

// count is the page size that holds now.
func (c *Client) count() int {
	if n := c.smaller.Load(); n > 0 {
		return int(n)
	}
	if c.Count > 0 {
		return c.Count
	}
	return 500
}

// halve makes the pages of every search after this one smaller; false when they
// are small already (F59).
func (c *Client) halve() bool {
	n := c.count()
	if n <= 10 {
		return false
	}
	c.smaller.Store(int64(max(n/2, 10)))
	return true
}

func (c *Client) maxPage() int64 {
	if c.MaxPage > 0 {
		return c.MaxPage
	}
	return 256 << 20
}

func (c *Client) policy() fhirhttp.Policy {
	return fhirhttp.Policy{Base: c.Base, AllowHTTP: c.AllowHTTP}
}

func (c *Client) requests() *fhirhttp.Client {
	return &fhirhttp.Client{
		HTTP: c.HTTP, Policy: c.policy(), Attempts: c.Retries, Idle: c.Idle, Log: c.log(), OnRetry: c.OnRetry,
	}
}

func (c *Client) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}
