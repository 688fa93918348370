package smart

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxKeyData bounds the bytes of key data; maxOneKey those of one key in it, of which
// the largest RSA key takes some 5,000 as DER and 7,000 as a JWK: arithmetic with larger
// numbers would take very long.
const (
	maxKeyData = 256 << 10
	maxOneKey  = 16 << 10
)

// ParseKey reads one private key: a PEM block (PKCS#1, PKCS#8 or SEC 1), a JWK, or
// one of a JWK Set.
//
// With PEM, kid names the key, and an empty kid means its RFC 7638 thumbprint. With
// a JWK it must equal the key's own kid, if both are there. In a set, kid chooses;
// without it the first private key whose key_ops has "sign" is taken, else the first
// private key. A public or an encrypted key is refused with a hint.
func ParseKey(data []byte, kid string) (*Key, error) {
	keys, err := parseKeys(data, kid)
	if err != nil {
		return nil, keyError("", err)
	}
	return keys[0], nil
}

// ParseKeys reads all private keys of a JWK Set, or the one of a PEM block or a JWK.
// Public keys in the set are passed over.
func ParseKeys(data []byte) (Keys, error) {
	keys, err := parseKeys(data, "")
	if err != nil {
		return nil, keyError("", err)
	}
	return keys, nil
}

// keyFault is a refusal of key data with what to do about it. In a set such a key is passed
// over; data that is broken is not.
type keyFault struct {
	text, hint string
	public     bool // it is a public key
}

func (f *keyFault) Error() string { return f.text }

const keyHint = "Give a private key as PEM (PKCS#8, PKCS#1 or SEC 1), JWK or JWK Set."

func keyError(path string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		if e.Where == "" {
			e.Where = path
		}
		return e
	}
	hint := keyHint
	if f, ok := errors.AsType[*keyFault](err); ok && f.hint != "" {
		hint = f.hint
	}
	return &Error{Op: "load key", Where: path, Err: err, kind: lasting, hint: hint}
}

// parseKeys returns at least one key; the one to prefer comes first when kid is
// empty, and the one named is alone when it is not.
func parseKeys(data []byte, kid string) (Keys, error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	switch {
	case len(data) > maxKeyData:
		return nil, fmt.Errorf("it has more than %d bytes", maxKeyData)
	case len(data) == 0:
		return nil, errText("it is empty")
	case data[0] == '{':
		return parseJSONKeys(data, kid)
	}
	signer, err := parsePEM(unescaped(data))
	if err != nil {
		return nil, err
	}
	k, err := newKey(signer, "", kid)
	if err != nil {
		return nil, err
	}
	return Keys{k}, nil
}

// unescaped is PEM whose line breaks are written as \n, as environment files and the
// secrets of build systems have them.
func unescaped(data []byte) []byte {
	if !bytes.HasPrefix(data, []byte("-----BEGIN")) || bytes.Contains(data, []byte("\n")) {
		return data
	}
	return bytes.ReplaceAll(data, []byte(`\n`), []byte("\n"))
}

func parsePEM(data []byte) (crypto.Signer, error) {
	var public bool
	begins := bytes.Contains(data, []byte("-----BEGIN"))
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			break
		}
		if strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") || block.Type == "ENCRYPTED PRIVATE KEY" {
			return nil, &keyFault{
				text: "the private key is encrypted with a passphrase",
				hint: "Decrypt it once (openssl pkey -in key.pem -out plain.pem; chmod 600 plain.pem) or keep it in a KMS.",
			}
		}
		if len(block.Bytes) > maxOneKey {
			return nil, fmt.Errorf("a PEM block of more than %d bytes", maxOneKey)
		}
		switch block.Type {
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, errText("its PKCS#8 data cannot be read")
			}
			signer, ok := key.(crypto.Signer)
			if !ok {
				return nil, errText("its kind of key cannot sign")
			}
			return signer, nil
		case "RSA PRIVATE KEY":
			key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			if err != nil {
				return nil, errText("its PKCS#1 data cannot be read")
			}
			return key, nil
		case "EC PRIVATE KEY":
			key, err := x509.ParseECPrivateKey(block.Bytes)
			if err != nil {
				return nil, errText("its SEC 1 data cannot be read")
			}
			return key, nil
		case "OPENSSH PRIVATE KEY":
			return nil, &keyFault{
				text: "it is an OpenSSH key",
				hint: "Make a new key pair for this client, or convert a copy of this one: ssh-keygen -p -m PKCS8 -f key.",
			}
		case "PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE", "CERTIFICATE REQUEST":
			public = true
		}
	}
	if public {
		return nil, publicGiven()
	}
	if begins {
		return nil, &keyFault{
			text: "its PEM is broken or cut off",
			hint: "Give it whole, from the line with BEGIN to the one with END, with its line breaks.",
		}
	}
	return nil, errText("it is neither PEM nor JSON")
}

func publicGiven() error {
	return &keyFault{
		text: "it is a public key, which cannot sign", public: true,
		hint: "Give the private half here, and register the public half with the server.",
	}
}

func parseJSONKeys(data []byte, kid string) (Keys, error) {
	var set struct {
		Kty  string            `json:"kty"`
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, jsonCause(err)
	}
	if set.Keys == nil {
		k, _, err := parseJWK(data)
		if err != nil {
			return nil, err
		}
		if kid != "" && k.kid != kid {
			if !namesNoKid(data) {
				return nil, &keyFault{
					text: fmt.Sprintf("the JWK's kid is %q and not %q", clean(k.kid), clean(kid)),
					hint: "Leave the key id of the configuration empty, or use the kid that the server knows in both places.",
				}
			}
			k.kid = kid
		}
		return Keys{k}, nil
	}
	return parseSet(set.Keys, kid)
}

func namesNoKid(data []byte) bool {
	var f rawJWK
	return json.Unmarshal(data, &f) == nil && f.Kid == ""
}

// parseSet reads the private keys of a set. Keys that cannot sign assertions are passed
// over, and of those that a kid does not name broken ones as well: sets are shared.
func parseSet(raw []json.RawMessage, kid string) (Keys, error) {
	var keys, signing Keys
	var kids []string
	var passed error // the first private key that was passed over
	public := false
	for i, one := range raw {
		k, facts, err := parseJWK(one)
		fault, unfit := errors.AsType[*keyFault](err)
		switch {
		case unfit && fault.public:
			public = true
			continue
		case err != nil:
			err = fmt.Errorf("key %d of the set: %w", i+1, err)
			if !unfit && kid == "" || kid != "" && facts.Kid == kid {
				return nil, err
			}
			if passed == nil {
				passed = err
			}
			continue
		case kid != "" && k.kid != kid:
			kids = append(kids, k.kid)
			continue
		case keys.Find(k.kid) != nil || signing.Find(k.kid) != nil:
			return nil, fmt.Errorf("kid %q occurs twice among the private keys of the set", clean(k.kid))
		}
		if slices.Contains(facts.KeyOps, "sign") {
			signing = append(signing, k)
		} else {
			keys = append(keys, k)
		}
	}
	keys = append(signing, keys...)
	switch {
	case len(keys) > 0:
		return keys, nil
	case len(kids) > 0:
		return nil, &keyFault{
			text: fmt.Sprintf("the set has no private key with kid %q", clean(kid)),
			hint: "The kids of its private keys are: " + clean(strings.Join(kids, ", ")) + ".",
		}
	case passed != nil:
		return nil, passed
	case public:
		return nil, publicGiven()
	}
	return nil, errText("the set has no private key")
}
