package smart

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// provenRetries is how often a rejection is not believed when the same key got a
	// token before in this process (F9).
	provenRetries = 5
	// minSkew is the smallest difference of clocks that is corrected. The Date header
	// has whole seconds and the answer takes time, so that less means nothing.
	minSkew = 10 * time.Second
)

// request gets one token, with as many attempts as the failures deserve. Each attempt
// signs an assertion of its own (P8). Discovery has a patience of its own.
func (c *Client) request(ctx context.Context) (*Token, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	tokenURL, conf, err := c.endpoint(ctx)
	if err != nil {
		return nil, asError("discover", err)
	}
	var past attempts
	skew := c.Skew()
	for {
		tok, kid, err := c.attempt(ctx, tokenURL, conf, skew)
		if err == nil {
			c.accepted(kid, skew)
			return tok, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		past.proven = c.isProven(kid)
		past.assertion = c.Keys != nil
		past.skewed = err.clock != nil && (*err.clock-skew).Abs() >= minSkew
		wait, again := past.next(err)
		if !again {
			return nil, err
		}
		if past.skewed {
			skew = correction(*err.clock)
		}
		if err.kind == passing {
			past.patience.tell(ctx, c.log(), err, wait)
		} else {
			c.log().Debug("token request repeated", "status", err.Status, "error", err.Code, "wait", wait)
		}
		if sleep(ctx, wait) != nil {
			return nil, err
		}
	}
}

// attempts is what request knows when it decides whether to try again.
type attempts struct {
	patience  patience
	rejected  int  // rejections of who we are
	corrected bool // an attempt was made with the server's clock (F1)
	proven    bool // the key got a token before (F9)
	assertion bool // the client signs assertions
	skewed    bool // the last rejection came with a difference of clocks not yet corrected
}

// next says whether another attempt is worth it, and after which wait. It counts the
// failure.
func (a *attempts) next(err *Error) (wait time.Duration, again bool) {
	switch err.kind {
	case passing:
		return a.patience.next(err)
	case rejected:
		if a.skewed && a.assertion && !a.corrected { // F1: once more with the server's clock
			a.corrected = true
			return 0, true
		}
		a.rejected++
		switch {
		case a.proven: // F9
			return backoff(a.rejected, err.retryAfter), a.rejected <= provenRetries
		case !a.assertion: // the same secret again is the same answer
			return 0, false
		case a.corrected, err.Code == "invalid_request":
			return 0, false
		default: // F2: once more with a fresh JWT
			return backoff(1, err.retryAfter), a.rejected == 1
		}
	}
	return 0, false
}

// accepted remembers what worked.
func (c *Client) accepted(kid string, skew time.Duration) {
	c.tokens.Add(1)
	c.mu.Lock()
	if c.proven == nil {
		c.proven = map[string]bool{}
	}
	c.proven[kid] = true
	c.mu.Unlock()
	if time.Duration(c.skew.Swap(int64(skew))) != skew {
		c.log().Warn("the server's clock differs from this machine's; assertions follow the server's", "ahead", skew)
	}
}

func (c *Client) isProven(kid string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proven[kid]
}

// maxTokenResponse bounds the bytes of a token endpoint's answer.
const maxTokenResponse = 1 << 20

// attempt asks the token endpoint once. kid names the key used; it is empty for
// client secrets.
func (c *Client) attempt(ctx context.Context, tokenURL string, conf *Configuration, skew time.Duration) (tok *Token, kid string, failure *Error) {
	fail := &Error{Op: "request token", Where: place(tokenURL)}
	form := url.Values{"grant_type": {"client_credentials"}} // P9
	if len(c.Scopes) > 0 {
		form.Set("scope", strings.Join(c.Scopes, " "))
	}
	header := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}}
	secrets := []string{string(c.Secret), url.QueryEscape(string(c.Secret))}
	var key *Key
	var err error
	switch {
	case c.Keys != nil:
		var signed Secret
		key, signed, err = c.signed(ctx, tokenURL, conf, skew)
		if key != nil {
			kid = key.kid
		}
		if err != nil {
			return nil, kid, asError("sign assertion", err)
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", string(signed))
		secrets = append(secrets, string(signed))
	case c.SecretInBody:
		form.Set("client_id", c.ClientID)
		form.Set("client_secret", string(c.Secret))
	}

	ctx, cancel := context.WithTimeout(ctx, attemptTimeout(c.Timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		fail.Err, fail.kind = cause(err), lasting
		return nil, kid, fail
	}
	req.GetBody = nil // net/http must not send an assertion twice (P8)
	req.Header = header
	if c.Keys == nil && !c.SecretInBody {
		// RFC 6749 2.3.1: both are form-encoded before they are joined.
		req.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(string(c.Secret)))
		secrets = append(secrets, strings.TrimPrefix(req.Header.Get("Authorization"), "Basic "))
	}

	client := copyClient(c.HTTP)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // F10
	asked, sent := time.Now(), c.now()
	a, err := exchange(client, req, maxTokenResponse)
	received := c.now()
	if err != nil {
		return nil, kid, fail.network(err)
	}
	tok, failure = c.read(a, fail, sent, received, secrets)
	if failure != nil {
		if failure.kind == rejected && key != nil { // a secret is not refused for its time
			if failure.clock = measureClock(a, sent, received); failure.clock != nil {
				failure.Skew = correction(*failure.clock)
			}
		}
		failure.hint = firstOf(failure.hint, c.hint(failure, a, key, tokenURL))
		if a.status == http.StatusNotFound || a.status == http.StatusGone {
			c.discoveries().Forget(c.Base) // the endpoint may have moved
		}
		return nil, kid, failure
	}
	tok.asked = asked
	c.log().Debug("token received", "kid", kid, "expires_in", tok.Expiry.Sub(sent).Round(time.Second), "scopes", len(tok.Scopes))
	return tok, kid, nil
}

