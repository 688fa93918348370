package smart

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestP9TokenRequest(t *testing.T) {
	e := &endpoint{t: t}
	c := newClient(e)
	c.Scopes = []string{"system/Patient.rs", "system/Group.rs"}
	if _, err := c.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := e.call(0)
	want := map[string]string{
		"scope":                 "system/Patient.rs system/Group.rs",
		"grant_type":            "client_credentials",
		"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
	}
	for name, v := range want {
		if got.form.Get(name) != v {
			t.Errorf("%s: got %q, want %q", name, got.form.Get(name), v)
		}
	}
	if len(got.form) != 4 || got.form.Get("client_assertion") == "" {
		t.Errorf("form: got %d fields, want 4 with client_assertion", len(got.form))
	}
	if r := got.req; r.Method != "POST" || r.URL.String() != tokenURL || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" ||
		r.Header.Get("Accept") != "application/json" || r.Header.Get("Authorization") != "" || r.GetBody != nil {
		t.Errorf("request: got %s %s %v", r.Method, r.URL, r.Header)
	}
	if got.claims["aud"] != tokenURL {
		t.Errorf("aud: got %v, want the URL posted to", got.claims["aud"])
	}
}

func TestP10PlainHTTPOnlyForLoopbackOrByName(t *testing.T) {
	for _, c := range []struct {
		url   string
		allow bool
		ok    bool
	}{
		{"http://auth.example.org/token", false, false},
		{"http://auth.example.org/token", true, true},
		{"http://127.0.0.1:8080/token", false, true},
		{"http://[::1]/token", false, true},
		{"http://localhost/token", false, true},
		{"http://localhost.example.org/token", false, false},
		{"http://127.0.0.1.example.org/token", false, false},
		{"https://auth.example.org/token", false, true},
	} {
		e := &endpoint{t: t}
		client := newClient(e)
		client.TokenURL, client.AllowHTTP = c.url, c.allow
		_, err := client.Token(t.Context())
		if (err == nil) != c.ok || e.count() != map[bool]int{true: 1, false: 0}[c.ok] {
			t.Errorf("%s: got %v and %d requests, want ok = %v", c.url, err, e.count(), c.ok)
		}
		if err != nil {
			wantError(t, err, "auth", "plain http", "https")
		}
		// Discovery is held to the same.
		d := newClient(e)
		d.TokenURL, d.Base, d.AllowHTTP = "", strings.Replace(c.url, "/token", "/fhir", 1), c.allow
		d.HTTP = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return respond(200, `{"token_endpoint":"https://auth.example.org/token"}`), nil
		})}
		if _, err := d.Configuration(t.Context()); (err == nil) != c.ok {
			t.Errorf("discovery at %s: got %v, want ok = %v", c.url, err, c.ok)
		}
	}
}

