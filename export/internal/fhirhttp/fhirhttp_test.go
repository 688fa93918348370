package fhirhttp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// script answers requests one after the other, without a network.
type script struct {
	steps []func(*http.Request) (*http.Response, error)
	n     int
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	i := min(s.n, len(s.steps)-1)
	s.n++
	resp, err := s.steps[i](r)
	if resp != nil {
		resp.Request = r
	}
	return resp, err
}

func status(code int, body string, header ...string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i+1 < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}, nil
	}
}

func fails(err error) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

func client(s *script) *Client {
	return &Client{HTTP: &http.Client{Transport: s}, Random: func() float64 { return 0 }}
}

var target = &url.URL{Scheme: "https", Host: "ehr.example.org", Path: "/fhir/x", RawQuery: "name=Smith"}

func TestRequestsAreRepeatedByPolicy(t *testing.T) {
	for _, tc := range []struct {
		name  string
		steps []func(*http.Request) (*http.Response, error)
		want  string // error text, "" for success
		sent  int
		waits time.Duration
	}{
		{"answer", []func(*http.Request) (*http.Response, error){status(200, "ok")}, "", 1, 0},
		{"503 then answer", []func(*http.Request) (*http.Response, error){status(503, ""), status(200, "ok")}, "", 2, time.Second},
		{"429 with Retry-After", []func(*http.Request) (*http.Response, error){status(429, "", "Retry-After", "30"), status(200, "ok")}, "", 2, 30 * time.Second},
		{"500 for ever", []func(*http.Request) (*http.Response, error){status(500, "<html>")}, "get: 500 Internal Server Error", 5, 15 * time.Second},
		{"400", []func(*http.Request) (*http.Response, error){status(400, "")}, "get: 400 Bad Request", 1, 0},
		{
			"400 that is transient",
			[]func(*http.Request) (*http.Response, error){status(400, `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"throttled"}]}`), status(200, "")},
			"", 2, time.Second,
		},
		{"501", []func(*http.Request) (*http.Response, error){status(501, "")}, "get: 501 Not Implemented", 1, 0},
		{"404 twice", []func(*http.Request) (*http.Response, error){status(404, ""), status(404, ""), status(200, "")}, "", 3, 3 * time.Second},
		{"404 for ever", []func(*http.Request) (*http.Response, error){status(404, "")}, "get: 404 Not Found", 3, 3 * time.Second},
		{"reset", []func(*http.Request) (*http.Response, error){fails(syscall.ECONNRESET), status(200, "")}, "", 2, time.Second},
		{"untrusted", []func(*http.Request) (*http.Response, error){fails(x509.UnknownAuthorityError{})}, "get: connection failed", 1, 0},
		{"auth", []func(*http.Request) (*http.Response, error){fails(authError{})}, "get: not you", 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: tc.steps}
				retries := 0
				c := client(s)
				c.OnRetry = func(string) { retries++ }
				start := time.Now()
				err := c.Do(t.Context(), Call{Op: "get", URL: target, NotFound: 2})
				if got := fmt.Sprint(err); err != nil && got != tc.want || err == nil && tc.want != "" {
					t.Errorf("error %q, want %q", got, tc.want)
				}
				if s.n != tc.sent || retries != tc.sent-1 {
					t.Errorf("sent %d, told of %d retries, want %d", s.n, retries, tc.sent)
				}
				if d := time.Since(start); d != tc.waits {
					t.Errorf("waited %v, want %v", d, tc.waits)
				}
			})
		})
	}
}

type authError struct{}

func (authError) Error() string { return "not you" }
func (authError) Class() string { return "auth" }
func (authError) Hint() string  { return "register" }

func TestAuthErrorsStayUnwrappable(t *testing.T) {
	err := client(&script{steps: []func(*http.Request) (*http.Response, error){fails(authError{})}}).
		Do(t.Context(), Call{Op: "get", URL: target})
	var ae authError
	var c interface{ Class() string }
	if !errors.As(err, &ae) || !errors.As(err, &c) || c.Class() != "auth" {
		t.Errorf("error %v lost its class", err)
	}
	var h interface{ Hint() string }
	if !errors.As(err, &h) || h.Hint() != "register" {
		t.Error("error lost its hint")
	}
}

