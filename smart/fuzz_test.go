package smart

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"
)

func FuzzParseKey(f *testing.F) {
	r, e := must(ParseKey([]byte(rfc7517Key), "")), must(ParseKey([]byte(rfc7517EC), ""))
	f.Add(must(r.PrivatePEM()), "")
	f.Add(must(e.PrivatePEM()), "kid")
	f.Add(must(Keys{e, r}.PrivateJWKS()), "1")
	f.Add(must(must(Keys{e}.Rotate(must(e.Successor("next")), time.Unix(1_700_000_000, 0), time.Hour)).PrivateJWKS()), e.ID())
	f.Add([]byte(`{"kty":"EC","crv":"P-384","d":"AQ","x":"AQ","y":"AQ"}`), "")
	f.Add([]byte(`{"kty":"RSA","n":"AQ","e":"AQAB","d":"AQ","p":"AQ","q":"AQ"}`), "")
	f.Add([]byte("-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----"), "x")
	f.Fuzz(func(t *testing.T, data []byte, kid string) {
		k, err := ParseKey(data, kid)
		if err != nil {
			if err.(*Error).Hint() == "" {
				t.Errorf("%v has no hint", err)
			}
			return
		}
		if _, err := newClient(nil).sign(k, tokenURL, 0); err != nil {
			t.Errorf("a key that was accepted cannot sign: %v", err)
		}
		if kid != "" && k.ID() != kid {
			t.Errorf("kid: got %q, want %q", k.ID(), kid)
		}
		if chosen, err := parseChosen(data, kid); err != nil || kid != "" && chosen[0].ID() != kid {
			t.Errorf("of a file with kid %q: got %v, %v", kid, chosen, err)
		}
		again, err := ParseKeys(must(Keys{k}.PrivateJWKS()))
		if err != nil || again[0].PublicJWK() != k.PublicJWK() && strings.ToValidUTF8(k.ID(), "\ufffd") == k.ID() {
			t.Errorf("does not survive PrivateJWKS: %v", err)
		}
	})
}

func FuzzParseJWKS(f *testing.F) {
	r, e := must(ParseKey([]byte(rfc7517Key), "")), must(ParseKey([]byte(rfc7517EC), ""))
	f.Add(must(json.Marshal(Keys{r, e}.JWKS())))
	f.Add(must(Keys{e}.PrivateJWKS()))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"x"},{"kty":"RSA","n":1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := ParseJWKS(data)
		if err != nil {
			return
		}
		back, err := ParseJWKS(must(json.Marshal(set)))
		if err != nil || len(back.Keys) != len(set.Keys) {
			t.Errorf("does not survive: %v", err)
		}
		for _, k := range set.Keys {
			if len(k.Thumbprint()) != 43 {
				t.Errorf("thumbprint of %+v: %q", k, k.Thumbprint())
			}
		}
	})
}

func FuzzTokenResponse(f *testing.F) {
	f.Add([]byte(`{"access_token":"t","token_type":"bearer","expires_in":"300","scope":"a b"}`))
	f.Add([]byte(`{"error":"invalid_client","error_description":"eyJx.y.z"}`))
	f.Add([]byte(`{"access_token":"t","expires_in":1e400,"scope":[1]}`))
	now := time.Unix(1_700_000_000, 0)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseTokenResponse(data)
		if err != nil {
			return
		}
		if code := r.errorCode(nil); len(code) > maxDescription+3 || strings.ContainsAny(code, "\r\n\x00") {
			t.Errorf("error code %q", code)
		}
		tok, _, err := r.token(now, now)
		if err != nil {
			return
		}
		if !validBearer(string(tok.AccessToken)) || !tok.Expiry.After(now) || tok.renew.Before(now.Add(minUse)) || tok.Expiry.After(now.Add(maxLifetime)) {
			t.Errorf("token of %q: expiry %v, renew %v", data, tok.Expiry, tok.renew)
		}
	})
}

func FuzzDiscovery(f *testing.F) {
	f.Add([]byte(`{"token_endpoint":"auth/token","capabilities":["permission-v2"]}`), "https://x.example/fhir")
	f.Add([]byte(capability), "http://127.0.0.1:8080")
	f.Add([]byte(`{"token_endpoint":"//evil/t?x#y"}`), "https://x.example/a%2Fb/")
	f.Fuzz(func(t *testing.T, data []byte, base string) {
		b, err := parseBase(base)
		if err != nil {
			return
		}
		if strings.HasSuffix(b.Path, "/") || b.RawQuery != "" {
			t.Errorf("base %q became %s", base, b)
		}
		for _, parse := range []func([]byte, *url.URL) (*Configuration, error){parseConfiguration, parseCapability} {
			conf, err := parse(data, b)
			if err != nil {
				continue
			}
			u, err := url.Parse(conf.TokenEndpoint)
			if err != nil || OriginOf(u) == "" && u.Hostname() != "" || u.User != nil {
				t.Errorf("token endpoint %q of %q", conf.TokenEndpoint, data)
			}
		}
	})
}

func FuzzParseScope(f *testing.F) {
	f.Add("system/Patient.rs?a=b")
	f.Add("system/*.*")
	f.Fuzz(func(t *testing.T, s string) {
		scope, err := ParseScope(s)
		if err != nil {
			return
		}
		if scope.Context != "" && (!inOrder(scope.Letters) || Compare([]string{s}, []string{s}).Complete() == false) {
			t.Errorf("%q: %+v does not cover itself", s, scope)
		}
	})
}

func FuzzClean(f *testing.F) {
	f.Add("invalid token eyJhbGciOiJSUzM4NCJ9.e30.x", "hunter2")
	f.Fuzz(func(t *testing.T, s, secret string) {
		got := clean(s, secret)
		if len(got) > maxDescription+len("…") || strings.ContainsAny(got, "\r\n\t\x00\x1b") {
			t.Errorf("clean(%q): got %q", s, got)
		}
	})
}

func FuzzDecodeAssertion(f *testing.F) {
	f.Add("eyJhbGciOiJSUzM4NCJ9.e30.x")
	f.Fuzz(func(t *testing.T, s string) {
		h, c, err := DecodeAssertion(Secret(s))
		if err == nil && (!json.Valid(h) || !json.Valid(c)) {
			t.Errorf("%q: got %q, %q", s, h, c)
		}
	})
}