func TestP12ResponseForms(t *testing.T) {
	for _, c := range []struct {
		body   string
		life   time.Duration
		scopes []string
		fail   string
	}{
		{`{"access_token":"t","token_type":"bearer","expires_in":300}`, 300 * time.Second, nil, ""},
		{`{"access_token":"t","token_type":"BEARER","expires_in":"900","scope":"system/*.rs"}`, 900 * time.Second, []string{"system/*.rs"}, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":60.0,"scope":" a  b "}`, time.Minute, []string{"a", "b"}, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":" 60 ","scope":["a","b c"]}`, time.Minute, []string{"a", "b", "c"}, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":3.6e3}`, time.Hour, nil, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":1e300}`, maxLifetime, nil, ""},
		{`{"access_token":"t","token_type":"Bearer"}`, 5 * time.Minute, nil, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":null,"scope":null}`, 5 * time.Minute, nil, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":"soon"}`, 5 * time.Minute, nil, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":0}`, 5 * time.Minute, nil, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":-4}`, 5 * time.Minute, nil, ""},
		{`{"access_token":"t","token_type":"Bearer","expires_in":"NaN"}`, 5 * time.Minute, nil, ""},
		{`{"access_token":"t"}`, 5 * time.Minute, nil, ""},
		{`{"access_token":"t","token_type":"mac"}`, 0, nil, "token_type is not bearer"},
		{`{"access_token":"t","token_type":7}`, 0, nil, "token_type is not bearer"},
		{`{"access_token":"","token_type":"bearer"}`, 0, nil, "no access_token"},
		{`{"access_token":7,"token_type":"bearer"}`, 0, nil, "no access_token"},
		{`{"access_token":"a\r\nX: y","token_type":"bearer"}`, 0, nil, "a header cannot carry"},
		{`{"access_token":"t","token_type":"bearer","scope":""}`, 0, nil, "no scope at all"},
		{`{"access_token":"t","token_type":"bearer","scope":[]}`, 0, nil, "no scope at all"},
		{`[]`, 0, nil, "right type"},
		{`null`, 0, nil, "no access_token"},
		{``, 0, nil, "not JSON"},
		{`{"access_token":"t"`, 0, nil, "not JSON"},
	} {
		now := time.Unix(1_700_000_000, 0)
		e := &endpoint{t: t, answer: func(int, call) *http.Response { return respond(200, c.body) }}
		client := newClient(e)
		client.Now = func() time.Time { return now }
		tok, err := client.Token(t.Context())
		if c.fail != "" {
			wantError(t, err, "auth", c.fail, "")
			if e.count() != 1 {
				t.Errorf("%s: asked %d times", c.body, e.count())
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		if string(tok.AccessToken) != "t" || tok.Expiry.Sub(now) != c.life || !slices.Equal(tok.Scopes, c.scopes) || (tok.Scopes == nil) != (c.scopes == nil) {
			t.Errorf("%s: got life %v, scopes %q; want %v, %q", c.body, tok.Expiry.Sub(now), tok.Scopes, c.life, c.scopes)
		}
	}
}

// F5: what was assumed for the server's silence is said once.
func TestF5WarnsOnceAboutAMissingExpiry(t *testing.T) {
	log, out := logged()
	c := newClient(&endpoint{t: t, answer: func(int, call) *http.Response {
		return respond(200, `{"access_token":"t","token_type":"bearer"}`)
	}})
	c.Log = log
	for range 3 {
		tok, err := c.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Invalidate(tok.AccessToken)
	}
	if got := strings.Count(out.String(), "how long the token lives"); got != 1 {
		t.Errorf("got %d warnings, want 1:\n%s", got, out)
	}
	if got := strings.Count(out.String(), "which scopes it granted"); got != 1 {
		t.Errorf("got %d warnings about the scope, want 1:\n%s", got, out)
	}
}

func TestF12NextAssertionUsesTheNewKey(t *testing.T) {
	e := &endpoint{t: t}
	c := newClient(e)
	now := Keys{ecKey()}
	c.Keys = keySource(func() *Key { return now[0] })
	tok := must(c.Token(t.Context()))
	now = Keys{rsaKey()}
	if got := must(c.Token(t.Context())); got != tok {
		t.Error("a rotation threw a good token away")
	}
	c.Invalidate(tok.AccessToken)
	must(c.Token(t.Context()))
	if got := []any{e.call(0).header["kid"], e.call(1).header["kid"], e.call(1).header["alg"]}; !slices.Equal(got, []any{"ec", "rsa", "RS384"}) {
		t.Errorf("got %v, want ec, then rsa with RS384", got)
	}
}

type keySource func() *Key

func (f keySource) SigningKey(context.Context, time.Time, []string) (*Key, error) { return f(), nil }

func TestClientSecretBasicAndPost(t *testing.T) {
	const secret = "s3cr+t/%:ü"
	e := &endpoint{t: t}
	c := newClient(e)
	c.Keys, c.Secret, c.ClientID = nil, secret, "my:client"
	must(c.Token(t.Context()))
	user, pass, ok := e.call(0).req.BasicAuth()
	if !ok || user != "my%3Aclient" || pass != "s3cr%2Bt%2F%25%3A%C3%BC" { // RFC 6749 2.3.1
		t.Errorf("Basic: got %q, %q", user, pass)
	}
	if f := e.call(0).form; len(f) != 2 {
		t.Errorf("Basic: form has %d fields, want grant_type and scope", len(f))
	}
	c2 := newClient(e)
	c2.Keys, c2.Secret, c2.SecretInBody = nil, secret, true
	must(c2.Token(t.Context()))
	last := e.call(1)
	if last.req.Header.Get("Authorization") != "" || last.form.Get("client_secret") != secret || last.form.Get("client_id") != "my-client" {
		t.Errorf("post: got %v", last.req.Header)
	}
	e.answer = func(int, call) *http.Response { return respond(401, `{"error":"invalid_client"}`) }
	c3 := newClient(e)
	c3.Keys, c3.Secret = nil, secret
	_, err := c3.Token(t.Context())
	wantError(t, err, "auth", "invalid_client", "Basic")
	if e.count() != 3 {
		t.Errorf("a wrong secret was sent %d times", e.count()-2)
	}
	_, err = c3.Assertion(t.Context())
	wantError(t, err, "auth", "secret instead of a key", "")
}

func TestSettingsThatCannotWork(t *testing.T) {
	for _, c := range []struct {
		change func(*Client)
		want   string
	}{
		{func(c *Client) { c.ClientID = "" }, "no client id"},
		{func(c *Client) { c.Keys = nil }, "neither a key nor"},
		{func(c *Client) { c.Secret = "x" }, "both a key and"},
		{func(c *Client) { c.TokenURL = "" }, "neither a FHIR base URL nor"},
		{func(c *Client) { c.TokenURL = "auth/token" }, "absolute http(s) URL"},
		{func(c *Client) { c.TokenURL = "https://u:p@x/token" }, "without user info"},
	} {
		e := &endpoint{t: t}
		client := newClient(e)
		c.change(client)
		_, err := client.Token(t.Context())
		if wantError(t, err, "auth", c.want, ""); err.(*Error).Hint() == "" || e.count() != 0 {
			t.Errorf("%v: no hint, or asked", err)
		}
	}
}

func TestStaticToken(t *testing.T) {
	tok, err := StaticToken{"abc"}.Token(t.Context())
	if err != nil || tok.AccessToken != "abc" || !tok.Expiry.IsZero() || !tok.usable(time.Now()) {
		t.Errorf("got %+v, %v", tok, err)
	}
	_, err = StaticToken{""}.Token(t.Context())
	wantError(t, err, "auth", "empty", "bearer token")
	_, err = StaticToken{"Bearer abc\n"}.Token(t.Context())
	wantError(t, err, "auth", "header cannot carry", "without the word Bearer")
}

// The endpoint is forgotten when it is gone, so that a server that moved it is found.
func TestP4DiscoveredAgainWhenTheEndpointMoved(t *testing.T) {
	moved := false
	c := newClient(nil)
	c.TokenURL, c.Base = "", "https://fhir.example.org"
	c.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		switch {
		case strings.HasSuffix(r.URL.Path, "smart-configuration"):
			return respond(200, fmt.Sprintf(`{"token_endpoint":"https://auth.example.org/%v"}`, moved)), nil
		case r.URL.Path == fmt.Sprintf("/%v", moved):
			return grant(1, 300), nil
		}
		return respond(404, ""), nil
	})}
	tok := must(c.Token(t.Context()))
	moved = true
	c.Invalidate(tok.AccessToken)
	_, err := c.Token(t.Context())
	wantError(t, err, "auth", "status 404", "no token endpoint")
	if _, err := c.Token(t.Context()); err != nil {
		t.Errorf("got %v, want a token of the new endpoint", err)
	}
}
