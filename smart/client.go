package smart

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Client gets access tokens for one registered client from one authorization
// server, with the client credentials grant. It is a [TokenSource] and an
// [Invalidator]. The exported fields are not to be changed after the first call;
// the methods may be called by several goroutines at once. Do not copy a Client.
type Client struct {
	// Base is the FHIR service base URL, which leads to the token endpoint (P4). It
	// may be empty when TokenURL is set.
	Base string
	// ClientID is what the server registered the client under.
	ClientID string
	// TokenURL is the token endpoint; empty means that it is discovered. An assertion's
	// aud is this very text (P7).
	TokenURL string

	// Keys gives the key for each assertion. Exactly one of Keys and Secret is set.
	Keys KeySource
	// Algorithm is "auto" (or empty) or one of RFC 7518. Auto takes the first of
	// RS384 and ES384 that the server advertises and there is a key for (P5). An
	// algorithm other than those two must be advertised by the server.
	Algorithm string
	// JKU is the URL of the registered key set, put into the assertion's header when
	// set (P6).
	JKU string
	// Lifetime is that of an assertion; 0 means 4 min, and more than 5 min is refused
	// (P7, F1).
	Lifetime time.Duration

	// Secret is the client secret of servers that know no assertions.
	Secret Secret
	// SecretInBody sends the secret in the form instead of by HTTP Basic.
	SecretInBody bool

	// Scopes are asked for with every token; see ForTypes.
	Scopes []string

	// HTTP sends the requests to the token endpoint and for discovery; nil means
	// http.DefaultClient. Its transport must not be a Transport of this package. Redirects
	// of the token endpoint are never followed (F10), cookies are not kept.
	HTTP *http.Client
	// AllowHTTP permits plain http to hosts other than loopback (P10).
	AllowHTTP bool
	// Discovery is a cache to share with other Clients; nil means one of its own.
	Discovery *Discovery
	// Timeout is that of one HTTP request; 0 means 30 s.
	Timeout time.Duration
	// Now is the local clock; nil means time.Now.
	Now func() time.Time
	// Log receives debug and warning lines; nil discards.
	Log *slog.Logger

	current atomic.Pointer[Token]
	tokens  atomic.Int64
	skew    atomic.Int64 // nanoseconds that the server's clock is ahead, once it was accepted (F1)

	mu        sync.Mutex
	flight    *flight
	proven    map[string]bool // kids that a token was had with (F9)
	warned    map[string]bool
	discovery *Discovery
}

// flight is one token request that any number of callers wait for.
type flight struct {
	done    chan struct{} // closed when token and err are set
	cancel  context.CancelFunc
	waiters int // guarded by Client.mu
	token   *Token
	err     error
}

// Token returns the current token, or asks for a new one (P13). Callers that come
// while a request is under way share its result, and no lock is held meanwhile. When ctx
// ends, only this caller gives up; the request itself is cancelled when the last
// caller has given up.
//
// The error is an [*Error], or the cause of ctx's end.
func (c *Client) Token(ctx context.Context) (*Token, error) {
	if t := c.current.Load(); t.usable(c.now()) {
		return t, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c.mu.Lock()
	if t := c.current.Load(); t.usable(c.now()) {
		c.mu.Unlock()
		return t, nil
	}
	f := c.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		// The request outlives the caller that happens to come first, but not the
		// last one that waits for it.
		var fctx context.Context
		fctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
		c.flight = f
		go c.fly(fctx, f)
	}
	f.waiters++
	c.mu.Unlock()

	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	f.waiters--
	last := f.waiters == 0
	if last {
		f.cancel()
		if c.flight == f {
			c.flight = nil // nobody joins a cancelled request
		}
	}
	c.mu.Unlock()
	if last {
		<-f.done
	}
	return nil, context.Cause(ctx)
}

// fly runs one token request and hands its result to the waiters.
func (c *Client) fly(ctx context.Context, f *flight) {
	defer f.cancel()
	f.token, f.err = c.request(ctx)
	c.mu.Lock()
	if c.flight == f {
		c.flight = nil
		if f.err == nil {
			c.current.Store(f.token)
		}
	}
	c.mu.Unlock()
	close(f.done)
}

