package export

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

const base = "https://ehr.example.org/fhir"

// fake answers requests without a network, so that time may be faked as well.
type fake struct {
	mu   sync.Mutex
	seen []*http.Request
	do   func(n int, r *http.Request) (*http.Response, error) // n counts from 0
}

func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	n := len(f.seen)
	f.seen = append(f.seen, r)
	f.mu.Unlock()
	everything.request(r)
	resp, err := f.do(n, r)
	if resp != nil {
		resp.Request = r
	}
	return resp, err
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.seen)
}

// answers plays one answer after the other and repeats the last.
func answers(list ...*answer) *fake {
	return &fake{do: func(n int, _ *http.Request) (*http.Response, error) {
		return list[min(n, len(list)-1)].response()
	}}
}

// pages answers by URL; what it does not know is 404.
func pages(byURL map[string]*answer) *fake {
	return &fake{do: func(_ int, r *http.Request) (*http.Response, error) {
		if a := byURL[r.URL.String()]; a != nil {
			return a.response()
		}
		return reply(404, "").response()
	}}
}

type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

func reply(status int, body string, header ...string) *answer {
	a := &answer{status: status, header: http.Header{}, body: body}
	for i := 0; i+1 < len(header); i += 2 {
		a.header.Set(header[i], header[i+1])
	}
	return a
}

func failure(err error) *answer { return &answer{err: err} }

func (a *answer) response() (*http.Response, error) {
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{
		StatusCode: a.status, Header: a.header.Clone(), Body: io.NopCloser(strings.NewReader(a.body)), ContentLength: int64(len(a.body)),
	}, nil
}

func clientOf(rt http.RoundTripper) *Client { return clientAt(base, rt) }

func clientAt(base string, rt http.RoundTripper) *Client {
	return &Client{Base: mustURL(base), HTTP: &http.Client{Transport: rt}, Bare: &http.Client{Transport: rt}, Log: everything.log()}
}

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

func outcome(severity, code, text string) string {
	return `{"resourceType":"OperationOutcome","issue":[{"severity":"` + severity + `","code":"` + code + `","diagnostics":"` + text + `"}]}`
}

func manifest(rest string) string {
	return `{"transactionTime":"2025-01-01T00:00:00Z","request":"` + base + `/$export?_type=Patient","requiresAccessToken":true` + rest + `}`
}

// class is what an error says of its exit code.
func class(t *testing.T, err error) string {
	t.Helper()
	everything.error(err)
	for err != nil {
		if c, ok := err.(interface{ Class() string }); ok {
			return c.Class()
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return ""
		}
		err = u.Unwrap()
	}
	return ""
}

func httpDate(t time.Time) string { return t.UTC().Format(http.TimeFormat) }
