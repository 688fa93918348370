package authserver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

const host = "http://auth.example.org"

var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey  = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func jwks(keys ...jose.JSONWebKey) []byte {
	return must(json.Marshal(jose.JSONWebKeySet{Keys: keys}))
}

func public(kid string, key crypto.PublicKey) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key, KeyID: kid, Use: "sig"}
}

// newServer has one client with an RSA and an EC key, and a clock that stands still.
func newServer(t *testing.T) (*Server, *time.Time) {
	t.Helper()
	now := time.Unix(1_700_000_000, 0)
	s := &Server{Now: func() time.Time { return now }}
	if err := s.Register(Client{ID: "c1", JWKS: jwks(public("rsa", &rsaKey().PublicKey), public("ec", &ecKey().PublicKey))}); err != nil {
		t.Fatal(err)
	}
	return s, &now
}

// assertion is a JWT that can be spoilt before it is signed.
type assertion struct {
	header map[string]any
	claims jwt.MapClaims
	key    any
	method jwt.SigningMethod
}

var jtis int

func newAssertion(now time.Time) *assertion {
	jtis++
	return &assertion{
		header: map[string]any{"typ": "JWT", "kid": "ec"},
		claims: jwt.MapClaims{"iss": "c1", "sub": "c1", "aud": host + "/auth/token", "exp": now.Unix() + 240, "jti": fmt.Sprint("jti", jtis)},
		key:    ecKey(), method: jwt.SigningMethodES384,
	}
}

func (a *assertion) sign() string {
	token := jwt.NewWithClaims(a.method, a.claims)
	for k, v := range a.header {
		token.Header[k] = v
		if v == nil {
			delete(token.Header, k)
		}
	}
	for k, v := range a.claims {
		if v == nil {
			delete(a.claims, k)
		}
	}
	return must(token.SignedString(a.key))
}

func formOf(assertion string) url.Values {
	return url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {assertionType},
		"client_assertion":      {assertion},
		"scope":                 {"system/Patient.rs"},
	}
}

type tokenAnswer struct {
	status      int
	header      http.Header
	Access      string          `json:"access_token"`
	Type        string          `json:"token_type"`
	Expires     json.RawMessage `json:"expires_in"`
	Scope       *string         `json:"scope"`
	Code        string          `json:"error"`
	Description string          `json:"error_description"`
}

func post(t *testing.T, s *Server, form url.Values, change ...func(*http.Request)) tokenAnswer {
	t.Helper()
	r := httptest.NewRequest("POST", host+"/auth/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	s.TokenHandler().ServeHTTP(w, r)
	a := tokenAnswer{status: w.Code, header: w.Header()}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatalf("%s: %v", w.Body, err)
		}
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control: got %q, want no-store", w.Header().Get("Cache-Control"))
	}
	return a
}

