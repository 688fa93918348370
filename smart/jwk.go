package smart

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
)

// JWK is the public half of a key as RFC 7517 writes it. It has no field for a
// private member, so that none can be published.
type JWK struct {
	Kty string `json:"kty"` // RSA or EC
	Kid string `json:"kid"`
	Use string `json:"use,omitempty"` // sig
	Alg string `json:"alg,omitempty"`
	N   string `json:"n,omitempty"`   // RSA: modulus
	E   string `json:"e,omitempty"`   // RSA: exponent
	Crv string `json:"crv,omitempty"` // EC: P-256, P-384, P-521
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
}

// JWKS is a set of public keys: what a client registers (P2).
type JWKS struct {
	Keys []JWK `json:"keys"`
}

// MarshalJSON implements json.Marshaler. A set in which a kid occurs twice is refused (P2):
// a server could take either key.
func (s JWKS) MarshalJSON() ([]byte, error) {
	seen := map[string]bool{}
	for _, k := range s.Keys {
		if seen[k.Kid] {
			return nil, kidTwice("write key set", k.Kid)
		}
		seen[k.Kid] = true
	}
	type plain JWKS
	return json.Marshal(plain(s))
}

func kidTwice(op, kid string) error {
	return &Error{
		Op: op, Err: fmt.Errorf("kid %q occurs twice", clean(kid)), kind: lasting,
		hint: "Give each key of the set a kid of its own, or none: then it is its thumbprint.",
	}
}

// PublicJWK is what the server needs to know of the key. Its Alg is Algorithm: where the
// key is to sign with another one, publish that of [Keys.For].
func (k *Key) PublicJWK() JWK {
	j := publicJWK(k.signer.Public())
	j.Kid, j.Alg, j.Use = k.kid, k.alg.name, "sig"
	return j
}

// Thumbprint is the RFC 7638 thumbprint with SHA-256, base64url; "" when the type
// of key is not RSA or EC.
func (j JWK) Thumbprint() string {
	var members any
	switch j.Kty { // the required members alone, in lexicographic order
	case "RSA":
		members = struct {
			E   string `json:"e"`
			Kty string `json:"kty"`
			N   string `json:"n"`
		}{j.E, j.Kty, j.N}
	case "EC":
		members = struct {
			Crv string `json:"crv"`
			Kty string `json:"kty"`
			X   string `json:"x"`
			Y   string `json:"y"`
		}{j.Crv, j.Kty, j.X, j.Y}
	default:
		return ""
	}
	data, err := json.Marshal(members)
	if err != nil {
		return "" // strings always marshal
	}
	sum := sha256.Sum256(data)
	return b64bytes(sum[:])
}

// b64bytes is the encoding of JWK members (RFC 7515 section 2).
func b64bytes(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// publicJWK fills the key material only.
func publicJWK(pub crypto.PublicKey) JWK {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		return JWK{Kty: "RSA", N: b64bytes(pub.N.Bytes()), E: b64bytes(big.NewInt(int64(pub.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := pub.Bytes() // 4, X, Y: uncompressed
		if err != nil {
			return JWK{}
		}
		half := (len(point) - 1) / 2
		return JWK{Kty: "EC", Crv: pub.Params().Name, X: b64bytes(point[1 : 1+half]), Y: b64bytes(point[1+half:])}
	}
	return JWK{}
}

// maxJWKS bounds the bytes of a key set.
const maxJWKS = 1 << 20

// ParseJWKS reads a set of public keys. Private members are dropped, not
// refused: the result cannot hold them. Keys of other types than RSA and EC are
// left out; a kid that occurs twice is an error (P2).
func ParseJWKS(data []byte) (JWKS, error) {
	fail := func(err error) (JWKS, error) {
		return JWKS{}, &Error{Op: "read key set", Err: err, kind: lasting, hint: `A JWK Set is a JSON object with an array "keys".`}
	}
	if len(data) > maxJWKS {
		return fail(fmt.Errorf("it has more than %d bytes", maxJWKS))
	}
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return fail(jsonCause(err))
	}
	if raw.Keys == nil {
		return fail(errText(`it has no "keys"`))
	}
	set := JWKS{Keys: []JWK{}}
	seen := map[string]bool{}
	for i, one := range raw.Keys {
		var j JWK
		if err := json.Unmarshal(one, &j); err != nil {
			return fail(fmt.Errorf("key %d: %w", i+1, jsonCause(err)))
		}
		switch {
		case j.Kty == "RSA" && j.N != "" && j.E != "":
		case j.Kty == "EC" && j.Crv != "" && j.X != "" && j.Y != "":
		default:
			continue
		}
		if seen[j.Kid] {
			return fail(fmt.Errorf("kid %q occurs twice", clean(j.Kid)))
		}
		seen[j.Kid] = true
		set.Keys = append(set.Keys, j)
	}
	return set, nil
}

// jsonCause keeps the position and drops the offending text, which may be part of
// a key.
func jsonCause(err error) error {
	switch e := err.(type) {
	case *json.SyntaxError:
		return fmt.Errorf("not JSON (byte %d)", e.Offset)
	case *json.UnmarshalTypeError:
		return fmt.Errorf("member %q is not of the right type", e.Field)
	}
	return errText("not JSON")
}