// Invalidate implements [Invalidator]: it forgets the token if it is still the
// current one, so that the next call of Token asks for another.
func (c *Client) Invalidate(accessToken Secret) {
	if t := c.current.Load(); t != nil && t.AccessToken == accessToken {
		c.current.CompareAndSwap(t, nil)
	}
}

// Tokens is how many access tokens were received so far.
func (c *Client) Tokens() int64 { return c.tokens.Load() }

// Skew is how far the server's clock is ahead of the local one, where assertions
// had to be corrected by it (F1); otherwise 0.
func (c *Client) Skew() time.Duration { return time.Duration(c.skew.Load()) }

// Configuration returns what the server says of its authorization (P4), from
// the cache where it can.
func (c *Client) Configuration(ctx context.Context) (*Configuration, error) {
	base, err := parseBase(c.Base)
	if err != nil {
		return nil, err
	}
	if err := c.secure("discover", base); err != nil {
		return nil, err
	}
	return c.discoveries().Get(ctx, c.Base)
}

func (c *Client) discoveries() *Discovery {
	if c.Discovery != nil {
		return c.Discovery
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.discovery == nil {
		c.discovery = &Discovery{HTTP: c.HTTP, Timeout: c.Timeout, Now: c.Now, Log: c.Log}
	}
	return c.discovery
}

// endpoint is where to ask and what the server says of itself; conf is nil when
// TokenURL is set and discovery was not needed.
func (c *Client) endpoint(ctx context.Context) (tokenURL string, conf *Configuration, err error) {
	tokenURL = c.TokenURL
	if tokenURL == "" || c.Secret == "" && !auto(c.Algorithm) && !required(c.Algorithm) {
		if conf, err = c.Configuration(ctx); err != nil {
			return "", nil, err
		}
		if tokenURL == "" {
			tokenURL = conf.TokenEndpoint
		}
	}
	u, err := url.Parse(tokenURL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" || u.Fragment != "" {
		return "", nil, &Error{
			Op: "read token URL", Err: errText("it is not an absolute http(s) URL without user info and fragment"), kind: lasting,
			hint: "Set the token URL that the server documents, or leave it empty to have it discovered.",
		}
	}
	return tokenURL, conf, c.secure("request token", u)
}

// secure enforces P10.
func (c *Client) secure(op string, u *url.URL) error {
	if u.Scheme == "https" || c.AllowHTTP || loopback(u.Hostname()) {
		return nil
	}
	return plainHTTP(op, u)
}

func plainHTTP(op string, u *url.URL) error {
	return &Error{
		Op: op, Where: placeURL(u), Err: errText("plain http would show the credentials to the network"), kind: lasting,
		hint: "Use https. If the network is one that you trust, allow http for this server explicitly.",
	}
}

// check finds settings that can never work.
func (c *Client) check() error {
	var what, hint string
	switch {
	case c.ClientID == "":
		what, hint = "no client id is set", "Register the client with the server and set the client id that it gave."
	case c.Keys == nil && c.Secret == "":
		what, hint = "neither a key nor a client secret is set", "Set the private key whose public half is registered with the server."
	case c.Keys != nil && c.Secret != "":
		what, hint = "both a key and a client secret are set", "Keep the one that the server registered."
	case c.Base == "" && c.TokenURL == "":
		what, hint = "neither a FHIR base URL nor a token URL is set", "Set the FHIR base URL."
	case c.Lifetime < 0 || c.Lifetime > maxAssertionLifetime || c.Lifetime > 0 && c.Lifetime < time.Second:
		what, hint = "the lifetime of assertions is not between 1 s and 5 min", "Leave it out: 4 minutes suit every server."
	default:
		return nil
	}
	return &Error{Op: "request token", Err: errText(what), kind: lasting, hint: hint}
}

func (c *Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *Client) log() *slog.Logger {
	if c.Log != nil {
		return c.Log
	}
	return slog.New(slog.DiscardHandler)
}

// warnOnce logs a warning about the server once in the life of the Client.
func (c *Client) warnOnce(message string) {
	c.mu.Lock()
	seen := c.warned[message]
	if c.warned == nil {
		c.warned = map[string]bool{}
	}
	c.warned[message] = true
	c.mu.Unlock()
	if !seen {
		c.log().Warn(message)
	}
}

// asError makes any error an *Error of this operation.
func asError(op string, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Op: op, Err: err}
}