func check(s *Server, token string) (*Grant, error) {
	r := httptest.NewRequest("GET", host+"/fhir/Patient", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return s.Check(r)
}

func TestTokenIsIssuedAndChecked(t *testing.T) {
	s, now := newServer(t)
	for _, alg := range []string{"ES384", "RS384"} {
		a := newAssertion(*now)
		if alg == "RS384" {
			a.key, a.method, a.header["kid"] = rsaKey(), jwt.SigningMethodRS384, "rsa"
		}
		got := post(t, s, formOf(a.sign()))
		if got.status != 200 || got.Type != "bearer" || string(got.Expires) != "300" || *got.Scope != "system/Patient.rs" || len(got.Access) != len(TokenPrefix)+43 {
			t.Fatalf("%s: got %+v", alg, got)
		}
		g, err := check(s, got.Access)
		if err != nil || g.ClientID != "c1" || !slices.Equal(g.Scopes, []string{"system/Patient.rs"}) || !g.Expires.Equal(now.Add(5*time.Minute)) {
			t.Errorf("%s: got %+v, %v", alg, g, err)
		}
	}
	if s.Issued() != 2 || s.Refused() != 0 {
		t.Errorf("issued %d, refused %d; want 2, 0", s.Issued(), s.Refused())
	}
}

func TestEachFlawOfARequestIsRefused(t *testing.T) {
	s, now := newServer(t)
	field := func(name string, v ...string) func(url.Values, *http.Request) {
		return func(f url.Values, _ *http.Request) { f[name] = v }
	}
	for _, c := range []struct {
		name   string
		spoil  func(url.Values, *http.Request)
		status int
		code   string
	}{
		{"no grant_type", field("grant_type"), 400, "invalid_request"},
		{"another grant_type", field("grant_type", "password"), 400, "unsupported_grant_type"},
		{"no assertion type", field("client_assertion_type"), 400, "invalid_request"},
		{"another assertion type", field("client_assertion_type", "x"), 400, "invalid_request"},
		{"no assertion", field("client_assertion"), 400, "invalid_request"},
		{"a parameter twice", field("scope", "system/Patient.rs", "system/Group.rs"), 400, "invalid_request"},
		{"another client_id", field("client_id", "c2"), 401, "invalid_client"},
		{"no scope", field("scope"), 400, "invalid_scope"},
		{"user scope", field("scope", "user/Patient.rs"), 400, "invalid_scope"},
		{"malformed scope", field("scope", "system/Patient.sr"), 400, "invalid_scope"},
		{"two spaces", field("scope", "system/Patient.rs  system/Group.rs"), 400, "invalid_scope"},
		{"secret as well", field("client_secret", "x"), 400, "invalid_request"},
		{"JSON", func(_ url.Values, r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 400, "invalid_request"},
		{"query", func(_ url.Values, r *http.Request) { r.URL.RawQuery = "scope=x" }, 400, "invalid_request"},
		{"GET", func(_ url.Values, r *http.Request) { r.Method = "GET" }, 405, "invalid_request"},
		{"endless", field("x", strings.Repeat("x", 70<<10)), 400, "invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			form := formOf(newAssertion(*now).sign())
			dummy := httptest.NewRequest("POST", host, nil)
			c.spoil(form, dummy) // the form before it is written
			got := post(t, s, form, func(r *http.Request) { c.spoil(url.Values{}, r) })
			if got.status != c.status || got.Code != c.code || got.Description == "" {
				t.Errorf("got %d %s %q, want %d %s", got.status, got.Code, got.Description, c.status, c.code)
			}
		})
	}
}

func TestCheckRefuses(t *testing.T) {
	s, now := newServer(t)
	token := post(t, s, formOf(newAssertion(*now).sign())).Access
	req := func(auth ...string) *http.Request {
		r := httptest.NewRequest("GET", host+"/fhir?access_token="+token, nil)
		for _, a := range auth {
			r.Header.Add("Authorization", a)
		}
		return r
	}
	for _, c := range []struct {
		auth      []string
		challenge string
	}{
		{nil, `Bearer realm="fhir"`},
		{[]string{"Bearer"}, `error="invalid_token"`},
		{[]string{"Bearer "}, `error="invalid_token"`},
		{[]string{"Basic " + token}, `error="invalid_token"`},
		{[]string{"Bearer x" + token}, `error="invalid_token"`},
		{[]string{"Bearer " + token, "Bearer " + token}, `error="invalid_token"`},
	} {
		_, err := s.Check(req(c.auth...))
		d, ok := err.(*Denied)
		if !ok || d.Status != 401 || !strings.Contains(d.Challenge, c.challenge) || strings.Contains(d.Challenge, token) {
			t.Errorf("%.20q: got %v", c.auth, err)
			continue
		}
		w := httptest.NewRecorder()
		d.Write(w)
		if w.Code != 401 || w.Header().Get("WWW-Authenticate") != d.Challenge {
			t.Errorf("written: %d %v", w.Code, w.Header())
		}
	}
	if _, err := s.Check(req("bearer " + token)); err != nil {
		t.Errorf("lower-case bearer: %v", err)
	}
	*now = now.Add(5 * time.Minute)
	if _, err := s.Check(req("Bearer " + token)); err == nil {
		t.Error("an expired token was taken")
	}
}

func TestRevoke(t *testing.T) {
	s, now := newServer(t)
	a, b := post(t, s, formOf(newAssertion(*now).sign())).Access, post(t, s, formOf(newAssertion(*now).sign())).Access
	if !s.Revoke(a) || s.Revoke(a) || s.Revoke("x") {
		t.Error("Revoke does not report what it did")
	}
	if _, err := check(s, a); err == nil {
		t.Error("a revoked token was taken")
	}
	if _, err := check(s, b); err != nil {
		t.Errorf("the other token: %v", err)
	}
	s.RevokeAll()
	if _, err := check(s, b); err == nil {
		t.Error("a token was taken after RevokeAll")
	}
}

func TestFaults(t *testing.T) {
	s, now := newServer(t)
	ask := func() tokenAnswer { return post(t, s, formOf(newAssertion(*now).sign())) }
	s.SetFaults(Faults{FailNext: 2, RetryAfter: "3"})
	for range 2 {
		if got := ask(); got.status != 503 || got.header.Get("Retry-After") != "3" || got.Code != "" {
			t.Errorf("got %+v", got)
		}
	}
	if got := ask(); got.status != 200 {
		t.Errorf("after the failures: %+v", got)
	}
	s.SetFaults(Faults{FailNext: 1, FailStatus: 400, FailCode: "invalid_client"})
	if got := ask(); got.status != 400 || got.Code != "invalid_client" {
		t.Errorf("got %+v", got)
	}
	s.SetFaults(Faults{ExpiresInString: true, Grant: []string{"system/Group.rs"}})
	if got := ask(); string(got.Expires) != `"300"` || *got.Scope != "system/Group.rs" {
		t.Errorf("got %+v", got)
	} else if g, err := check(s, got.Access); err != nil || g.Allows("Patient", 'r') || !g.Allows("Group", 'r') {
		t.Errorf("the narrower scopes do not hold: %+v, %v", g, err)
	}
	s.SetFaults(Faults{OmitExpiresIn: true, OmitScope: true})
	if got := ask(); got.Expires != nil || got.Scope != nil {
		t.Errorf("got %+v", got)
	}
	s.SetFaults(Faults{Skew: time.Hour})
	got := ask()
	if date := must(http.ParseTime(got.header.Get("Date"))); got.status != 401 || !date.Equal(now.Add(time.Hour)) {
		t.Errorf("an hour ahead: got %d at %v", got.status, date)
	}
}

func TestConfiguration(t *testing.T) {
	s := &Server{}
	w := httptest.NewRecorder()
	s.ConfigurationHandler().ServeHTTP(w, httptest.NewRequest("GET", "https://fhir.example.org:8443/fhir/.well-known/smart-configuration", nil))
	var doc struct {
		Token        string   `json:"token_endpoint"`
		Algorithms   []string `json:"token_endpoint_auth_signing_alg_values_supported"`
		Capabilities []string `json:"capabilities"`
		Grants       []string `json:"grant_types_supported"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Token != "https://fhir.example.org:8443/auth/token" || !slices.Equal(doc.Algorithms, []string{"RS384", "ES384"}) ||
		!slices.Contains(doc.Capabilities, "permission-v2") || !slices.Contains(doc.Grants, "client_credentials") {
		t.Errorf("got %s", w.Body)
	}
	w = httptest.NewRecorder()
	if s.ConfigurationHandler().ServeHTTP(w, httptest.NewRequest("POST", host, nil)); w.Code != 405 {
		t.Errorf("POST: got %d", w.Code)
	}
	s = &Server{TokenURL: "https://auth.example.org/x"}
	if got := s.TokenEndpoint(httptest.NewRequest("GET", host, nil)); got != s.TokenURL {
		t.Errorf("configured: got %s", got)
	}
}

func FuzzToken(f *testing.F) {
	s := &Server{}
	if err := s.Register(Client{ID: "c1", JWKS: jwks(public("ec", &ecKey().PublicKey))}); err != nil {
		f.Fatal(err)
	}
	f.Add(formOf(newAssertion(time.Now()).sign()).Encode())
	f.Add("grant_type=client_credentials&client_assertion=a.b.c")
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", host+"/auth/token", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		s.TokenHandler().ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || w.Code >= 500 {
			t.Errorf("got %d %q", w.Code, w.Body)
		}
	})
}
