package smart

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

func TestP1GenerateKeyPairs(t *testing.T) {
	rsaPair, err := GenerateRSAKeyPair("default")
	if err != nil {
		t.Fatal(err)
	}
	if pub := rsaPair.Public().(*rsa.PublicKey); pub.N.BitLen() != 3072 || rsaPair.Algorithm() != "RS384" || rsaPair.ID() != "default" {
		t.Errorf("got %v with %d bits", rsaPair, pub.N.BitLen())
	}
	ecPair, err := GenerateECKeyPair("")
	if err != nil {
		t.Fatal(err)
	}
	if pub := ecPair.Public().(*ecdsa.PublicKey); pub.Curve != elliptic.P384() || ecPair.Algorithm() != "ES384" {
		t.Errorf("got %v on %s", ecPair, pub.Params().Name)
	}
	// The default kid is what another implementation computes.
	thumb, err := (&jose.JSONWebKey{Key: ecPair.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := ecPair.ID(), b64bytes(thumb); got != want {
		t.Errorf("kid: got %s, want %s", got, want)
	}
	for _, alg := range []string{"ES256", "ES512", "PS384"} {
		k, err := GenerateKeyPair(alg, "x")
		if err != nil || k.Algorithm() != alg || k.PublicJWK().Alg != alg {
			t.Errorf("%s: got %v, %v", alg, k, err)
		}
	}
	_, err = GenerateKeyPair("HS384", "")
	wantError(t, err, "auth", "not supported", "RS384")
}

// P2, and the promise that no private member can be published: the types have no
// place for one, and the bytes hold none of the private numbers.
func TestP2JWKSIsPublicOnly(t *testing.T) {
	private := []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
	typ := reflect.TypeFor[JWK]()
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		if slices.Contains(private, name) {
			t.Errorf("JWK has the private member %q", name)
		}
	}
	keys := Keys{rsaKey(), ecKey()}
	data, err := json.Marshal(keys.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"RSA": {"alg", "e", "kid", "kty", "n", "use"}, "EC": {"alg", "crv", "kid", "kty", "use", "x", "y"}}
	for _, k := range set.Keys {
		var got []string
		for name := range k {
			got = append(got, name)
		}
		slices.Sort(got)
		if !slices.Equal(got, want[k["kty"]]) {
			t.Errorf("%s: got members %v, want %v", k["kty"], got, want[k["kty"]])
		}
	}
	secret, err := keys.PrivateJWKS()
	if err != nil {
		t.Fatal(err)
	}
	var whole struct{ Keys []map[string]any }
	if err := json.Unmarshal(secret, &whole); err != nil {
		t.Fatal(err)
	}
	for _, k := range whole.Keys {
		for _, name := range private {
			if v, ok := k[name].(string); ok && bytes.Contains(data, []byte(v)) {
				t.Errorf("the public set holds the private %s", name)
			}
		}
	}
	// A set read from private keys drops what is private.
	parsed, err := ParseJWKS(secret)
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(parsed)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(again, []byte(`"d"`)) {
		t.Errorf("ParseJWKS kept a private member: %s", again)
	}
	// go-jose reads what we publish.
	var other jose.JSONWebKeySet
	if err := json.Unmarshal(data, &other); err != nil {
		t.Fatal(err)
	}
	for i, k := range other.Keys {
		if !k.IsPublic() || !k.Valid() || !k.Key.(interface{ Equal(crypto.PublicKey) bool }).Equal(keys[i].Public()) {
			t.Errorf("key %d is read as another one", i)
		}
	}
}

func TestP2KidIsUniqueInTheSet(t *testing.T) {
	j := must(json.Marshal(ecKey().PublicJWK()))
	_, err := ParseJWKS(fmt.Appendf(nil, `{"keys":[%s,%s]}`, j, j))
	wantError(t, err, "auth", "occurs twice", "")
}

func TestKeysPrintNothingPrivate(t *testing.T) {
	k := ecKey()
	d := must(k.signer.(*ecdsa.PrivateKey).Bytes())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		got := fmt.Sprintf(verb, k) + fmt.Sprintf(verb, Keys{k})
		if strings.Contains(got, fmt.Sprint(d[0], d[1])) || strings.Contains(got, "Curve") || strings.Contains(got, fmt.Sprintf("%x", d)) {
			t.Errorf("%s prints %s", verb, got)
		}
		if !strings.Contains(got, `ES384 key "ec"`) {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestP1ParseKeyForms(t *testing.T) {
	r := rsaKey().signer.(*rsa.PrivateKey)
	e := ecKey().signer.(*ecdsa.PrivateKey)
	sec1 := pemOf("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(e)))
	joseRSA := must(json.Marshal(jose.JSONWebKey{Key: r, KeyID: "jwk-rsa", Algorithm: "RS384"}))
	joseEC := must(json.Marshal(jose.JSONWebKey{Key: e, KeyID: "jwk-ec"}))
	pubRSA := must(json.Marshal(jose.JSONWebKey{Key: &r.PublicKey, KeyID: "jwk-rsa"}))
	withOps := bytes.Replace(joseEC, []byte("{"), []byte(`{"key_ops":["sign"],`), 1)
	set := fmt.Appendf(nil, `{"keys":[%s,%s,%s,{"kty":"oct","k":"AAAA","kid":"o"}]}`, pubRSA, joseRSA, withOps)

	for _, c := range []struct {
		name, kid string
		data      []byte
		wantKid   string
		want      interface{ Equal(crypto.PublicKey) bool }
	}{
		{"PKCS#1", "k1", pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r)), "k1", &r.PublicKey},
		{"PKCS#8 RSA", "", pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(r))), publicJWK(&r.PublicKey).Thumbprint(), &r.PublicKey},
		{"PKCS#8 EC", "", pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(e))), publicJWK(&e.PublicKey).Thumbprint(), &e.PublicKey},
		{"SEC 1", "k", sec1, "k", &e.PublicKey},
		{"SEC 1 after parameters", "k", append(pemOf("EC PARAMETERS", []byte{6, 5, 43, 129, 4, 0, 34}), sec1...), "k", &e.PublicKey},
		{"PEM with text around, BOM and CRLF", "k", []byte("\xef\xbb\xbf\r\nmy key\r\n" + strings.ReplaceAll(string(sec1), "\n", "\r\n") + "bye"), "k", &e.PublicKey},
		{"PEM with line breaks written out", "k", []byte(strings.ReplaceAll(string(sec1), "\n", `\n`)), "k", &e.PublicKey},
		{"public and private PEM", "k", append(pemOf("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(&e.PublicKey))), sec1...), "k", &e.PublicKey},
		{"JWK", "", joseRSA, "jwk-rsa", &r.PublicKey},
		{"JWK by its kid", "jwk-ec", joseEC, "jwk-ec", &e.PublicKey},
		{"JWK without kid", "given", must(json.Marshal(jose.JSONWebKey{Key: e})), "given", &e.PublicKey},
		{"set by kid", "jwk-rsa", set, "jwk-rsa", &r.PublicKey},
		{"set by key_ops", "", set, "jwk-ec", &e.PublicKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := ParseKey(c.data, c.kid)
			if err != nil {
				t.Fatal(err)
			}
			if k.ID() != c.wantKid || !c.want.Equal(k.Public()) {
				t.Errorf("got %v, want kid %q", k, c.wantKid)
			}
		})
	}
	all, err := ParseKeys(set)
	if err != nil || len(all) != 2 {
		t.Errorf("ParseKeys: got %v, %v; want two keys", all, err)
	}
}

