package smart

import (
	"context"
	"time"
)

// TokenSource returns a token that is good to use now. Implementations may be
// called by several goroutines at once.
type TokenSource interface {
	Token(ctx context.Context) (*Token, error)
}

// Invalidator is a TokenSource that can be told that a server refused a token.
// A [Transport] authenticates again after a 401 only when its source is one.
type Invalidator interface {
	// Invalidate forgets the token if it is the current one; a late report about
	// an older token changes nothing.
	Invalidate(accessToken Secret)
}

// Token is an access token. It is shared by all callers: do not change it.
type Token struct {
	// AccessToken goes into the Authorization header as a bearer token.
	AccessToken Secret
	// Expiry is when the server said that the token ends, by the local clock; zero
	// means never.
	Expiry time.Time
	// Scopes are those granted. Nil means that the server did not say, which
	// RFC 6749 5.1 defines as "those that were asked for".
	Scopes []string

	asked time.Time // when the request for it began, by the clock of this process; zero when unknown
	renew time.Time // from here on a new one is asked for (P13)
}

// usable reports whether the token may be handed out.
func (t *Token) usable(now time.Time) bool {
	return t != nil && (t.renew.IsZero() || now.Before(t.renew))
}

const (
	// defaultLifetime is assumed when expires_in is missing or unreadable (P12, F5).
	defaultLifetime = 300 * time.Second
	// maxMargin and marginShare: a token is renewed that much before it ends (P13).
	maxMargin   = 30 * time.Second
	marginShare = 5
	// minUse is how long any token is used: with tokens that live shorter than that
	// at most one request a second goes out, and the 401 path does the rest (F6).
	minUse = time.Second
)

// useFor is how long a token with this lifetime is handed out before a new one
// is asked for: P13's margin, with a floor against refresh storms (F6).
func useFor(lifetime time.Duration) time.Duration {
	return max(lifetime-min(maxMargin, lifetime/marginShare), minUse)
}

// StaticToken is a TokenSource that always returns the same bearer token, which
// somebody obtained by other means.
type StaticToken struct{ AccessToken Secret }

// Token returns the token; it never expires as far as this package knows.
func (s StaticToken) Token(context.Context) (*Token, error) {
	if s.AccessToken == "" {
		return nil, &Error{
			Op: "read static token", Err: errText("it is empty"), kind: lasting,
			hint: "Set the bearer token of this server.",
		}
	}
	if !validBearer(string(s.AccessToken)) {
		return nil, &Error{
			Op: "read static token", Err: errText("it holds characters that a header cannot carry"), kind: lasting,
			hint: "Give the token alone: without the word Bearer, spaces, quotes or line breaks.",
		}
	}
	return &Token{AccessToken: s.AccessToken}, nil
}

// validBearer reports whether the token can stand in a header: visible ASCII.
func validBearer(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
