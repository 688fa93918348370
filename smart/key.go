package smart

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"strings"
	"time"
)

// KeySource gives the key to sign an assertion with. It is asked for every
// assertion, so that a key rotated while the program runs is used from the next
// one on (F12). [*Key], [Keys] and [*KeyFile] are KeySources.
type KeySource interface {
	// SigningKey returns the key to use at this instant, whose Algorithm is one of
	// algorithms, which are in order of preference.
	SigningKey(ctx context.Context, at time.Time, algorithms []string) (*Key, error)
}

// Key is an asymmetric key that signs assertions. It never changes, and printing it
// shows nothing private.
type Key struct {
	signer    crypto.Signer
	alg       algorithm
	only      bool // the key is bound to alg (a JWK's alg member)
	kid       string
	notBefore time.Time
	notAfter  time.Time
}

const (
	minRSABits = 2048 // RFC 7518 section 3.3
	maxRSABits = 8192
	// newRSABits is the size of generated keys.
	newRSABits = 3072
)

// NewKey makes a Key of any signer: one in memory, a KMS or an HSM. The signer's
// public key must be RSA of at least 2048 bits or ECDSA on P-256, P-384 or P-521.
//
// An empty algorithm means RS384 for RSA and the curve's own for ECDSA, and
// lets an RSA key sign with the other RSA algorithms where Client.Algorithm names one.
// An empty kid means the RFC 7638 thumbprint.
func NewKey(signer crypto.Signer, alg, kid string) (*Key, error) {
	k, err := newKey(signer, alg, kid)
	if err != nil {
		return nil, &Error{Op: "use key", Err: err, kind: lasting, hint: "Use an RSA key of at least 2048 bits or an EC key on P-384."}
	}
	return k, nil
}

func newKey(signer crypto.Signer, alg, kid string) (*Key, error) {
	if signer == nil {
		return nil, errText("there is no key")
	}
	k := &Key{signer: signer, kid: kid, only: alg != ""}
	switch pub := signer.Public().(type) {
	case *rsa.PublicKey:
		if n := pub.N.BitLen(); n < minRSABits || n > maxRSABits {
			return nil, fmt.Errorf("an RSA key of %d bits: between %d and %d are allowed", n, minRSABits, maxRSABits)
		}
		if alg == "" {
			alg = RS384
		}
	case *ecdsa.PublicKey:
		if alg == "" {
			alg = map[elliptic.Curve]string{elliptic.P256(): "ES256", elliptic.P384(): ES384, elliptic.P521(): "ES512"}[pub.Curve]
		}
	default:
		return nil, fmt.Errorf("a %T cannot sign SMART assertions", pub)
	}
	var known bool
	if k.alg, known = algorithmNamed(alg); !known {
		return nil, fmt.Errorf("algorithm %q is not supported", clean(alg))
	}
	if !k.alg.fits(signer.Public()) {
		return nil, fmt.Errorf("the key cannot sign with %s", k.alg.name)
	}
	if k.kid == "" {
		k.kid = publicJWK(signer.Public()).Thumbprint()
	}
	return k, nil
}

// GenerateRSAKeyPair makes an RSA key of 3072 bits for RS384. An empty kid means
// the RFC 7638 thumbprint.
func GenerateRSAKeyPair(kid string) (*Key, error) { return GenerateKeyPair(RS384, kid) }

// GenerateECKeyPair makes a P-384 key for ES384. An empty kid means the RFC 7638
// thumbprint.
func GenerateECKeyPair(kid string) (*Key, error) { return GenerateKeyPair(ES384, kid) }

// GenerateKeyPair makes a key for an algorithm of RFC 7518. An empty kid
// means the RFC 7638 thumbprint.
func GenerateKeyPair(alg, kid string) (*Key, error) {
	a, ok := algorithmNamed(alg)
	if !ok {
		return nil, &Error{
			Op: "generate key", Err: fmt.Errorf("algorithm %q is not supported", clean(alg)), kind: lasting,
			hint: "Use RS384 or ES384, which every SMART server accepts.",
		}
	}
	var signer crypto.Signer
	var err error
	if a.curve == nil {
		signer, err = rsa.GenerateKey(rand.Reader, newRSABits)
	} else {
		signer, err = ecdsa.GenerateKey(a.curve, rand.Reader)
	}
	if err != nil {
		return nil, &Error{Op: "generate key", Err: err, kind: lasting}
	}
	return NewKey(signer, alg, kid)
}

