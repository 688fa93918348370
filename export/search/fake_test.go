package search

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

const base = "https://ehr.example.org/fhir"

// server answers searches without a network, so that time may be faked as well.
type server struct {
	mu   sync.Mutex
	seen []string
	do   func(n int, r *http.Request) *http.Response
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	n := len(s.seen)
	s.seen = append(s.seen, r.URL.String())
	s.mu.Unlock()
	resp := s.do(n, r)
	resp.Request = r
	return resp, nil
}

func (s *server) client() *Client {
	return &Client{Base: mustURL(base), HTTP: &http.Client{Transport: s}}
}

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

const sent = "Sat, 01 Mar 2025 12:00:00 GMT"

func reply(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Date": {sent}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// paged answers with the bodies one after the other and repeats the last.
func paged(bodies ...string) *server {
	return &server{do: func(n int, _ *http.Request) *http.Response { return reply(200, bodies[min(n, len(bodies)-1)]) }}
}

// bundle is a searchset; next may be "".
func searchset(next string, entries ...string) string {
	link := ""
	if next != "" {
		link = `,"link":[{"relation":"next","url":"` + next + `"}]`
	}
	return `{"resourceType":"Bundle","type":"searchset"` + link + `,"entry":[` + strings.Join(entries, ",") + `]}`
}

func match(typ, id string) string {
	return fmt.Sprintf(`{"fullUrl":"x","resource":{"resourceType":%q,"id":%q},"search":{"mode":"match"}}`, typ, id)
}

func line(typ, id string) string { return fmt.Sprintf(`{"resourceType":%q,"id":%q}`+"\n", typ, id) }

func class(t *testing.T, err error) string {
	t.Helper()
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
