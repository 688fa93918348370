package authserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestEachFlawOfAnAssertionIsRefused(t *testing.T) {
	s, now := newServer(t)
	claim := func(name string, v any) func(*assertion) { return func(a *assertion) { a.claims[name] = v } }
	header := func(name string, v any) func(*assertion) { return func(a *assertion) { a.header[name] = v } }
	for _, c := range []struct {
		name  string
		spoil func(*assertion)
		want  string
	}{
		{"no typ", header("typ", nil), "typ"},
		{"another typ", header("typ", "at+jwt"), "typ"},
		{"no kid", header("kid", nil), "no kid"},
		{"kid a number", header("kid", 5), "no kid"},
		{"unknown kid", header("kid", "zz"), "no registered key"},
		{"crit", header("crit", []string{"b64"}), "critical"},
		{"foreign jku", header("jku", "https://evil.example/jwks"), "jku"},
		{"algorithm not advertised", func(a *assertion) { a.method, a.key, a.header["kid"] = jwt.SigningMethodRS256, rsaKey(), "rsa" }, "alg"},
		{"alg none", func(a *assertion) { a.method, a.key = jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType }, "alg"},
		{"HMAC with the public key", func(a *assertion) { a.method, a.key = jwt.SigningMethodHS384, []byte("x") }, "alg"},
		{"alg of another key type", func(a *assertion) { a.method, a.key = jwt.SigningMethodRS384, rsaKey() }, "signature"},
		{"foreign key", func(a *assertion) { a.key = must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) }, "signature"},
		{"iss is not sub", claim("iss", "c2"), "iss and sub"},
		{"no sub", claim("sub", nil), "iss and sub"},
		{"unknown client", func(a *assertion) { a.claims["iss"], a.claims["sub"] = "zz", "zz" }, "no client"},
		{"no aud", claim("aud", nil), "aud"},
		{"aud an array", claim("aud", []string{host + "/auth/token"}), "aud"},
		{"aud with a slash", claim("aud", host+"/auth/token/"), "aud"},
		{"aud the base", claim("aud", host), "aud"},
		{"no exp", claim("exp", nil), "exp is missing"},
		{"exp text", claim("exp", "1700000240"), "exp is not a number"},
		{"exp a fraction", claim("exp", 1700000240.5), "exp is not an integer"},
		{"exp past", claim("exp", now.Unix()-6), "expired"},
		{"exp too far", claim("exp", now.Unix()+306), "5 minutes"},
		{"exp huge", claim("exp", json.Number("1e300")), "exp is not an integer"},
		{"nbf in the future", claim("nbf", now.Unix()+60), "nbf"},
		{"iat in the future", claim("iat", now.Unix()+60), "iat"},
		{"nbf text", claim("nbf", "x"), "nbf"},
		{"no jti", claim("jti", nil), "jti"},
		{"empty jti", claim("jti", ""), "jti"},
		{"jti a number", claim("jti", 5), "jti"},
		{"endless jti", claim("jti", strings.Repeat("x", 257)), "jti"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAssertion(*now)
			c.spoil(a)
			got := post(t, s, formOf(a.sign()))
			if got.status != 401 || got.Code != "invalid_client" || !strings.Contains(got.Description, c.want) || got.Access != "" {
				t.Errorf("got %d %s %q, want invalid_client with %q", got.status, got.Code, got.Description, c.want)
			}
		})
	}
	for _, raw := range []string{"x", "a.b.c", "e30.e30.", newAssertion(*now).sign() + "=", newAssertion(*now).sign() + ".x"} {
		if got := post(t, s, formOf(raw)); got.status != 401 {
			t.Errorf("%.20q: got %d %s", raw, got.status, got.Description)
		}
	}
	for name, ok := range map[string]func(*assertion){
		"exp at the end of the leeway": claim("exp", now.Unix()+305),
		"nbf and iat of now":           func(a *assertion) { a.claims["nbf"], a.claims["iat"] = now.Unix(), now.Unix() },
	} {
		a := newAssertion(*now)
		ok(a)
		if got := post(t, s, formOf(a.sign())); got.status != 200 {
			t.Errorf("%s: got %d %s", name, got.status, got.Description)
		}
	}
	if s.Issued() != 2 {
		t.Errorf("issued %d, want 2", s.Issued())
	}
}

func TestJTIIsAcceptedOnce(t *testing.T) {
	s, now := newServer(t)
	if err := s.Register(Client{ID: "c2", JWKS: jwks(public("ec", &ecKey().PublicKey))}); err != nil {
		t.Fatal(err)
	}
	first := newAssertion(*now).sign()
	if got := post(t, s, formOf(first)); got.status != 200 {
		t.Fatal(got)
	}
	if got := post(t, s, formOf(first)); got.Code != "invalid_client" || !strings.Contains(got.Description, "jti") {
		t.Errorf("replay: got %+v", got)
	}
	again := newAssertion(*now)
	again.claims["jti"] = fmt.Sprint("jti", jtis-1)
	if got := post(t, s, formOf(again.sign())); got.Code != "invalid_client" {
		t.Errorf("another assertion with the same jti: got %+v", got)
	}
	other := newAssertion(*now)
	other.claims["jti"], other.claims["iss"], other.claims["sub"] = again.claims["jti"], "c2", "c2"
	if got := post(t, s, formOf(other.sign())); got.status != 200 {
		t.Errorf("the same jti of another client: got %+v", got)
	}
	// A jti is remembered until its assertion has ended, leeway included.
	*now = now.Add(244 * time.Second)
	if got := post(t, s, formOf(first)); !strings.Contains(got.Description, "jti") {
		t.Errorf("replay within the leeway: got %+v", got)
	}
	*now = now.Add(2 * time.Second)
	if got := post(t, s, formOf(first)); !strings.Contains(got.Description, "expired") {
		t.Errorf("replay later: got %+v", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	s, now := newServer(t)
	s.MaxEntries = 10
	for range 10 {
		if got := post(t, s, formOf(newAssertion(*now).sign())); got.status != 200 {
			t.Fatal(got)
		}
	}
	if got := post(t, s, formOf(newAssertion(*now).sign())); got.status != 503 || got.Code != "temporarily_unavailable" {
		t.Errorf("beyond the limit: got %+v", got)
	}
	*now = now.Add(10 * time.Minute)
	for range 10 {
		if got := post(t, s, formOf(newAssertion(*now).sign())); got.status != 200 {
			t.Fatalf("after the old ones ended: %+v", got)
		}
	}
	var e expiring[int, int]
	most := 0
	for i := range 100_000 {
		at := now.Add(time.Duration(i) * time.Second)
		e.put(i, i, at.Add(time.Minute), at, 1000)
		most = max(most, len(e.entries))
	}
	if most > 130 {
		t.Errorf("%d entries were kept where 60 live at a time", most)
	}
}
