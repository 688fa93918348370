package export

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
)

// heard is what the clients of these tests logged, the errors that the tests looked at, with
// their hints, and the secrets that went over the wire.
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

func (h *heard) error(err error) {
	hint := ""
	if e, ok := err.(interface{ Hint() string }); ok {
		hint = e.Hint()
	}
	fmt.Fprintf(h, "%v %s\n", err, hint)
}

func (h *heard) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(h, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// request notes the secrets of a request: its query, which may be a signature or name a
// patient, and its token.
func (h *heard) request(r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, secret := range []string{r.URL.RawQuery, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")} {
		if len(secret) > 5 {
			h.secrets[secret] = true
		}
	}
}

// leaks counts the secrets that were said.
func (h *heard) leaks() (n int) {
	for secret := range h.secrets {
		if strings.Contains(h.text.String(), secret) {
			n++
		}
	}
	return n
}

// TestMain searches all that was logged and returned in the tests of this package for all
// secrets that its servers saw (I6, F44).
func TestMain(m *testing.M) {
	code := m.Run()
	if n := everything.leaks(); n > 0 {
		fmt.Fprintf(os.Stderr, "I6: %d secrets of %d are in the log or in an error\n", n, len(everything.secrets))
		code = 1
	}
	os.Exit(code)
}

func TestI6TheSearchFindsWhatIsThere(t *testing.T) {
	h := &heard{secrets: map[string]bool{}}
	r, err := http.NewRequest(http.MethodGet, base+"/file?sig=abcdef", nil)
	if err != nil {
		t.Fatal(err)
	}
	h.request(r)
	h.error(&RequestError{"nothing"})
	if h.leaks() != 0 {
		t.Error("found in nothing")
	}
	h.log().Info("asked", "url", r.URL)
	if h.leaks() != 1 {
		t.Error("not found in the log")
	}
}
