package smart

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"math/big"
)

// privateJWK is the whole key for a private set.
type privateJWK struct {
	JWK
	D      string   `json:"d"`
	P      string   `json:"p,omitempty"`
	Q      string   `json:"q,omitempty"`
	Dp     string   `json:"dp,omitempty"`
	Dq     string   `json:"dq,omitempty"`
	Qi     string   `json:"qi,omitempty"`
	KeyOps []string `json:"key_ops,omitempty"`
	Nbf    int64    `json:"nbf,omitempty"`
	Exp    int64    `json:"exp,omitempty"`
}

// PrivateJWKS writes the keys with their private members and their times as a JWK
// Set, which [ParseKeys] reads. Write it with [SaveKeys]; never publish it: that is
// what [Keys.JWKS] is for.
func (ks Keys) PrivateJWKS() ([]byte, error) {
	set := struct {
		Keys []privateJWK `json:"keys"`
	}{Keys: []privateJWK{}}
	seen := map[string]bool{}
	for _, k := range ks {
		if seen[k.kid] { // P2
			return nil, kidTwice("write private keys", k.kid)
		}
		seen[k.kid] = true
		p := privateJWK{JWK: k.PublicJWK(), KeyOps: []string{"sign"}}
		p.Use = "" // RFC 7517 4.3: not beside key_ops
		if !k.only {
			p.Alg = ""
		}
		if !k.notBefore.IsZero() {
			p.Nbf = k.notBefore.Unix()
		}
		if !k.notAfter.IsZero() {
			p.Exp = k.notAfter.Unix()
		}
		switch key := k.signer.(type) {
		case *rsa.PrivateKey:
			if len(key.Primes) != 2 {
				return nil, &Error{Op: "write private keys", Err: errText("an RSA key of more than two primes"), kind: lasting}
			}
			key.Precompute()
			p.D, p.P, p.Q = b64(key.D), b64(key.Primes[0]), b64(key.Primes[1])
			p.Dp, p.Dq, p.Qi = b64(key.Precomputed.Dp), b64(key.Precomputed.Dq), b64(key.Precomputed.Qinv)
		case *ecdsa.PrivateKey:
			d, err := key.Bytes()
			if err != nil {
				return nil, &Error{Op: "write private keys", Err: err, kind: lasting}
			}
			p.D = b64bytes(d)
		default:
			_, err := k.pkcs8()
			return nil, err
		}
		set.Keys = append(set.Keys, p)
	}
	data, err := json.MarshalIndent(set, "", "  ")
	if err != nil {
		return nil, &Error{Op: "write private keys", Err: err, kind: lasting}
	}
	return append(data, '\n'), nil
}

func b64(n *big.Int) string { return b64bytes(n.Bytes()) }
