package authserver

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// tokenHash is what is kept of an access token.
type tokenHash [sha256.Size]byte

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// TokenHandler is the token endpoint. Mount it at TokenPath.
func (s *Server) TokenHandler() http.Handler { return http.HandlerFunc(s.serveToken) }

func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	now := s.now()
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	head.Set("Pragma", "no-cache")
	head.Set("Date", now.UTC().Format(http.TimeFormat))
	faults, fail := s.takeFaults()
	if fail {
		no := &refusal{code: faults.FailCode, description: "a fault that was asked for", status: faults.FailStatus}
		if no.status == 0 {
			no.status = http.StatusServiceUnavailable
		}
		if faults.RetryAfter != "" {
			head.Set("Retry-After", faults.RetryAfter)
		}
		s.refuse(w, r, no)
		return
	}
	form, no := readForm(w, r)
	if no != nil {
		s.refuse(w, r, no)
		return
	}
	reg, no := s.authenticate(r, form, now)
	if no != nil {
		s.refuse(w, r, no)
		return
	}
	scopes, no := s.decide(form.Get("scope"), reg.Scopes)
	if no != nil {
		s.refuse(w, r, no)
		return
	}
	if faults.Grant != nil {
		scopes = faults.Grant
	}
	token, no := s.issue(reg.ID, scopes, now)
	if no != nil {
		s.refuse(w, r, no)
		return
	}
	answer := map[string]any{"access_token": token, "token_type": "bearer"}
	seconds := json.Number(formatSeconds(s.lifetime()))
	switch {
	case faults.OmitExpiresIn:
	case faults.ExpiresInString:
		answer["expires_in"] = seconds.String()
	default:
		answer["expires_in"] = seconds
	}
	if !faults.OmitScope {
		answer["scope"] = strings.Join(scopes, " ")
	}
	s.log(r.Context(), slog.LevelInfo, "token issued", "client", reg.ID, "scopes", len(scopes), "expires_in", seconds.String())
	writeJSON(w, http.StatusOK, answer)
}

// formatSeconds rounds up, so that a lifetime below a second is not 0.
func formatSeconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// readForm reads the request as RFC 6749 3.2 wants it: a form, each parameter once,
// nothing in the query.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, *refusal) {
	bad := func(description string) (url.Values, *refusal) {
		return nil, &refusal{code: "invalid_request", description: description}
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		return nil, &refusal{code: "invalid_request", description: "the token endpoint takes POST only", status: http.StatusMethodNotAllowed}
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
		return bad("the content type is not application/x-www-form-urlencoded")
	}
	if r.URL.RawQuery != "" {
		return bad("parameters belong into the body, not into the URL")
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		return bad("the form cannot be read")
	}
	for name, values := range r.PostForm {
		if len(values) > 1 {
			return bad("a parameter occurs twice: " + printable(name))
		}
	}
	switch r.PostForm.Get("grant_type") {
	case "client_credentials":
		return r.PostForm, nil
	case "":
		return bad("grant_type is missing")
	}
	return nil, &refusal{code: "unsupported_grant_type", description: "grant_type is not client_credentials"}
}

// authenticate finds out which client is asking.
func (s *Server) authenticate(r *http.Request, form url.Values, now time.Time) (*client, *refusal) {
	assertion, typ := form.Get("client_assertion"), form.Get("client_assertion_type")
	user, password, basic := r.BasicAuth()
	inForm := form.Get("client_secret")
	switch {
	case assertion != "" && (basic || inForm != ""), basic && inForm != "":
		return nil, &refusal{code: "invalid_request", description: "more than one way to authenticate"}
	case basic:
		id, err1 := url.QueryUnescape(user)
		secret, err2 := url.QueryUnescape(password)
		if err1 != nil || err2 != nil {
			return nil, notClient("the credentials are not form-encoded")
		}
		return s.bySecret(id, secret)
	case inForm != "":
		return s.bySecret(form.Get("client_id"), inForm)
	case assertion == "":
		return nil, &refusal{code: "invalid_request", description: "client_assertion is missing"}
	case typ != assertionType:
		return nil, &refusal{code: "invalid_request", description: "client_assertion_type is not " + assertionType}
	}
	reg, no := s.verify(r.Context(), assertion, s.TokenEndpoint(r), now)
	if no == nil && form.Has("client_id") && form.Get("client_id") != reg.ID {
		no = notClient("client_id is not the assertion's iss")
	}
	if no != nil {
		return nil, no
	}
	return reg, nil
}

func (s *Server) bySecret(id, secret string) (*client, *refusal) {
	reg := s.client(id)
	if reg == nil || reg.Secret == "" || subtle.ConstantTimeCompare([]byte(reg.Secret), []byte(secret)) != 1 {
		return nil, notClient("client id or secret is wrong")
	}
	return reg, nil
}

// TokenPrefix begins every token, so that one can be found wherever it got to.
const TokenPrefix = "sandbox_token_"

// issue makes and keeps an opaque token.
func (s *Server) issue(id string, scopes []string, now time.Time) (string, *refusal) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	token := TokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
	until := now.Add(s.lifetime())
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tokens.put(sha256.Sum256([]byte(token)), newGrant(id, scopes, until), until, now, s.maxEntries()) {
		return "", &refusal{code: "temporarily_unavailable", description: "too many tokens", status: http.StatusServiceUnavailable}
	}
	s.issued.Add(1)
	return token, nil
}

// refuse answers with an error of RFC 6749 5.2.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, no *refusal) {
	s.refused.Add(1)
	status := no.status
	if status == 0 {
		status = http.StatusBadRequest
	}
	s.log(r.Context(), slog.LevelWarn, "token refused", "status", status, "error", no.code, "why", no.description)
	if status == http.StatusUnauthorized && r.Header.Get("Authorization") != "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="token"`)
	}
	if no.code == "" {
		w.WriteHeader(status)
		return
	}
	writeJSON(w, status, map[string]any{"error": no.code, "error_description": no.description})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // strings and numbers only
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client went away
}

// printable keeps a client's text from breaking an error_description (RFC 6749 5.2).
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s[:min(len(s), 40)])
}
