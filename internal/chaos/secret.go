package main

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// secrets are what must not be found in a log or in a file (I6, I7).
type secrets struct {
	mu         sync.Mutex
	tokens     map[string]bool
	assertions map[string]bool
	exports    map[string]bool // ids of status URLs
}

func newSecrets() *secrets {
	return &secrets{tokens: map[string]bool{}, assertions: map[string]bool{}, exports: map[string]bool{}}
}

// request notes what a request shows. It returns a request with the same body.
func (s *secrets) request(pattern string, r *http.Request) *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		s.tokens[token] = true
	}
	if pattern != onToken {
		return r
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return r // the sandbox fails on it as well
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if form, err := url.ParseQuery(string(body)); err == nil && form.Get("client_assertion") != "" {
		s.assertions[form.Get("client_assertion")] = true
	}
	return r
}

// serveToken answers a token request and notes the token.
func (s *secrets) serveToken(next http.Handler, w http.ResponseWriter, r *http.Request) {
	got := newBuffered()
	next.ServeHTTP(got, r)
	var answer struct {
		Token string `json:"access_token"`
	}
	if json.Unmarshal(got.body, &answer) == nil && answer.Token != "" {
		s.mu.Lock()
		s.tokens[answer.Token] = true
		s.mu.Unlock()
	}
	got.send(w)
}

func (s *secrets) export(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exports[id] = true
}

// statusURL reports whether a status URL is in the text. The path of an export's
// file, which begins like it, is none: the export log names it without query.
func (s *secrets) statusURL(text string) bool {
	for id := range s.exports {
		for rest := text; ; {
			_, after, found := strings.Cut(rest, id)
			if !found {
				break
			}
			if !strings.HasPrefix(after, "/") {
				return true
			}
			rest = after
		}
	}
	return false
}

// leaks looks for secrets and patients in a run's logs, and for secrets in the
// files below the folders. The status URL is the one secret that the ledger may
// hold.
func (s *secrets) leaks(logs string, patients []string, ledger string, folders ...string) (found []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	look := func(text, where string, what map[string]bool, name string) {
		for secret := range what {
			if strings.Contains(text, secret) {
				found = append(found, "I6: "+name+" in "+where)
				return
			}
		}
	}
	look(logs, "the log", s.tokens, "a token")
	look(logs, "the log", s.assertions, "an assertion")
	look(logs, "the log", s.exports, "a status URL")
	for _, id := range patients {
		if strings.Contains(logs, id) {
			found = append(found, "I7: a patient's id in the log")
			break
		}
	}
	for _, folder := range folders {
		_ = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			look(string(text), d.Name(), s.tokens, "a token")
			look(string(text), d.Name(), s.assertions, "an assertion")
			if !strings.HasPrefix(path, ledger) && s.statusURL(string(text)) {
				found = append(found, "I6: a status URL in "+d.Name())
			}
			return nil
		})
	}
	return found
}
