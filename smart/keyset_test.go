package smart

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// P2: a set in which two keys have one kid goes nowhere: a server could take either.
func TestP2NoKidTwiceInWhatIsWritten(t *testing.T) {
	twice := Keys{must(NewKey(rsaKey().signer, "", "default")), must(NewKey(ecKey().signer, "", "default"))}
	if _, err := json.Marshal(twice.JWKS()); err == nil || !strings.Contains(err.Error(), `kid "default" occurs twice`) {
		t.Errorf("marshal: %v", err)
	}
	_, err := twice.PrivateJWKS()
	wantError(t, err, "auth", `kid "default" occurs twice`, "kid of its own")
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := SaveKeys(path, twice); err == nil {
		t.Error("SaveKeys wrote them")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file is there")
	}
	w := httptest.NewRecorder()
	(&JWKSHandler{Keys: func() (JWKS, error) { return twice.JWKS(), nil }}).ServeHTTP(w, httptest.NewRequest("GET", "/jwks.json", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("served: %d %s", w.Code, w.Body)
	}
	// The same keys with kids of their own are written, and the same key twice is not.
	if _, err := json.Marshal(Keys{rsaKey(), ecKey()}.JWKS()); err != nil {
		t.Error(err)
	}
	if _, err := (Keys{ecKey(), ecKey()}).PrivateJWKS(); err == nil {
		t.Error("the same key twice was written")
	}
}

// A set may hold keys that are not for signing assertions, or not for us.
func TestForeignKeysInASetArePassedOver(t *testing.T) {
	member := func(k *Key) string {
		var set struct{ Keys []json.RawMessage }
		if err := json.Unmarshal(must(Keys{k}.PrivateJWKS()), &set); err != nil {
			t.Fatal(err)
		}
		return string(set.Keys[0])
	}
	good := member(ecKey())
	rsa := member(must(NewKey(rsaKey().signer, "", "other")))
	broken := strings.Replace(rsa, `"e": "AQAB"`, `"e": "AQAC"`, 1)
	for _, c := range []struct {
		name, other  string
		any, byKid   bool   // read without a kid, and with the good key's
		alone, named string // the error of the other key alone, and of it by its kid
	}{
		{"another curve", `{"kty":"EC","crv":"secp256k1","kid":"other","x":"AA","y":"AA","d":"AA"}`, true, true, "secp256k1", "secp256k1"},
		{"RSA for encryption by its alg", strings.Replace(rsa, `"kid"`, `"alg":"RSA-OAEP-256","kid"`, 1), true, true, "RSA-OAEP-256", "RSA-OAEP-256"},
		{"by its use", strings.Replace(rsa, `"kid"`, `"use":"enc","kid"`, 1), true, true, "encryption", "encryption"},
		{"symmetric", `{"kty":"oct","k":"AAAA","kid":"other"}`, true, true, "oct", "oct"},
		{"broken", broken, false, true, "belong together", "belong together"},
		{"public", string(must(json.Marshal(rsaKey().PublicJWK()))), true, true, "public key", `no private key with kid "rsa"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := fmt.Appendf(nil, `{"keys":[%s,%s]}`, c.other, good)
			keys, err := ParseKeys(set)
			if (err == nil) != c.any || c.any && !slices.Equal(kids(keys), []string{"ec"}) {
				t.Errorf("all: %v, %v", keys, err)
			}
			if k, err := ParseKey(set, "ec"); (err == nil) != c.byKid || err == nil && k.ID() != "ec" {
				t.Errorf("by kid: %v, %v", k, err)
			}
			_, err = ParseKeys(fmt.Appendf(nil, `{"keys":[%s]}`, c.other))
			wantError(t, err, "auth", c.alone, "")
			kid := "other"
			if c.name == "public" {
				kid = "rsa"
			}
			_, err = ParseKey(set, kid)
			wantError(t, err, "auth", c.named, "")
		})
	}
}

// What is published of a key that signs with another algorithm than its usual one.
func TestP2PublishedAlgorithmIsTheOneThatSigns(t *testing.T) {
	pem := must(ParseKey(must(rsaKey().PrivatePEM()), ""))
	keys := Keys{pem, ecKey()}
	for named, want := range map[string][]string{
		"": {"RS384", "ES384"}, "auto": {"RS384", "ES384"}, "PS384": {"PS384", "ES384"}, "ES384": {"RS384", "ES384"}, "nonsense": {"RS384", "ES384"},
	} {
		var got []string
		for _, j := range keys.For(named).JWKS().Keys {
			got = append(got, j.Alg)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", named, got, want)
		}
	}
	e := &endpoint{t: t}
	c := newClient(e)
	c.Base, c.Algorithm, c.Keys = "https://fhir.example.org", "PS384", keys
	c.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodGet {
			return respond(200, `{"token_endpoint":"`+tokenURL+`","token_endpoint_auth_signing_alg_values_supported":["PS384"]}`), nil
		}
		return e.RoundTrip(r)
	})}
	must(c.Token(t.Context()))
	signing := must(c.SigningKey(t.Context()))
	if alg := e.call(0).header["alg"]; alg != "PS384" || signing.Algorithm() != alg || signing.PublicJWK().Alg != alg {
		t.Errorf("signed with %v, SigningKey says %v", alg, signing)
	}
}