func TestHandlerFailuresAreRepeatedOnlyWhenTheBodyBroke(t *testing.T) {
	boom := errors.New("boom")
	for _, tc := range []struct {
		name string
		err  error
		sent int
	}{
		{"broken body", &TransportError{Op: "read", Text: "reset", Err: syscall.ECONNRESET}, 3},
		{"cut", fmt.Errorf("parse: %w", io.ErrUnexpectedEOF), 3},
		{"parse", boom, 1},
		{"final", Final(fmt.Errorf("x: %w", io.ErrUnexpectedEOF)), 1},
		{"transient outcome", &StatusError{Status: 200, Issues: []Issue{{"error", "transient", ""}}}, 3},
		{"lasting outcome", &StatusError{Status: 200, Issues: []Issue{{"error", "processing", ""}}}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: []func(*http.Request) (*http.Response, error){status(200, "x")}}
				c := client(s)
				c.Attempts = 3
				err := c.Do(t.Context(), Call{Op: "get", URL: target, Handle: func(*http.Response) error { return tc.err }})
				if s.n != tc.sent {
					t.Errorf("sent %d, want %d", s.n, tc.sent)
				}
				var fe *finalError
				if err == nil || errors.As(err, &fe) {
					t.Errorf("error is %v", err)
				}
			})
		})
	}
}

func TestCancelStopsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("signal")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		start := time.Now()
		err := client(&script{steps: []func(*http.Request) (*http.Response, error){status(503, "", "Retry-After", "200")}}).
			Do(ctx, Call{Op: "get", URL: target})
		if !errors.Is(err, cause) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// TestF44ErrorTextsHoldNoURL makes the transport fail in every way at hand and
// looks for the URL's secrets and the answer's content in the text.
func TestF44ErrorTextsHoldNoURL(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "SECRET-ANSWER Smith\r\n\r\n")
			_ = c.Close()
		}
	}()
	redirect := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Location"] = []string{"http://%zz/SECRET"}
		w.WriteHeader(302)
	}))
	defer redirect.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	for _, base := range []string{
		"http://" + l.Addr().String(), redirect.URL, untrusted.URL,
		strings.Replace(plain.URL, "http:", "https:", 1), "http://127.0.0.1:1",
	} {
		c := &Client{HTTP: &http.Client{Transport: &http.Transport{}}, Attempts: 1}
		err := c.Do(t.Context(), Call{Op: "get", URL: mustURL(base + "/SECRET-PATH?patient=SECRET")})
		if err == nil || strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "Smith") {
			t.Errorf("%s: error %v", base, err)
		}
		t.Log(err)
	}
}

func TestPatientGivesUpSilentServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := Patient(roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}), time.Minute)
		req, _ := http.NewRequestWithContext(t.Context(), "GET", target.String(), nil)
		start := time.Now()
		if _, err := rt.RoundTrip(req); !errors.Is(err, errStalled) || time.Since(start) != time.Minute {
			t.Errorf("no header: %v after %v", err, time.Since(start))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		rt := Patient(roundTripper(func(r *http.Request) (*http.Response, error) {
			pr, pw := io.Pipe()
			go func() {
				_, _ = pw.Write([]byte("a"))
				time.Sleep(50 * time.Second)
				_, _ = pw.Write([]byte("b"))
				<-r.Context().Done()
				_ = pw.CloseWithError(r.Context().Err())
			}()
			return &http.Response{StatusCode: 200, Body: pr}, nil
		}), time.Minute)
		req, _ := http.NewRequestWithContext(t.Context(), "GET", target.String(), nil)
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1)
		if _, err := resp.Body.Read(buf); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // a slow reader is no silent server
		if _, err := resp.Body.Read(buf); err != nil || buf[0] != 'b' {
			t.Fatalf("second byte: %v", err)
		}
		start := time.Now()
		_, err = resp.Body.Read(buf)
		var te *TransportError
		if !errors.As(err, &te) || !errors.Is(err, errStalled) || time.Since(start) != time.Minute {
			t.Errorf("silence: %v after %v", err, time.Since(start))
		}
		if !Retryable(err) {
			t.Error("a silent body is not tried again")
		}
		_ = resp.Body.Close()
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