// Successor makes a key of the same kind, which signs with the same algorithms: what
// [Keys.Rotate] wants. It is in memory, wherever this one lives. An empty kid means
// the RFC 7638 thumbprint.
func (k *Key) Successor(kid string) (*Key, error) {
	s, err := GenerateKeyPair(k.alg.name, kid)
	if err != nil {
		return nil, err
	}
	s.only = k.only
	return s, nil
}

// ID is the kid: what the server finds the public key by.
func (k *Key) ID() string { return k.kid }

// Algorithm is what the key signs with.
func (k *Key) Algorithm() string { return k.alg.name }

// Public is the public half: an *rsa.PublicKey or *ecdsa.PublicKey.
func (k *Key) Public() crypto.PublicKey { return k.signer.Public() }

// NotBefore is from when on the key signs, and NotAfter until when it is
// published; both are zero without rotation. See [Keys.Rotate].
func (k *Key) NotBefore() time.Time { return k.notBefore }

// NotAfter is until when the key is published; zero means for ever.
func (k *Key) NotAfter() time.Time { return k.notAfter }

// SigningKey implements [KeySource]: the key itself, for the first algorithm
// that it can sign with.
func (k *Key) SigningKey(_ context.Context, _ time.Time, algorithms []string) (*Key, error) {
	if bound := k.bind(algorithms); bound != nil {
		return bound, nil
	}
	return nil, noKeyFor(Keys{k}, algorithms)
}

// bind returns the key for the first of the algorithms that it can sign with, or
// nil.
func (k *Key) bind(algorithms []string) *Key {
	for _, name := range algorithms {
		if name == k.alg.name {
			return k
		}
		if a, ok := algorithmNamed(name); ok && !k.only && a.fits(k.signer.Public()) {
			bound := *k
			bound.alg = a
			return &bound
		}
	}
	return nil
}

// PublicPEM is the public half as a PEM "PUBLIC KEY" block.
func (k *Key) PublicPEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k.signer.Public())
	if err != nil {
		return nil, &Error{Op: "write public key", Err: err, kind: lasting}
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// PrivatePEM is the private key as a PKCS#8 PEM block, unencrypted: write it with
// [SaveKey]. A key that lives in a KMS or an HSM cannot be written.
func (k *Key) PrivatePEM() ([]byte, error) {
	der, err := k.pkcs8()
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func (k *Key) pkcs8() ([]byte, error) {
	switch k.signer.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey:
	default:
		return nil, &Error{
			Op: "write private key", Err: errText("the key lives outside of this program"), kind: lasting,
			hint: "Leave it where it is: a key in a KMS or an HSM is used through its signer.",
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		return nil, &Error{Op: "write private key", Err: err, kind: lasting}
	}
	return der, nil
}

// Format implements fmt.Formatter: the algorithm and the kid.
func (k *Key) Format(f fmt.State, _ rune) {
	if k == nil {
		_, _ = io.WriteString(f, "<nil>")
		return
	}
	_, _ = fmt.Fprintf(f, "%s key %q", k.alg.name, k.kid)
}

// noKeyFor says which algorithms were wanted and which keys are there.
func noKeyFor(have Keys, wanted []string) error {
	var names []string
	for _, k := range have {
		names = append(names, k.alg.name)
	}
	return &Error{
		Op:   "choose key",
		Err:  fmt.Errorf("no key for %s (there is %s)", strings.Join(wanted, ", "), orNone(names)),
		kind: lasting,
		hint: "Register a key of one of those algorithms, or name the algorithm of the key that you have if the server advertises it.",
	}
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
