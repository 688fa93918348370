package smart

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// rawJWK are the members of a private JWK. The names nbf and exp are those of OpenID
// Federation's key sets.
type rawJWK struct {
	Kty    string   `json:"kty"`
	Kid    string   `json:"kid"`
	Alg    string   `json:"alg"`
	Use    string   `json:"use"`
	KeyOps []string `json:"key_ops"`
	Nbf    int64    `json:"nbf"`
	Exp    int64    `json:"exp"`

	N   string          `json:"n"` // RSA, base64url like all that follow
	E   string          `json:"e"`
	P   string          `json:"p"`
	Q   string          `json:"q"`
	Oth json.RawMessage `json:"oth"` // further primes
	Crv string          `json:"crv"` // EC
	X   string          `json:"x"`
	Y   string          `json:"y"`
	D   string          `json:"d"` // both: what makes the key private
}

// parseJWK reads one private key. A public one, and one that cannot sign assertions, is a
// *keyFault.
func parseJWK(data []byte) (*Key, rawJWK, error) {
	var raw rawJWK
	if len(data) > maxOneKey {
		return nil, raw, fmt.Errorf("the key is larger than an RSA key of %d bits", maxRSABits)
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, raw, jsonCause(err)
	}
	switch {
	case raw.Kty != "RSA" && raw.Kty != "EC":
		return nil, raw, &keyFault{text: fmt.Sprintf("a key of type %q cannot sign SMART assertions", clean(raw.Kty))}
	case raw.Use == "enc":
		return nil, raw, &keyFault{text: "the key is for encryption, not for signatures"}
	case raw.D == "":
		return nil, raw, publicGiven()
	}
	var signer crypto.Signer
	var err error
	if raw.Kty == "RSA" {
		signer, err = raw.rsa()
	} else {
		signer, err = raw.ec()
	}
	if err != nil {
		return nil, raw, err
	}
	k, err := newKey(signer, raw.Alg, raw.Kid)
	if err != nil {
		return nil, raw, &keyFault{text: err.Error()}
	}
	k.notBefore, k.notAfter = unix(raw.Nbf), unix(raw.Exp)
	return k, raw, nil
}

// rsa makes the private key of the members (RFC 7518 section 6.3).
func (raw *rawJWK) rsa() (*rsa.PrivateKey, error) {
	if len(raw.Oth) > 0 {
		return nil, &keyFault{text: "the JWK is an RSA key of more than two primes"}
	}
	var numbers [5]*big.Int
	for i, member := range []string{raw.N, raw.E, raw.D, raw.P, raw.Q} {
		n, err := number(member)
		if err != nil || n.BitLen() > maxRSABits {
			return nil, errText("the JWK's n, e, d, p and q are not all there as base64url numbers")
		}
		numbers[i] = n
	}
	if !numbers[1].IsInt64() || numbers[1].Int64() > 1<<31-1 {
		return nil, errText("the JWK's e is too large")
	}
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: numbers[0], E: int(numbers[1].Int64())},
		D:         numbers[2],
		Primes:    numbers[3:],
	}
	if err := key.Validate(); err != nil {
		return nil, errText("the JWK's RSA members do not belong together")
	}
	key.Precompute() // once, instead of for every signature
	return key, nil
}

// ec makes the private key of the members (RFC 7518 section 6.2).
func (raw *rawJWK) ec() (*ecdsa.PrivateKey, error) {
	curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[raw.Crv]
	if curve == nil {
		return nil, &keyFault{text: fmt.Sprintf("curve %q is not supported", clean(raw.Crv))}
	}
	width := (curve.Params().BitSize + 7) / 8
	point := []byte{4} // uncompressed
	var scalar []byte
	for i, member := range []string{raw.X, raw.Y, raw.D} {
		n, err := number(member)
		if err != nil || n.BitLen() > 8*width {
			return nil, errText("the JWK's x, y and d are not all there as base64url numbers of the curve")
		}
		padded := n.FillBytes(make([]byte, width))
		if i < 2 {
			point = append(point, padded...)
		} else {
			scalar = padded
		}
	}
	key, err := ecdsa.ParseRawPrivateKey(curve, scalar)
	if err != nil {
		return nil, errText("the JWK's d is not a private key of the curve")
	}
	public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil || !key.PublicKey.Equal(public) {
		return nil, errText("the JWK's EC members do not belong together")
	}
	return key, nil
}

// number reads a base64url number; padding is tolerated.
func number(member string) (*big.Int, error) {
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(member, "="))
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, errText("it is missing")
	}
	return new(big.Int).SetBytes(data), nil
}

// unix is the time of a JWK's numeric date; 0 and what is out of range mean none.
func unix(seconds int64) time.Time {
	if seconds <= 0 || seconds > 1<<40 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