func TestParseKeyRefusesWithAHint(t *testing.T) {
	r := rsaKey().signer.(*rsa.PrivateKey)
	e := ecKey().signer.(*ecdsa.PrivateKey)
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte{1}})
	private := must(json.Marshal(jose.JSONWebKey{Key: r, KeyID: "a"}))
	other := must(json.Marshal(jose.JSONWebKey{Key: must(rsa.GenerateKey(rand.Reader, 2048)), KeyID: "a"}))
	var mine, theirs map[string]any
	_ = json.Unmarshal(private, &mine)
	_ = json.Unmarshal(other, &theirs)
	mine["n"] = theirs["n"]
	mixedRSA := must(json.Marshal(mine))
	ec := must(json.Marshal(jose.JSONWebKey{Key: e, KeyID: "a"}))
	ecOther := must(json.Marshal(jose.JSONWebKey{Key: must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), KeyID: "a"}))
	_ = json.Unmarshal(ec, &mine)
	_ = json.Unmarshal(ecOther, &theirs)
	mine["d"] = theirs["d"]
	mixedEC := must(json.Marshal(mine))

	for _, c := range []struct {
		name, kid     string
		data          []byte
		message, hint string
	}{
		{"empty", "", []byte(" \n"), "empty", "PEM"},
		{"PEM cut off", "", must(rsaKey().PrivatePEM())[:200], "broken or cut off", "line breaks"},
		{"PEM on one line", "", []byte("-----BEGIN PRIVATE KEY----- aHVudGVyMg== -----END PRIVATE KEY-----"), "broken or cut off", "line breaks"},
		{"nonsense", "", []byte("hunter2"), "neither PEM nor JSON", "PEM"},
		{"encrypted PKCS#1", "", encrypted, "passphrase", "openssl pkey"},
		{"encrypted PKCS#8", "", pemOf("ENCRYPTED PRIVATE KEY", []byte{1}), "passphrase", "openssl pkey"},
		{"OpenSSH", "", pemOf("OPENSSH PRIVATE KEY", []byte{1}), "OpenSSH", "ssh-keygen"},
		{"public PEM", "", must(rsaKey().PublicPEM()), "public key", "private half"},
		{"public JWK", "", must(json.Marshal(rsaKey().PublicJWK())), "public key", "private half"},
		{"public set", "", must(json.Marshal(Keys{rsaKey()}.JWKS())), "public key", "private half"},
		{"empty set", "", []byte(`{"keys":[]}`), "no private key", "PEM"},
		{"unknown kid", "zz", fmt.Appendf(nil, `{"keys":[%s]}`, private), `kid "zz"`, "a."},
		{"other kid", "zz", private, `not "zz"`, "empty"},
		{"kid twice", "", fmt.Appendf(nil, `{"keys":[%s,%s]}`, private, private), "twice", ""},
		{"symmetric", "", []byte(`{"kty":"oct","k":"AAAA"}`), `"oct"`, "PEM"},
		{"weak RSA", "", pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(weak)), "1024 bits", ""},
		{"Ed25519", "", pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(ed))), "cannot sign SMART", "PEM"},
		{"halves of two RSA keys", "", mixedRSA, "belong together", ""},
		{"halves of two EC keys", "", mixedEC, "belong together", ""},
		{"wrong alg", "", bytes.Replace(private, []byte("{"), []byte(`{"alg":"ES384",`), 1), "cannot sign with ES384", ""},
		{"broken DER", "", pemOf("PRIVATE KEY", []byte("xx")), "PKCS#8", "PEM"},
		{"broken JSON", "", []byte(`{"kty":`), "not JSON", "PEM"},
		{"a huge number in DER", "", pemOf("RSA PRIVATE KEY", bytes.Repeat([]byte{1}, maxOneKey+1)), "more than", "PEM"},
		{"a huge number in a JWK", "", []byte(`{"kty":"RSA","e":"AQAB","d":"` + strings.Repeat("AQ", maxOneKey) + `"}`), "larger than", "PEM"},
		{"too large", "", bytes.Repeat([]byte("x"), maxKeyData+1), "more than", "PEM"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := ParseKey(c.data, c.kid)
			if err == nil {
				t.Fatalf("got %v, want an error", k)
			}
			wantError(t, err, "auth", c.message, c.hint)
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the data: %v", err)
			}
		})
	}
}

func TestNewKeyWithoutASigner(t *testing.T) {
	_, err := NewKey(nil, "", "")
	wantError(t, err, "auth", "there is no key", "")
}

// cloud is a signer like that of a KMS: its private half is not in this program.
type cloud struct{ crypto.Signer }

func TestKeyOfAnySigner(t *testing.T) {
	for _, inner := range []*Key{rsaKey(), ecKey()} {
		k, err := NewKey(cloud{inner.signer}, "", "")
		if err != nil {
			t.Fatal(err)
		}
		if k.Algorithm() != inner.Algorithm() || k.ID() != k.PublicJWK().Thumbprint() {
			t.Errorf("got %v", k)
		}
		_, err = k.PrivatePEM()
		wantError(t, err, "auth", "outside of this program", "KMS")
		_, err = Keys{k}.PrivateJWKS()
		wantError(t, err, "auth", "outside of this program", "KMS")
		if pub := must(k.PublicPEM()); !bytes.Equal(pub, must(inner.PublicPEM())) {
			t.Errorf("public PEM differs")
		}
	}
}
