package pipeline

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The secrets of every world: the token of its requests, a member of the status URLs and the
// signature of the files' links (I6).
const (
	worldToken  = "t0ken-that-nobody-may-see"
	worldStatus = "s3cr3t"
	worldLink   = "sig="
)

// bearer puts the token on requests, as the transport of package smart would.
type bearer struct{ base http.RoundTripper }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+worldToken)
	return b.base.RoundTrip(r)
}

// CloseIdleConnections reaches the transport below.
func (b bearer) CloseIdleConnections() { (&http.Client{Transport: b.base}).CloseIdleConnections() }

// heard is what the runs of a world said: log lines, events, errors, hints and summaries.
type heard struct {
	mu   sync.Mutex
	text strings.Builder
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *heard) event(e Event) { fmt.Fprintf(h, "%+v\n", e) }

func (h *heard) end(sum *Summary, err error) {
	text, _ := json.Marshal(sum)
	fmt.Fprintf(h, "%s %v %+v %s\n", text, err, err, hintOf(err))
}

func (h *heard) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(h, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// watch has everything searched for the world's secrets when the test ends: what was
// said, and each file below its folder (ledger, spool, staging, snapshots). The status URL is
// the one secret that the ledger may hold; what a resource says is the server's.
func (w *world) watch(t *testing.T) {
	if w.heard != nil {
		return
	}
	w.heard = new(heard)
	t.Cleanup(func() {
		files := 0
		for _, leak := range w.leaks(&files) {
			t.Errorf("I6: %s", leak)
		}
		if files == 0 && !t.Failed() && !t.Skipped() {
			t.Errorf("I6: no file was searched")
		}
	})
}

// leaks lists where a secret is, and counts the files that were searched.
func (w *world) leaks(files *int) (found []string) {
	look := func(where, text string, secrets ...string) {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				found = append(found, fmt.Sprintf("%q in %s", secret, where))
			}
		}
	}
	look("what was said", w.heard.text.String(), worldToken, worldStatus, worldLink)
	_ = filepath.WalkDir(w.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		*files++
		name, _ := filepath.Rel(w.Dir, path)
		look(name, string(data), worldToken)
		if resources := strings.Contains(name, "/ndjson/"); resources {
			return nil // a link in a resource is published as it was sent
		}
		look(name, string(data), worldLink)
		if !strings.HasPrefix(d.Name(), "ledger.db") {
			look(name, string(data), worldStatus)
		}
		return nil
	})
	return found
}

// The search after each test must be able to fail.
func TestI6TheSearchOfAWorldFindsWhatIsThere(t *testing.T) {
	for name, text := range map[string]string{
		"state/ledger.db-wal": "Bearer " + worldToken, "spool/x/part": "/files/1?" + worldLink + "7", "out/nightly/log.ndjson": "/status/1?secret=" + worldStatus, "out/ndjson/x": worldToken, "": worldStatus,
	} {
		w := &world{Dir: tempDir(t), heard: new(heard)}
		if name == "" {
			w.heard.event(Event{Text: text})
		} else {
			path := filepath.Join(w.Dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		files := 0
		if found := w.leaks(&files); len(found) != 1 || (files == 1) != (name != "") {
			t.Errorf("%s: %v in %d files", name, found, files)
		}
	}
}
