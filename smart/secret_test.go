package smart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// heard is what was logged, the errors that the tests looked at, and the secrets that went
// over the wire.
type heard struct {
	mu      sync.Mutex
	text    bytes.Buffer
	secrets map[string]bool
}

// everything is what TestMain searches.
var everything = &heard{secrets: map[string]bool{}}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *heard) error(e *Error) { fmt.Fprintf(h, "%v\n%+v\n%s\n", e, *e, e.Hint()) }

// note keeps a secret, unless it is so short that it could be anywhere.
func (h *heard) note(secrets ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, secret := range secrets {
		if len(secret) > 5 {
			h.secrets[secret] = true
		}
	}
}

// request notes what a token request and its answer hold.
func (h *heard) request(c call) {
	assertion := c.form.Get("client_assertion")
	h.note(assertion, assertion[strings.LastIndexByte(assertion, '.')+1:], c.form.Get("client_secret"),
		strings.TrimPrefix(c.req.Header.Get("Authorization"), "Basic "))
	if _, secret, ok := c.req.BasicAuth(); ok {
		h.note(secret)
	}
}

func (h *heard) answer(resp *http.Response) {
	body, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), errorReader{err}))
	var a struct {
		Token string `json:"access_token"`
	}
	if json.Unmarshal(body, &a) == nil {
		h.note(a.Token)
	}
}

// errorReader ends as the body that was read has ended.
type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	return 0, io.EOF
}

// key notes the private members of a key.
func (h *heard) key(k *Key) {
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(must(Keys{k}.PrivateJWKS()), &set); err != nil {
		panic(err)
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi"} {
		text, _ := set.Keys[0][name].(string)
		h.note(text)
	}
	h.note(strings.Split(string(must(k.PrivatePEM())), "\n")[2])
}

// leaks counts the secrets that were said, and what looks like a JWT.
func (h *heard) leaks() int {
	text := h.text.String()
	n := len(regexp.MustCompile(`eyJ[\w-]{8,}\.eyJ`).FindAllString(text, -1))
	for secret := range h.secrets {
		if strings.Contains(text, secret) {
			n++
		}
	}
	return n
}

// TestMain searches all that was logged and returned in the tests of this package for all
// secrets: tokens, assertions and their signatures, client secrets, private keys (I6).
func TestMain(m *testing.M) {
	code := m.Run()
	everything.key(ecKey())
	everything.key(rsaKey())
	if n := everything.leaks(); n > 0 {
		fmt.Fprintf(os.Stderr, "I6: %d secrets of %d are in the log or in an error\n", n, len(everything.secrets))
		code = 1
	}
	os.Exit(code)
}

func TestI6TheSearchFindsWhatIsThere(t *testing.T) {
	assertion := string(must(newClient(nil).Assertion(t.Context())))
	private := strings.Split(string(must(ecKey().PrivatePEM())), "\n")[2]
	for name, said := range map[string]string{
		"token": "got access-token-77", "assertion": assertion, "signature": assertion[strings.LastIndexByte(assertion, '.')+1:], "private key": private,
	} {
		h := &heard{secrets: map[string]bool{}}
		h.note("access-token-77", assertion, assertion[strings.LastIndexByte(assertion, '.')+1:])
		h.key(ecKey())
		h.error(&Error{Op: "request token", Code: "invalid_client"})
		if h.leaks() != 0 {
			t.Errorf("%s: found in nothing", name)
		}
		h.error(&Error{Op: "request token", Description: said})
		if h.leaks() == 0 {
			t.Errorf("%s: not found", name)
		}
	}
}
