// Package authserver is a SMART Backend Services authorization server for
// sandboxes and tests: a token endpoint that verifies client assertions as strictly as
// the specification allows, the smart-configuration document, and the check that a
// resource server makes of a bearer token.
//
// Use a [Server]: Register the clients, mount TokenHandler and
// ConfigurationHandler, and call Check for each request to the protected API. Access
// tokens are opaque random strings that live in memory, and so do the jtis that were seen
// (each is accepted once). Both are bounded. Faults turn on misbehaviour that clients
// have to survive.
//
// The package shares no code with package smart, so that a mistake in the one
// cannot hide one in the other. It is not meant to guard real patients' data.
//
// Sources: SMART App Launch 2.2.0 (Backend Services, Client Authentication:
// Asymmetric, Conformance), RFC 6749, 6750, 7515, 7517, 7523.
package authserver

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server is an authorization server. Its exported fields are not to be changed after
// the first request; its methods may be called by several goroutines at once. The
// zero value is ready, and knows no client.
type Server struct {
	// TokenURL is the absolute URL of the token endpoint, which an assertion's aud must
	// equal. Empty means that it is made of each request's own scheme and host and of
	// TokenPath.
	TokenURL string
	// TokenPath is where TokenHandler is mounted; empty means "/auth/token".
	TokenPath string
	// Algorithms that assertions may be signed with; nil means RS384 and ES384.
	Algorithms []string
	// Scopes are what a client may have that was registered without scopes of its own; nil
	// means "system/*.cruds".
	Scopes []string
	// Narrow grants what is allowed of the scopes that were asked for, instead of refusing
	// the request with invalid_scope when one is not allowed.
	Narrow bool
	// KnownType reports whether a resource type exists; a scope for another is
	// refused. Nil means that all do.
	KnownType func(resourceType string) bool
	// Capabilities of the smart-configuration; nil means those of a backend server with
	// scopes of version 1 and 2.
	Capabilities []string
	// TokenLifetime is that of access tokens; 0 means 5 min.
	TokenLifetime time.Duration
	// Leeway is how far the clients' clocks may differ; 0 means 5 s, negative none.
	Leeway time.Duration
	// MaxEntries bounds the access tokens and, apart from them, the jtis that are
	// remembered; 0 means 100,000. Beyond it requests are refused as temporarily
	// unavailable.
	MaxEntries int
	// HTTP fetches the key sets of clients registered with a JWKS URL; nil means a client
	// with a timeout of 10 s.
	HTTP *http.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log receives a line for each token request; nil discards. No line has a token or an
	// assertion.
	Log *slog.Logger

	mu      sync.Mutex
	clients map[string]*client
	tokens  expiring[tokenHash, Grant]
	jtis    expiring[string, struct{}]
	faults  Faults

	issued  atomic.Int64
	refused atomic.Int64
}

// Issued is how many access tokens were issued so far.
func (s *Server) Issued() int64 { return s.issued.Load() }

// Refused is how many token requests were answered with an error so far.
func (s *Server) Refused() int64 { return s.refused.Load() }

// Faults are ways to misbehave. The zero value is a server without fault.
type Faults struct {
	// FailNext token requests are answered with FailStatus (0 means 503) and, when
	// FailCode is set, with that OAuth error.
	FailNext   int
	FailStatus int
	FailCode   string
	// RetryAfter is sent with those failures when it is set.
	RetryAfter string
	// Grant are the scopes to grant whatever was asked for; nil means those that were
	// asked for, and an empty list none.
	Grant []string
	// OmitScope and OmitExpiresIn leave those members out of the answer.
	OmitScope     bool
	OmitExpiresIn bool
	// ExpiresInString sends expires_in as a string.
	ExpiresInString bool
	// Skew is added to the server's clock, the Date header included.
	Skew time.Duration
}

// SetFaults replaces the faults.
func (s *Server) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// takeFaults returns the faults that hold for one token request.
func (s *Server) takeFaults() (f Faults, fail bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f = s.faults
	if f.FailNext > 0 {
		s.faults.FailNext--
		return f, true
	}
	return f, false
}

// now is the server's clock, fault included.
func (s *Server) now() time.Time {
	s.mu.Lock()
	skew := s.faults.Skew
	s.mu.Unlock()
	if s.Now != nil {
		return s.Now().Add(skew)
	}
	return time.Now().Add(skew)
}

func (s *Server) leeway() time.Duration {
	switch {
	case s.Leeway < 0:
		return 0
	case s.Leeway == 0:
		return 5 * time.Second
	}
	return s.Leeway
}

func (s *Server) lifetime() time.Duration {
	if s.TokenLifetime > 0 {
		return s.TokenLifetime
	}
	return 5 * time.Minute
}

func (s *Server) maxEntries() int {
	if s.MaxEntries > 0 {
		return s.MaxEntries
	}
	return 100_000
}

func (s *Server) algorithms() []string {
	if s.Algorithms != nil {
		return s.Algorithms
	}
	return []string{"RS384", "ES384"}
}

func (s *Server) tokenPath() string {
	if s.TokenPath != "" {
		return s.TokenPath
	}
	return "/auth/token"
}

// TokenEndpoint is the token URL as the client of this request sees it: what an
// assertion's aud must equal.
func (s *Server) TokenEndpoint(r *http.Request) string {
	if s.TokenURL != "" {
		return s.TokenURL
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + s.tokenPath()
}

func (s *Server) log(ctx context.Context, level slog.Level, message string, args ...any) {
	if s.Log != nil {
		s.Log.Log(ctx, level, message, args...)
	}
}
