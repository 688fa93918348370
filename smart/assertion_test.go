package smart

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestP5AlgorithmIsTheFirstAdvertisedThatWeHold(t *testing.T) {
	for _, c := range []struct {
		name       string
		advertised []string
		algorithm  string
		keys       Keys
		want       string // the alg, or an error's text
	}{
		{"first advertised", []string{"ES384", "RS384"}, "auto", Keys{rsaKey(), ecKey()}, "ES384"},
		{"first advertised that is held", []string{"ES384", "RS384"}, "", Keys{rsaKey()}, "RS384"},
		{"unsupported are passed over", []string{"none", "HS256", "RS384"}, "auto", Keys{rsaKey()}, "RS384"},
		{"none advertised", nil, "auto", Keys{ecKey(), rsaKey()}, "RS384"},
		{"none advertised, EC held", nil, "auto", Keys{ecKey()}, "ES384"},
		{"others are never chosen by themselves", []string{"RS256"}, "auto", Keys{rsaKey()}, "neither RS384 nor ES384"},
		{"others by name where advertised", []string{"RS256"}, "RS256", Keys{rsaKey()}, "RS256"},
		{"PSS by name", []string{"PS384", "RS384"}, "PS384", Keys{rsaKey()}, "PS384"},
		{"others by name where not advertised", []string{"RS384"}, "RS256", Keys{rsaKey()}, "does not advertise RS256"},
		{"required by name, misadvertised", []string{"RS256"}, "RS384", Keys{rsaKey()}, "RS384"},
		{"no key for it", []string{"ES384"}, "auto", Keys{rsaKey()}, "no key for ES384"},
		{"nonsense", []string{"RS384"}, "HS256", Keys{rsaKey()}, `"HS256" is not supported`},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := newClient(nil)
			client.TokenURL, client.Base = "", "https://fhir.example.org"
			client.Keys, client.Algorithm = c.keys, c.algorithm
			doc := must(json.Marshal(map[string]any{"token_endpoint": tokenURL, "token_endpoint_auth_signing_alg_values_supported": c.advertised}))
			client.HTTP.Transport = roundTrip(func(*http.Request) (*http.Response, error) { return respond(200, string(doc)), nil })
			a, err := client.Assertion(t.Context())
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				return
			}
			header, _, _ := DecodeAssertion(a)
			var h struct{ Alg string }
			if err := json.Unmarshal(header, &h); err != nil || h.Alg != c.want {
				t.Errorf("alg: got %q, want %q", h.Alg, c.want)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestP6P7AssertionHeaderAndClaims(t *testing.T) {
	now := time.Unix(1_700_000_000, 999_000_000)
	e := &endpoint{t: t}
	c := newClient(e)
	c.Now = func() time.Time { return now }
	c.JKU = "https://client.example.org/jwks.json"
	a, err := c.Assertion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	header, claims, err := DecodeAssertion(a)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(header), `{"alg":"ES384","jku":"https://client.example.org/jwks.json","kid":"ec","typ":"JWT"}`; got != want {
		t.Errorf("header: got %s, want %s", got, want)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(claims, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"iss": `"my-client"`, "sub": `"my-client"`, "aud": `"` + tokenURL + `"`, "exp": "1700000240"}
	for name, v := range want {
		if string(got[name]) != v {
			t.Errorf("%s: got %s, want %s", name, got[name], v)
		}
	}
	if len(got["jti"]) < 22+2 {
		t.Errorf("jti: got %s, want at least 128 bits", got["jti"])
	}
	if len(got) != 5 {
		t.Errorf("claims: got %s, want iss, sub, aud, exp and jti alone", claims)
	}

	c2 := newClient(e)
	c2.TokenURL = tokenURL + "/" // aud is the very text
	_, claims, _ = DecodeAssertion(must(c2.Assertion(t.Context())))
	if !strings.Contains(string(claims), `"aud":"`+tokenURL+`/"`) {
		t.Errorf("claims: got %s", claims)
	}
	header, _, _ = DecodeAssertion(must(c2.Assertion(t.Context())))
	if strings.Contains(string(header), "jku") {
		t.Errorf("jku without configuration: %s", header)
	}
	for _, d := range []time.Duration{-1, time.Millisecond, maxAssertionLifetime + 1} {
		c3 := newClient(e)
		c3.Lifetime = d
		_, err := c3.Assertion(t.Context())
		wantError(t, err, "auth", "between 1 s and 5 min", "4 minutes")
	}
}

func TestDecodeAssertionRefusesWhatIsNone(t *testing.T) {
	for _, s := range []Secret{"", "a.b", "a.b.c", "eyJ9.e30.x", Secret(strings.Repeat("a", 1<<20))} {
		_, _, err := DecodeAssertion(s)
		wantError(t, err, "auth", "decode assertion", "JWT")
	}
}

// Assertions of keys in memory and behind a plain crypto.Signer verify with
// libraries that share nothing with this one.
func TestP5AssertionsVerifyElsewhere(t *testing.T) {
	verifiers := []struct {
		name string
		cmd  []string
		prog string
	}{
		{"node", []string{"node", "-e"}, nodeVerify},
		{"python", []string{"python3", "-c"}, pythonVerify},
	}
	for _, v := range verifiers {
		t.Run(v.name, func(t *testing.T) {
			if _, err := exec.LookPath(v.cmd[0]); err != nil {
				t.Skipf("%s is not installed", v.cmd[0])
			}
			if v.name == "python" && exec.Command("python3", "-c", "import cryptography").Run() != nil {
				t.Skip("python's cryptography is not installed")
			}
			for _, inner := range []*Key{rsaKey(), ecKey()} {
				for _, alg := range []string{"", "PS384"} {
					if alg != "" && inner.Algorithm() != RS384 {
						continue
					}
					for range 4 { // R and S of an ECDSA signature vary in length
						k := must(NewKey(cloud{inner.signer}, alg, "k"))
						a := must(newClient(nil).sign(k, tokenURL, 0))
						dir := t.TempDir()
						in := filepath.Join(dir, "in.json")
						data := must(json.Marshal(map[string]any{"jwt": string(a), "jwk": k.PublicJWK()}))
						if err := os.WriteFile(in, data, 0o600); err != nil {
							t.Fatal(err)
						}
						out, err := exec.Command(v.cmd[0], v.cmd[1], v.prog, in).CombinedOutput()
						if err != nil || strings.TrimSpace(string(out)) != "verified "+k.Algorithm() {
							t.Fatalf("%s: got %q, %v", k.Algorithm(), out, err)
						}
					}
				}
			}
		})
	}
}

const nodeVerify = `
const c = require('crypto'), fs = require('fs');
const {jwt, jwk} = JSON.parse(fs.readFileSync(process.argv[1]));
const [h, p, s] = jwt.split('.');
const {alg} = JSON.parse(Buffer.from(h, 'base64url'));
const key = {key: c.createPublicKey({key: jwk, format: 'jwk'})};
if (alg[0] === 'E') key.dsaEncoding = 'ieee-p1363';
if (alg[0] === 'P') { key.padding = c.constants.RSA_PKCS1_PSS_PADDING; key.saltLength = c.constants.RSA_PSS_SALTLEN_DIGEST; }
const sig = Buffer.from(s, 'base64url');
const ok = c.verify('sha384', Buffer.from(h + '.' + p), key, sig);
sig[sig.length - 1] ^= 1;
const forged = c.verify('sha384', Buffer.from(h + '.' + p), key, sig);
console.log(ok && !forged ? 'verified ' + alg : 'refused');
`

const pythonVerify = `
import base64, json, sys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.exceptions import InvalidSignature
d = json.load(open(sys.argv[1]))
b = lambda s: base64.urlsafe_b64decode(s + '=' * (-len(s) % 4))
n = lambda s: int.from_bytes(b(s), 'big')
h, p, s = d['jwt'].split('.')
alg, jwk, sig, msg = json.loads(b(h))['alg'], d['jwk'], b(s), (h + '.' + p).encode()
if jwk['kty'] == 'EC':
    key = ec.EllipticCurvePublicNumbers(n(jwk['x']), n(jwk['y']), ec.SECP384R1()).public_key()
    assert len(sig) == 96
    check = lambda sig: key.verify(utils.encode_dss_signature(int.from_bytes(sig[:48], 'big'), int.from_bytes(sig[48:], 'big')), msg, ec.ECDSA(hashes.SHA384()))
else:
    key = rsa.RSAPublicNumbers(n(jwk['e']), n(jwk['n'])).public_key()
    pad = padding.PSS(padding.MGF1(hashes.SHA384()), 48) if alg[0] == 'P' else padding.PKCS1v15()
    check = lambda sig: key.verify(sig, msg, pad, hashes.SHA384())
check(sig)
try:
    check(sig[:-1] + bytes([sig[-1] ^ 1]))
    print('forged')
except InvalidSignature:
    print('verified ' + alg)
`

// A signer that answers nonsense makes an error, not a token.
func TestFixedWidthRefusesOddSignatures(t *testing.T) {
	good := must(ecKey().signer.Sign(rand.Reader, bytes.Repeat([]byte{1}, 48), crypto.SHA384))
	for _, der := range [][]byte{nil, good[:len(good)-1], append(slices.Clone(good), 0), {0x30, 6, 2, 1, 0, 2, 1, 1}, {0x30, 6, 2, 1, 0xff, 2, 1, 1}} {
		if got, err := fixedWidth(der, 48); err == nil {
			t.Errorf("%x: got %x, want an error", der, got)
		}
	}
	if got, err := fixedWidth([]byte{0x30, 6, 2, 1, 5, 2, 1, 7}, 48); err != nil || fmt.Sprintf("%x", got) != strings.Repeat("0", 95)+"5"+strings.Repeat("0", 95)+"7" {
		t.Errorf("short numbers: got %x, %v", got, err)
	}
}
