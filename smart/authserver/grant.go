package authserver

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Grant is what an access token permits.
type Grant struct {
	ClientID string
	Scopes   []string
	Expires  time.Time

	parsed []scope
}

func newGrant(id string, scopes []string, expires time.Time) Grant {
	g := Grant{ClientID: id, Scopes: slices.Clone(scopes), Expires: expires}
	for _, text := range scopes {
		if p, err := parseScope(text); err == nil {
			g.parsed = append(g.parsed, p)
		}
	}
	return g
}

// Allows reports whether the grant permits an operation on a resource type: 'c', 'r',
// 'u', 'd' or 's' (create, read, update, delete, search). The type "*" asks for all
// types at once. A scope with a query permits nothing.
func (g *Grant) Allows(resourceType string, operation rune) bool {
	return allows(g.parsed, resourceType, operation)
}

// Denied is a request without a valid token.
type Denied struct {
	Status int // 401
	// Challenge is the value of WWW-Authenticate (RFC 6750 3).
	Challenge string
	// Reason says what was wrong, without the token.
	Reason string
}

func (d *Denied) Error() string { return d.Reason }

// Write answers the request: the status, WWW-Authenticate and an empty body.
func (d *Denied) Write(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", d.Challenge)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(d.Status)
}

func denied(reason string, given bool) *Denied {
	d := &Denied{Status: http.StatusUnauthorized, Challenge: `Bearer realm="fhir"`, Reason: reason}
	if given { // RFC 6750 3.1: no error code when there were no credentials
		d.Challenge += `, error="invalid_token", error_description="` + reason + `"`
	}
	return d
}

// Check finds the grant of a request's bearer token. The error is a *[Denied].
func (s *Server) Check(r *http.Request) (*Grant, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return nil, denied("no access token was sent", false)
	}
	kind, token, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok || !strings.EqualFold(kind, "Bearer") || token == "" {
		return nil, denied("the Authorization header is not one bearer token", true)
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.tokens.get(sha256.Sum256([]byte(token)), now)
	if !ok {
		return nil, denied("the access token is unknown, expired or revoked", true)
	}
	return &g, nil
}

// Revoke ends a token at once, and reports whether there was one.
func (s *Server) Revoke(token string) bool {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	hash := tokenHash(sha256.Sum256([]byte(token)))
	_, ok := s.tokens.get(hash, now)
	s.tokens.remove(hash)
	return ok
}

// RevokeAll ends all tokens at once.
func (s *Server) RevokeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens.clear()
}
