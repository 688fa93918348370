package smart

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Transport is an [http.RoundTripper] that puts a bearer token on the requests to one
// FHIR server and to the origins that are allowed beside it, and on no others (P15,
// I6). It decides by the URL of each request, so that a redirect to another origin
// arrives there without token (F42); an Authorization header of the caller's own is
// taken off such a request too.
//
// When the server answers 401, the token is invalidated, another one is asked for and
// the request is sent once more (F7, F8), provided that the source is an [Invalidator]
// and that the body can be read again (it has none, or there is a GetBody).
// Otherwise the caller gets the 401. Another 401, for a token just issued, is an
// [*Error] (F11); a third request goes out only when the second one's token is older than the
// first refusal. No other answer is acted on: 403, 429 and 5xx are the caller's.
// Errors of the Source are returned as they are; beware that http.Client puts the
// request's whole URL before any error.
//
// For what must not be repeated without an answer, like the kick-off of an export, give a
// Transport a Base that keeps no connections (DisableKeepAlives): net/http then
// never sends a request twice. A 401 is an answer, after which it is repeated.
type Transport struct {
	// Source gives the token; nil sends none (an open server).
	Source TokenSource
	// Server is the FHIR service base URL.
	Server *url.URL
	// Origins get the token beside the Server's.
	Origins []Origin
	// Header is set on requests to those same origins, for servers that want more than a
	// token (Epic-Client-ID). It is held to be as secret as a token (P10).
	Header http.Header
	// AllowHTTP permits plain http to hosts other than loopback (P10).
	AllowHTTP bool
	// Base sends the requests; nil means http.DefaultTransport.
	Base http.RoundTripper
	// Log receives debug lines; nil discards.
	Log *slog.Logger
}

// RoundTrip implements [http.RoundTripper]. It does not change the request.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.allowed(req.URL) {
		return t.base().RoundTrip(withoutToken(req))
	}
	secret := t.Source != nil || len(t.Header) > 0 || req.Header.Get("Authorization") != ""
	if secret && req.URL.Scheme != "https" && !t.AllowHTTP && !loopback(req.URL.Hostname()) {
		closeBody(req)
		return nil, plainHTTP("send request", req.URL)
	}
	if t.Source == nil {
		return t.base().RoundTrip(t.decorate(req, nil))
	}
	ctx := req.Context()
	token, err := t.Source.Token(ctx)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.base().RoundTrip(t.decorate(req, token))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	source, ok := t.Source.(Invalidator)
	if !ok {
		return resp, nil
	}
	refused := time.Now()
	source.Invalidate(token.AccessToken)
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return resp, nil
	}
	drain(resp)
	t.log().DebugContext(ctx, "401: authenticating again")
	return t.again(ctx, req, refused)
}

// again sends a request that was refused once more, with another token than the one just
// refused. That may be one which somebody else asked for before the refusal, and which
// was revoked together with the first: then there is a last time.
func (t *Transport) again(ctx context.Context, req *http.Request, refused time.Time) (*http.Response, error) {
	for last := false; ; last = true {
		token, err := t.Source.Token(ctx)
		if err != nil {
			return nil, err
		}
		next := t.decorate(req, token)
		if req.GetBody != nil {
			if next.Body, err = req.GetBody(); err != nil {
				return nil, &Error{Op: "send request again", Where: originText(req.URL), Err: err}
			}
		}
		resp, err := t.base().RoundTrip(next)
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			return resp, err
		}
		t.Source.(Invalidator).Invalidate(token.AccessToken)
		drain(resp)
		if last || token.asked.IsZero() || !token.asked.Before(refused) {
			return nil, justIssued(req, resp)
		}
		refused = time.Now()
	}
}

// justIssued is the end of a request whose every token is refused (F11).
func justIssued(req *http.Request, resp *http.Response) error {
	return &Error{
		Op: "send request", Where: originText(req.URL), Status: resp.StatusCode, Code: challengeCode(resp.Header), kind: lasting,
		Err:  errText("the server refuses a token that was just issued"),
		hint: "Check that the token URL belongs to this FHIR server, that the client may use this API and that the server's own clocks agree.",
	}
}

// allowed reports whether the URL may get the token (I6).
func (t *Transport) allowed(u *url.URL) bool {
	o := OriginOf(u)
	return o != "" && (o == OriginOf(t.Server) || slices.Contains(t.Origins, o))
}

// decorate copies the request with token and extra headers.
func (t *Transport) decorate(req *http.Request, token *Token) *http.Request {
	out := req.Clone(req.Context())
	for name, values := range t.Header {
		out.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	if token != nil {
		out.Header.Set("Authorization", "Bearer "+string(token.AccessToken))
	}
	return out
}

// withoutToken is the request as a foreign origin may see it.
func withoutToken(req *http.Request) *http.Request {
	if req.Header.Get("Authorization") == "" {
		return req
	}
	out := req.Clone(req.Context())
	out.Header.Del("Authorization")
	return out
}

func (t *Transport) base() http.RoundTripper {
	if t.Base != nil {
		return t.Base
	}
	return http.DefaultTransport
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the base transport.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (t *Transport) log() *slog.Logger {
	if t.Log != nil {
		return t.Log
	}
	return slog.New(slog.DiscardHandler)
}

// maxDrain and drainTime bound the reading of a refused answer, which lets its
// connection be used again.
const (
	maxDrain  = 64 << 10
	drainTime = 5 * time.Second
)

func drain(resp *http.Response) {
	stop := time.AfterFunc(drainTime, func() { _ = resp.Body.Close() }) // ends a read that stalls
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
	stop.Stop()
	_ = resp.Body.Close()
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// originText is the origin alone: the path of a FHIR request may name a patient (I7).
func originText(u *url.URL) string { return u.Scheme + "://" + u.Host }

// challengeCode is the error of a Bearer challenge (RFC 6750 3), "" without one.
func challengeCode(h http.Header) string {
	for _, challenge := range h.Values("WWW-Authenticate") {
		_, rest, ok := strings.Cut(challenge, `error="`)
		if !ok {
			continue
		}
		code, _, ok := strings.Cut(rest, `"`)
		switch code {
		case "invalid_token", "invalid_request", "insufficient_scope":
			if ok {
				return code
			}
		}
	}
	return ""
}
