package export

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/flue-fhir/flue/export/internal/fhirhttp"
)

func (c *Client) policy() fhirhttp.Policy {
	return fhirhttp.Policy{Base: c.Base, AllowHTTP: c.AllowHTTP}
}

func (c *Client) requests(hc *http.Client) *fhirhttp.Client {
	return &fhirhttp.Client{
		HTTP:     hc,
		Policy:   c.policy(),
		Attempts: c.attempts(),
		Waits:    fhirhttp.Waits{Min: c.Limits.Min, Max: c.Limits.Max},
		Idle:     c.Idle,
		Log:      c.Log,
		OnRetry:  c.OnRetry,
	}
}

func (c *Client) attempts() int {
	if c.Retries > 0 {
		return c.Retries
	}
	return 5
}

func (c *Client) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// at returns the URL of a path below the service base. The segments are escaped.
func (c *Client) at(segments ...string) *url.URL {
	u := *c.Base
	path := strings.TrimRight(u.EscapedPath(), "/")
	for _, s := range segments {
		path += "/" + url.PathEscape(s)
	}
	u.RawQuery, u.Fragment, u.RawFragment, u.User = "", "", "", nil
	u.RawPath = path
	u.Path, _ = url.PathUnescape(path)
	return &u
}

// statusURL reads a status URL that was kept or given by a person.
func (c *Client) statusURL(op, s string) (*url.URL, error) {
	u, _, err := c.policy().Resolve(nil, s)
	if err != nil {
		return nil, &ProtocolError{Op: op, Reason: "status " + err.Error(), err: err}
	}
	return u, nil
}

// Delete tells the server that the export is not needed any more: its files go,
// and a server that runs one export per client lets the next one start (P27). An
// export that the server does not know is deleted. Whoever calls it after a run
// only notes an error: it never fails the run.
func (c *Client) Delete(ctx context.Context, statusURL string) error {
	u, err := c.statusURL("delete export", statusURL)
	if err != nil {
		return err
	}
	return c.requests(c.HTTP).Do(ctx, fhirhttp.Call{
		Op: "delete export", Method: http.MethodDelete, URL: u, Accept: "application/json",
		OK: func(status int) bool {
			return status/100 == 2 || status == http.StatusNotFound || status == http.StatusGone
		},
	})
}

// OneShot returns a copy of t for Client.Fresh: every request gets a connection
// of its own, so that net/http has no reason ever to send one again (P23), and
// speaks HTTP/1.1, where a lost connection is lost without a second try.
func OneShot(t *http.Transport) *http.Transport {
	t = t.Clone()
	t.DisableKeepAlives = true
	t.ForceAttemptHTTP2 = false
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	return t
}

// date reads a Date header; local says that there was none and it is the local
// time (P28).
func date(h http.Header) (t time.Time, local bool) {
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		return t.UTC(), false
	}
	return time.Now().UTC(), true
}
