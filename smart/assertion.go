package smart

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// assertionLifetime is short of what servers allow by as much as clocks may
	// differ (F1).
	assertionLifetime    = 4 * time.Minute
	maxAssertionLifetime = 5 * time.Minute // P7
)

// Assertion signs an authentication JWT (P6, P7) as Token sends it, and discovers the
// token URL where needed. Each one is good for a single use (P8). It is a secret until
// it has expired.
func (c *Client) Assertion(ctx context.Context) (Secret, error) {
	tokenURL, conf, err := c.signingEndpoint(ctx)
	if err != nil {
		return "", err
	}
	_, signed, err := c.signed(ctx, tokenURL, conf, c.Skew())
	return signed, err
}

// SigningKey is the key that the next assertion is signed with, for the algorithm that it
// is signed with (P5). The server is asked for its algorithms as Token does.
func (c *Client) SigningKey(ctx context.Context) (*Key, error) {
	_, conf, err := c.signingEndpoint(ctx)
	if err != nil {
		return nil, err
	}
	return c.key(ctx, conf)
}

// signingEndpoint is endpoint for clients that sign.
func (c *Client) signingEndpoint(ctx context.Context) (tokenURL string, conf *Configuration, err error) {
	if err := c.check(); err != nil {
		return "", nil, err
	}
	if c.Keys == nil {
		return "", nil, &Error{
			Op: "sign assertion", Err: errText("this client has a secret instead of a key"), kind: lasting,
			hint: "Assertions are for clients that registered a public key.",
		}
	}
	return c.endpoint(ctx)
}

// signed makes an assertion. Neither a signer that lives elsewhere (a KMS) nor the disk
// that a key file is on knows of contexts: when ctx ends first, they are left to end by
// themselves, and what they give is dropped. key is nil when none was found in time.
func (c *Client) signed(ctx context.Context, tokenURL string, conf *Configuration, skew time.Duration) (key *Key, assertion Secret, err error) {
	type result struct {
		key       *Key
		assertion Secret
		err       error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		if r.key, r.err = c.key(ctx, conf); r.err == nil {
			r.assertion, r.err = c.sign(r.key, tokenURL, skew)
		}
		done <- r
	}()
	select {
	case r := <-done:
		return r.key, r.assertion, r.err
	case <-ctx.Done():
		return nil, "", &Error{Op: "sign assertion", Err: context.Cause(ctx)}
	}
}

// key asks for the key to sign with now (F12).
func (c *Client) key(ctx context.Context, conf *Configuration) (*Key, error) {
	algs, err := algorithms(c.Algorithm, conf)
	if err != nil {
		return nil, err
	}
	key, err := c.Keys.SigningKey(ctx, c.now(), algs)
	if err != nil {
		return nil, asError("choose key", err)
	}
	return key, nil
}

// sign makes one assertion for the token URL by the server's clock, which is ahead by
// skew.
func (c *Client) sign(key *Key, tokenURL string, skew time.Duration) (Secret, error) {
	lifetime := c.Lifetime
	if lifetime == 0 {
		lifetime = assertionLifetime
	}
	token := jwt.NewWithClaims(key.alg, jwt.MapClaims{
		"iss": c.ClientID,
		"sub": c.ClientID,
		"aud": tokenURL, // a string: an array fails at real servers
		"exp": c.now().Add(skew + lifetime).Unix(),
		"jti": rand.Text(),
	})
	token.Header["kid"] = key.kid
	if c.JKU != "" {
		token.Header["jku"] = c.JKU
	}
	signed, err := token.SignedString(key.signer)
	if err != nil {
		return "", &Error{
			Op: "sign assertion", Err: err,
			hint: "The key could not sign. If it lives in a KMS or an HSM, check that this program may use it.",
		}
	}
	return Secret(signed), nil
}

func auto(algorithm string) bool { return algorithm == "" || algorithm == "auto" }

// algorithms are those to sign with, in order of preference (P5); conf is nil when
// nothing was discovered.
func algorithms(named string, conf *Configuration) ([]string, error) {
	var advertised []string
	if conf != nil {
		advertised = conf.SigningAlgorithms
	}
	fail := func(err error, hint string) ([]string, error) {
		return nil, &Error{Op: "choose algorithm", Err: err, kind: lasting, hint: hint}
	}
	switch {
	case auto(named) && len(advertised) == 0:
		return []string{RS384, ES384}, nil
	case auto(named):
		algs := slices.DeleteFunc(slices.Clone(advertised), func(a string) bool { return !required(a) })
		if len(algs) == 0 {
			return fail(fmt.Errorf("the server advertises %s, and neither RS384 nor ES384", clean(strings.Join(advertised, ", "))),
				"Name the algorithm: one that the server advertises and that the registered key can sign with, or RS384 if the server takes it all the same.")
		}
		return algs, nil
	case required(named): // a SHALL for servers, whatever they advertise
		return []string{named}, nil
	}
	if _, ok := algorithmNamed(named); !ok {
		return fail(fmt.Errorf("algorithm %q is not supported", clean(named)), "Use auto, RS384 or ES384.")
	}
	if !slices.Contains(advertised, named) {
		return fail(fmt.Errorf("the server does not advertise %s", named), "Use auto, RS384 or ES384, which every SMART server accepts.")
	}
	return []string{named}, nil
}

// DecodeAssertion returns the header and the claims of a JWT as JSON, for people to
// look at. Nothing is verified.
func DecodeAssertion(assertion Secret) (header, claims json.RawMessage, err error) {
	fail := func(what string) (json.RawMessage, json.RawMessage, error) {
		return nil, nil, &Error{Op: "decode assertion", Err: errText(what), kind: lasting, hint: "A JWT is three base64url parts joined by dots."}
	}
	const limit = 64 << 10
	parts := strings.Split(strings.TrimSpace(string(assertion[:min(len(assertion), limit+1)])), ".")
	if len(assertion) > limit || len(parts) != 3 {
		return fail("it does not have three parts")
	}
	var out [2]json.RawMessage
	for i := range out {
		data, err := jwt.NewParser().DecodeSegment(parts[i])
		if err != nil || !json.Valid(data) {
			return fail("its header or claims are not base64url of JSON")
		}
		out[i] = data
	}
	return out[0], out[1], nil
}