// read makes a token or a failure of the answer.
func (c *Client) read(a *answer, fail *Error, sent, received time.Time, secrets []string) (*Token, *Error) {
	fail.Status = a.status
	if a.status < 200 || a.status > 299 {
		fail.refused(a)
		if body, err := parseTokenResponse(a.body); err == nil {
			fail.Code, fail.Description = body.errorCode(secrets), clean(body.Description.text(), secrets...)
		}
		switch {
		case a.status >= 300 && a.status < 400:
			fail.Err = errText("the token endpoint redirects, which is not followed" + redirectTarget(a))
		case fail.Code == "temporarily_unavailable" || fail.Code == "server_error" || fail.Code == "slow_down":
			fail.kind = passing
		case fail.Code == "invalid_scope" || fail.Code == "unsupported_grant_type":
			// lasting: F3
		case a.status == http.StatusBadRequest || a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
			fail.kind = rejected
		case fail.Code == "invalid_client" || fail.Code == "unauthorized_client" || fail.Code == "invalid_grant":
			fail.kind = rejected // with an unusual status
		}
		return nil, fail
	}
	fail.kind = lasting
	body, err := parseTokenResponse(a.body)
	if err != nil {
		fail.Err = err
		if a.html() {
			fail.Err = errText("the answer is a web page instead of JSON")
		}
		return nil, fail
	}
	if code := body.errorCode(secrets); code != "" {
		fail.Code, fail.Description = code, clean(body.Description.text(), secrets...)
		if code != "invalid_scope" && code != "unsupported_grant_type" {
			fail.kind = rejected
		}
		return nil, fail
	}
	tok, warnings, err := body.token(sent, received)
	if err != nil {
		fail.Err = err
		return nil, fail
	}
	for _, w := range warnings {
		c.warnOnce(w)
	}
	if tok.Scopes == nil && len(c.Scopes) > 0 { // P16
		c.warnOnce("the token endpoint did not say which scopes it granted; those that were asked for are assumed")
	}
	if tok.Scopes != nil && len(tok.Scopes) == 0 && len(c.Scopes) > 0 { // P16
		fail.Err = errText("the server granted no scope at all")
		fail.hint = "Asked for were: " + listScopes(c.Scopes) + ". Have the scopes approved where the client is registered."
		return nil, fail
	}
	return tok, nil
}

// measureClock is the server's clock less ours, by the Date header and the middle of the
// exchange; nil when there is no Date (F1).
func measureClock(a *answer, sent, received time.Time) *time.Duration {
	date, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return nil
	}
	d := date.Sub(sent.Add(received.Sub(sent) / 2)).Round(time.Second)
	return &d
}

// correction is by how much to correct our clock: not at all when the difference is too
// small to matter.
func correction(clock time.Duration) time.Duration {
	if clock.Abs() < minSkew {
		return 0
	}
	return clock
}

// redirectTarget names where a redirect leads, without query.
func redirectTarget(a *answer) string {
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil || u.Host == "" {
		return ""
	}
	return " (to " + placeURL(u) + ")"
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
