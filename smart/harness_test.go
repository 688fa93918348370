package smart

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

const tokenURL = "https://auth.example.org/oauth2/token"

// ecKey is a P-384 key of this test process.
var ecKey = sync.OnceValue(func() *Key {
	signer, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return must(NewKey(signer, "", "ec"))
})

// rsaKey is an RSA key of 2048 bits of this test process.
var rsaKey = sync.OnceValue(func() *Key {
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return must(NewKey(signer, "", "rsa"))
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// endpoint is a token endpoint without a network: it works under synctest.
type endpoint struct {
	t      *testing.T
	answer func(n int, c call) *http.Response // n counts from 1; nil: token n, 300 s
	err    func(n int) error                  // may be nil

	mu    sync.Mutex
	calls []call
}

// call is one request that reached the endpoint.
type call struct {
	at     time.Time
	req    *http.Request
	form   url.Values
	header map[string]any // of the assertion
	claims map[string]any
}

func (e *endpoint) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	c := call{at: time.Now(), req: req}
	if c.form, err = url.ParseQuery(string(body)); err != nil {
		e.t.Errorf("form: %v", err)
	}
	if a := c.form.Get("client_assertion"); a != "" {
		h, cl, err := DecodeAssertion(Secret(a))
		if err != nil {
			e.t.Errorf("assertion: %v", err)
		}
		dec := json.NewDecoder(bytes.NewReader(cl))
		dec.UseNumber()
		if json.Unmarshal(h, &c.header) != nil || dec.Decode(&c.claims) != nil {
			e.t.Errorf("assertion is not JSON: %s %s", h, cl)
		}
	}
	everything.request(c)
	e.mu.Lock()
	e.calls = append(e.calls, c)
	n := len(e.calls)
	e.mu.Unlock()
	if e.err != nil {
		if err := e.err(n); err != nil {
			return nil, err
		}
	}
	resp := grant(n, 300)
	if e.answer != nil {
		resp = e.answer(n, c)
	}
	everything.answer(resp)
	resp.Request = req
	return resp, nil
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.calls)
}

func (e *endpoint) call(i int) call {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls[i]
}

// respond makes a response; header are pairs.
func respond(status int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

func grant(n, expiresIn int) *http.Response {
	return respond(200, fmt.Sprintf(`{"access_token":"access-token-%d","token_type":"Bearer","expires_in":%d}`, n, expiresIn))
}

func refuse(code string) *http.Response {
	return respond(400, fmt.Sprintf(`{"error":%q}`, code))
}

// newClient is a Client of the endpoint with the EC key.
func newClient(e *endpoint) *Client {
	return &Client{
		ClientID: "my-client", TokenURL: tokenURL, Keys: ecKey(),
		Scopes: []string{"system/Patient.rs"}, HTTP: &http.Client{Transport: e},
		Log: slog.New(slog.NewTextHandler(everything, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// logged is a logger for a test with what it wrote.
func logged() (*slog.Logger, *bytes.Buffer) {
	var buf lockedBuffer
	return slog.New(slog.NewJSONHandler(io.MultiWriter(&buf, everything), &slog.HandlerOptions{Level: slog.LevelDebug})), &buf.Buffer
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// wantError checks the parts of an *Error and returns it.
func wantError(t *testing.T, err error, class string, inMessage, inHint string) *Error {
	t.Helper()
	e, ok := err.(*Error)
	if !ok {
		t.Fatalf("got %T %v, want an *Error", err, err)
	}
	everything.error(e)
	if e.Class() != class {
		t.Errorf("class of %v: got %q, want %q", e, e.Class(), class)
	}
	if !strings.Contains(e.Error(), inMessage) {
		t.Errorf("message: got %q, want %q in it", e, inMessage)
	}
	if !strings.Contains(e.Hint(), inHint) {
		t.Errorf("hint: got %q, want %q in it", e.Hint(), inHint)
	}
	return e
}
