package search

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flue-fhir/flue/export/internal/fhirhttp"
)

// visitor takes the entries of pages. A page may be read again until it is whole:
// begin drops what came since the last commit.
type visitor interface {
	begin()
	// entry takes an entry; pinned says that the page cannot be dropped any more,
	// since a part of it has gone on to where it cannot be called back.
	entry(e entry) (pinned bool, err error)
	commit() error
}

// walk says what a walk over pages saw.
type walk struct {
	pages    int64
	total    int64
	date     time.Time
	warnings []string
	short    bool // see Result
}

func (w *walk) warn(text string) {
	if !slices.Contains(w.warnings, text) {
		w.warnings = append(w.warnings, text)
	}
}

// pages reads a search from its first page to its last. asked are the names of the
// parameters that the self link must have (F56); typ is for errors.
func (c *Client) pages(ctx context.Context, op, typ string, first *url.URL, asked []string, v visitor) (walk, error) {
	w := walk{total: -1}
	limit := int64(1_000_000)
	if c.MaxPages > 0 {
		limit = int64(c.MaxPages)
	}
	visited := map[[16]byte]bool{key(first): true}
	for u := first; ; {
		b, at, err := c.page(ctx, op, u, w.pages, v, &w)
		if err != nil {
			return w, err
		}
		if w.pages == 0 {
			w.total = b.total
			if err := c.checkSelf(typ, b.self, asked, &w); err != nil {
				return w, err
			}
		}
		if b.empty > 0 {
			w.warn("the server sent entries without a resource")
			w.short = true
		}
		if err := v.commit(); err != nil {
			return w, err
		}
		w.pages++
		if b.links != nil {
			return w, &BundleError{Op: op, Reason: b.links.Error()}
		}
		if b.next == "" {
			return w, nil
		}
		if w.pages >= limit {
			return w, &BundleError{Op: op, Reason: "more than " + strconv.FormatInt(limit, 10) + " pages"}
		}
		next, upgraded, err := c.policy().Resolve(at, b.next) // verbatim: F49
		if err != nil {
			return w, &BundleError{Op: op, Reason: "next link: " + err.Error(), err: err}
		}
		if upgraded {
			w.warn("next links were plain http: they are followed over https")
		}
		if k := key(next); visited[k] {
			return w, &BundleError{Op: op, Reason: "its next links run in a circle"} // F51
		} else {
			visited[k] = true
		}
		u = next
	}
}

// result is what a walk over n matches comes to.
func (w *walk) result(n int64) Result {
	if w.total > n {
		w.warn("the server counted " + strconv.FormatInt(w.total, 10) + " matches and sent " + strconv.FormatInt(n, 10))
		w.short = true
	}
	return Result{Resources: n, Pages: w.pages, Total: w.total, Date: w.date, Warnings: w.warnings, Short: w.short}
}

func key(u *url.URL) [16]byte {
	sum := sha256.Sum256([]byte(u.String()))
	return [16]byte(sum[:16])
}

// page fetches one page. A page that breaks off is fetched again as long as
// nothing of it has gone on.
func (c *Client) page(ctx context.Context, op string, u *url.URL, n int64, v visitor, w *walk) (b bundle, at *url.URL, err error) {
	err = c.requests().Do(ctx, fhirhttp.Call{
		Op: op, URL: u, Accept: "application/fhir+json",
		Handle: func(resp *http.Response) error {
			at = resp.Request.URL
			if n == 0 {
				w.date = serverDate(resp.Header, w)
			}
			v.begin()
			pinned, final := false, error(nil)
			body := &capped{r: resp.Body, left: c.maxPage(), op: op, limit: c.maxPage()}
			b, err = readBundle(body, func(e entry) error {
				p, err := v.entry(e)
				pinned = pinned || p
				final = err
				return err
			})
			switch {
			case final != nil: // of the visitor: a full disk is not read away
				return fhirhttp.Final(final)
			case err != nil && fhirhttp.HTML(body.head):
				return &fhirhttp.TransportError{Op: op, Text: "the answer is HTML or XML, not a Bundle", Err: fhirhttp.Page{}} // F35
			case err != nil && pinned:
				return fhirhttp.Final(&RestartError{Reason: "a page broke off", Err: broken(op, err)})
			case err != nil:
				return broken(op, err)
			}
			return c.judge(op, b, resp.StatusCode)
		},
	})
	var se *fhirhttp.StatusError
	if errors.As(err, &se) && n > 0 {
		switch se.Status {
		case http.StatusNotFound, http.StatusGone: // F50
			err = &RestartError{Reason: "the link to the next page has expired (" + strconv.Itoa(se.Status) + ")", Err: se}
		case http.StatusRequestURITooLong: // F59
			if c.halve() {
				err = &RestartError{Reason: "the link to the next page is too long (414): pages will be smaller", Err: se}
			}
		}
	}
	return b, at, err
}

func (c *Client) judge(op string, b bundle, status int) error {
	switch b.resourceType {
	case "Bundle":
		return nil
	case "OperationOutcome": // F58
		return &fhirhttp.StatusError{Op: op, Status: status, Issues: b.issues}
	}
	return &BundleError{Op: op, Reason: "the answer is not a Bundle"}
}

