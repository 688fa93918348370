package authserver

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestClientSecret(t *testing.T) {
	s, _ := newServer(t)
	if err := s.Register(Client{ID: "b:c", Secret: "s+ %"}); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"system/*.read"}}
	if got := post(t, s, form, func(r *http.Request) { r.SetBasicAuth("b%3Ac", "s%2B+%25") }); got.status != 200 {
		t.Errorf("Basic: got %+v", got)
	}
	for _, c := range [][2]string{{"b%3Ac", "wrong"}, {"c1", ""}, {"zz", "x"}, {"b%3Ac", "%zz"}} {
		got := post(t, s, form, func(r *http.Request) { r.SetBasicAuth(c[0], c[1]) })
		if got.status != 401 || got.Code != "invalid_client" || !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic") {
			t.Errorf("%v: got %+v", c, got)
		}
	}
	form.Set("client_id", "b:c")
	form.Set("client_secret", "s+ %")
	if got := post(t, s, form); got.status != 200 {
		t.Errorf("post: got %+v", got)
	}
}

func TestRegistrationIsChecked(t *testing.T) {
	ec := public("a", &ecKey().PublicKey)
	private := jose.JSONWebKey{Key: ecKey(), KeyID: "a"}
	for name, c := range map[string]Client{
		"no id":       {JWKS: jwks(ec)},
		"no keys":     {ID: "x"},
		"not JSON":    {ID: "x", JWKS: []byte("x")},
		"no set":      {ID: "x", JWKS: []byte("{}")},
		"empty set":   {ID: "x", JWKS: []byte(`{"keys":[]}`)},
		"private":     {ID: "x", JWKS: jwks(private)},
		"no kid":      {ID: "x", JWKS: jwks(public("", &ecKey().PublicKey))},
		"kid twice":   {ID: "x", JWKS: jwks(ec, ec)},
		"symmetric":   {ID: "x", JWKS: []byte(`{"keys":[{"kty":"oct","kid":"a","k":"AAAA"}]}`)},
		"encryption":  {ID: "x", JWKS: jwks(jose.JSONWebKey{Key: &ecKey().PublicKey, KeyID: "a", Use: "enc"})},
		"broken":      {ID: "x", JWKS: []byte(`{"keys":[{"kty":"EC","kid":"a"}]}`)},
		"weak":        {ID: "x", JWKS: jwks(public("a", &must(rsa.GenerateKey(rand.Reader, 1024)).PublicKey))},
		"user scopes": {ID: "x", JWKS: jwks(ec), Scopes: []string{"user/*.rs"}},
	} {
		if err := (&Server{}).Register(c); err == nil {
			t.Errorf("%s: registered", name)
		}
	}
}

// A key set in a file is read again when it changes.
func TestJWKSFileIsReloaded(t *testing.T) {
	s, now := newServer(t)
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := s.Register(Client{ID: "c1", JWKSFile: path}); err != nil {
		t.Fatal(err)
	}
	ask := func() int { return post(t, s, formOf(newAssertion(*now).sign())).status }
	if got := ask(); got != 401 {
		t.Errorf("no file: got %d", got)
	}
	for i, step := range []struct {
		data []byte
		want int
	}{
		{jwks(public("other", &ecKey().PublicKey)), 401},
		{jwks(public("ec", &ecKey().PublicKey)), 200},
		{[]byte("half a fi"), 401},
		{jwks(public("ec", &ecKey().PublicKey), public("rsa", &rsaKey().PublicKey)), 200},
	} {
		if err := os.WriteFile(path, step.data, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got := ask(); got != step.want {
				t.Errorf("step %d: got %d, want %d", i, got, step.want)
			}
		}
	}
}

// A key set by URL is fetched for an unknown kid, but not for each request.
func TestJWKSURLIsFetchedSparingly(t *testing.T) {
	s, now := newServer(t)
	set, fetches := jwks(public("other", &ecKey().PublicKey)), 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetches++
		_, _ = w.Write(set)
	}))
	defer srv.Close()
	s.HTTP = srv.Client()
	if err := s.Register(Client{ID: "c1", JWKSURL: srv.URL}); err != nil {
		t.Fatal(err)
	}
	ask := func(wait time.Duration, status, total int) {
		t.Helper()
		*now = now.Add(wait)
		a := newAssertion(*now)
		a.header["jku"] = srv.URL
		if got := post(t, s, formOf(a.sign())); got.status != status || fetches != total {
			t.Errorf("got %d %s after %d fetches, want %d after %d", got.status, got.Description, fetches, status, total)
		}
	}
	ask(0, 401, 1)
	set = jwks(public("ec", &ecKey().PublicKey))
	ask(9*time.Second, 401, 1)
	ask(time.Second, 200, 2)
	ask(4*time.Minute, 200, 2)
	ask(time.Minute, 200, 3)
}

func FuzzParseJWKS(f *testing.F) {
	f.Add(jwks(public("ec", &ecKey().PublicKey), public("rsa", &rsaKey().PublicKey)))
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AA","key_ops":["verify"]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseJWKS(data)
		if err == nil && len(keys) == 0 {
			t.Error("no key and no error")
		}
		for kid, k := range keys {
			if kid == "" || !k.IsPublic() {
				t.Errorf("kid %q public %v", kid, k.IsPublic())
			}
		}
	})
}
