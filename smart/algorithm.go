package smart

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // RS256, PS256, ES256
	_ "crypto/sha512" // RS384, ES384 and the like
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// The signature algorithms of RFC 7518 that every SMART server has (P5). Others
// (RS256, RS512, PS256, PS384, PS512, ES256, ES512) are used only where the
// server advertises them and Client.Algorithm names them.
const (
	RS384 = "RS384"
	ES384 = "ES384"
)

// algorithm is one of RFC 7518 section 3.1. It is a jwt.SigningMethod that signs
// with any crypto.Signer, keys in a KMS or an HSM included.
type algorithm struct {
	name  string
	hash  crypto.Hash
	pss   bool
	curve elliptic.Curve // nil for RSA
}

// algorithmNamed looks up an algorithm that this package can sign with.
func algorithmNamed(name string) (algorithm, bool) {
	switch name {
	case "RS256", RS384, "RS512", "PS256", "PS384", "PS512":
	case "ES256":
		return algorithm{name: name, hash: crypto.SHA256, curve: elliptic.P256()}, true
	case ES384:
		return algorithm{name: name, hash: crypto.SHA384, curve: elliptic.P384()}, true
	case "ES512":
		return algorithm{name: name, hash: crypto.SHA512, curve: elliptic.P521()}, true
	default:
		return algorithm{}, false
	}
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[name[2:]]
	return algorithm{name: name, hash: hash, pss: name[0] == 'P'}, true
}

// required reports whether the algorithm may be used without being named (P5).
func required(name string) bool { return name == RS384 || name == ES384 }

// fits reports whether a key with this public half can sign with the algorithm.
func (a algorithm) fits(pub crypto.PublicKey) bool {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		return a.curve == nil
	case *ecdsa.PublicKey:
		return a.curve == pub.Curve
	}
	return false
}

// Alg implements jwt.SigningMethod.
func (a algorithm) Alg() string { return a.name }

// Sign implements jwt.SigningMethod; key is a crypto.Signer.
func (a algorithm) Sign(signingString string, key any) ([]byte, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key cannot sign")
	}
	h := a.hash.New()
	h.Write([]byte(signingString))
	digest := h.Sum(nil)
	switch {
	case a.pss:
		return signer.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.hash})
	case a.curve == nil:
		return signer.Sign(rand.Reader, digest, a.hash)
	}
	der, err := signer.Sign(rand.Reader, digest, a.hash)
	if err != nil {
		return nil, err
	}
	return fixedWidth(der, (a.curve.Params().BitSize+7)/8)
}

// Verify implements jwt.SigningMethod. This package never verifies.
func (a algorithm) Verify(string, []byte, any) error {
	return errors.New("verification is not supported")
}

// fixedWidth turns the DER form of an ECDSA signature into R‖S, each of size
// bytes (RFC 7518 section 3.4).
func fixedWidth(der []byte, size int) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &sig)
	if err != nil {
		return nil, fmt.Errorf("read the signer's ECDSA signature: %w", err)
	}
	if len(rest) > 0 || sig.R.Sign() <= 0 || sig.S.Sign() <= 0 || sig.R.BitLen() > 8*size || sig.S.BitLen() > 8*size {
		return nil, errors.New("read the signer's ECDSA signature: out of range")
	}
	out := make([]byte, 2*size)
	sig.R.FillBytes(out[:size])
	sig.S.FillBytes(out[size:])
	return out, nil
}