// broken keeps the transport's errors, which may pass, and says of the others no
// more than where they are: a parser quotes what it reads.
func broken(op string, err error) error {
	var (
		te *fhirhttp.TransportError
		tl *fhirhttp.TooLargeError
	)
	switch {
	case errors.As(err, &te), errors.As(err, &tl):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &fhirhttp.TransportError{Op: op, Text: "the page ends in its midst", Err: io.ErrUnexpectedEOF}
	case errors.Is(err, errTwice):
		return &BundleError{Op: op, Reason: "an entry has two resources"}
	}
	return &BundleError{Op: op, Reason: "the page is not a Bundle in JSON"}
}

// checkSelf compares the parameters that were asked for with those of the self
// link, in which a server says what it searched by (F56).
func (c *Client) checkSelf(typ, self string, asked []string, w *walk) error {
	if len(asked) == 0 {
		return nil
	}
	u, err := url.Parse(self)
	if self == "" || err != nil {
		w.warn("the server names no self link: that it searched by every parameter cannot be checked")
		return nil
	}
	has := map[string]bool{}
	foreign := false
	for name := range u.Query() {
		base, _, _ := strings.Cut(name, ":")
		has[base] = true
		foreign = foreign || !strings.HasPrefix(base, "_") && !slices.Contains(asked, base)
	}
	for _, name := range []string{"patient", "subject"} { // the same search by another name
		if has[name] {
			has["patient"], has["subject"] = true, true
			break
		}
	}
	var dropped []string
	for _, name := range asked {
		if !has[name] {
			dropped = append(dropped, name)
		}
	}
	opaque := foreign || has["_getpages"]
	switch {
	case len(dropped) == 0:
		return nil
	case len(dropped) == len(asked) && opaque:
		w.warn("the self link is opaque: that the server searched by every parameter cannot be checked")
		return nil
	case slices.Equal(dropped, []string{"_elements"}):
		w.warn("the server ignores _elements: resources come whole")
		return nil
	}
	return &IgnoredError{Type: typ, Params: dropped}
}

func serverDate(h http.Header, w *walk) time.Time {
	t, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		w.warn("the server sends no Date: the local clock stands for it")
		return time.Now().UTC()
	}
	return t.UTC()
}

// capped fails when a page is longer than it may be (I8).
type capped struct {
	r           io.Reader
	left, limit int64
	op          string
	head        []byte // the first bytes, at most 64 of them
}

// Read implements io.Reader.
func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		var one [1]byte
		if n, err := io.ReadFull(c.r, one[:]); n == 0 {
			return 0, err
		}
		return 0, &fhirhttp.TooLargeError{Op: c.op, Limit: c.limit}
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if more := min(n, 64-len(c.head)); more > 0 {
		c.head = append(c.head, p[:more]...)
	}
	return n, err
}

// lines is the visitor that writes NDJSON.
type lines struct {
	w   io.Writer
	buf bytes.Buffer // of the page, up to hold bytes

	page, all Result
	counts    map[[2]string]int64
	pageOut   []outcomeEntry
}

// hold is how many bytes of a page are held back until it is whole.
const hold = 4 << 20

type outcomeEntry struct {
	line   []byte
	issues []fhirhttp.Issue
}

func (l *lines) begin() {
	l.buf.Reset()
	l.page, l.pageOut = Result{}, nil
}

func (l *lines) entry(e entry) (pinned bool, err error) {
	if outcome(e) { // F54
		issues, _ := fhirhttp.ParseOutcome(e.resource)
		l.pageOut = append(l.pageOut, outcomeEntry{bytes.Clone(e.resource), issues})
		return false, nil
	}
	l.page.Resources++
	if e.mode == "include" {
		l.page.Included++
	}
	l.buf.Write(e.resource)
	l.buf.WriteByte('\n')
	if l.buf.Len() < hold {
		return false, nil
	}
	return true, l.flush()
}

// outcome reports an OperationOutcome, whatever its search.mode: nobody searches
// for those.
func outcome(e entry) bool {
	return bytes.Contains(e.resource, []byte(`"OperationOutcome"`)) && members(e.resource, "resourceType")[0] == "OperationOutcome"
}

func (l *lines) flush() error {
	_, err := l.w.Write(l.buf.Bytes())
	l.buf.Reset()
	if err != nil {
		return fmt.Errorf("write lines: %w", err)
	}
	return nil
}

func (l *lines) commit() error {
	if err := l.flush(); err != nil {
		return err
	}
	l.all.Resources += l.page.Resources
	l.all.Included += l.page.Included
	for _, o := range l.pageOut {
		if l.all.outcomeBytes+len(o.line) <= maxOutcomeBytes {
			l.all.outcomeBytes += len(o.line)
			l.all.OutcomeLines = append(l.all.OutcomeLines, o.line)
		}
		for _, i := range o.issues {
			l.counts[[2]string{i.Severity, i.Code}]++
		}
		if len(o.issues) == 0 {
			l.counts[[2]string{"unknown", "unknown"}]++
		}
	}
	l.begin()
	return nil
}
