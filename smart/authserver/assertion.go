package authserver

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const maxAhead = 5 * time.Minute // of exp

// refusal is why a token request is not granted, as RFC 6749 5.2 says it.
type refusal struct {
	code, description string
	status            int // 0 means 400
}

func (r *refusal) Error() string { return r.code + ": " + r.description }

func notClient(description string) *refusal {
	return &refusal{code: "invalid_client", description: description, status: 401}
}

// verify authenticates a client by its assertion: every rule of SMART's "Client
// Authentication: Asymmetric" and of RFC 7523 section 3.
func (s *Server) verify(ctx context.Context, assertion, tokenURL string, now time.Time) (*client, *refusal) {
	if strings.Count(assertion, ".") != 2 || len(assertion) > 16<<10 {
		return nil, notClient("client_assertion is not a JWT")
	}
	parser := jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithJSONNumber(), jwt.WithoutClaimsValidation())
	claims := jwt.MapClaims{}
	unverified, _, err := parser.ParseUnverified(assertion, claims)
	if err != nil {
		return nil, notClient("client_assertion is not a JWT")
	}
	header := unverified.Header
	alg, _ := header["alg"].(string)
	kid, _ := header["kid"].(string)
	switch {
	case header["typ"] != "JWT":
		return nil, notClient("the header's typ is not JWT")
	case !slices.Contains(s.algorithms(), alg):
		return nil, notClient("the header's alg is not one of " + strings.Join(s.algorithms(), ", "))
	case kid == "":
		return nil, notClient("the header has no kid")
	case header["crit"] != nil:
		return nil, notClient("the header has critical extensions")
	}
	iss, _ := claims["iss"].(string)
	sub, _ := claims["sub"].(string)
	if iss == "" || iss != sub {
		return nil, notClient("iss and sub are not both the client id")
	}
	reg := s.client(iss)
	if reg == nil {
		return nil, notClient("no client is registered with that id (iss)")
	}
	if jku, has := header["jku"]; has && (reg.JWKSURL == "" || jku != reg.JWKSURL) {
		return nil, notClient("jku is not the registered JWKS URL")
	}
	key, err := reg.key(ctx, s.HTTP, now, kid)
	if err != nil {
		return nil, notClient(err.Error())
	}
	if key.Algorithm != "" && key.Algorithm != alg {
		return nil, notClient("the key with that kid is registered for another alg")
	}
	if pub, ok := key.Key.(*ecdsa.PublicKey); ok && strings.HasPrefix(alg, "ES") &&
		map[string]int{"ES256": 256, "ES384": 384, "ES512": 521}[alg] != pub.Params().BitSize {
		return nil, notClient("the key with that kid is of another curve than alg")
	}
	checked, err := jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithJSONNumber(), jwt.WithoutClaimsValidation(), jwt.WithValidMethods(s.algorithms())).
		Parse(assertion, func(*jwt.Token) (any, error) { return key.Key, nil })
	if err != nil || !checked.Valid {
		return nil, notClient("the signature does not verify with the registered key of that kid")
	}
	exp, err := s.checkTimes(claims, now)
	if err != nil {
		return nil, notClient(err.Error())
	}
	if aud, ok := claims["aud"].(string); !ok || aud != tokenURL {
		return nil, notClient("aud is not the token endpoint's URL as a string: " + tokenURL)
	}
	jti, ok := claims["jti"].(string)
	if !ok || jti == "" || len(jti) > 256 {
		return nil, notClient("jti is not a string of 1 to 256 bytes")
	}
	return reg, s.remember(iss, jti, exp, now)
}

// checkTimes requires exp and believes iat and nbf where they are.
func (s *Server) checkTimes(claims jwt.MapClaims, now time.Time) (exp time.Time, err error) {
	exp, err = integer(claims, "exp")
	switch {
	case err != nil:
		return exp, err
	case exp.IsZero():
		return exp, errors.New("exp is missing")
	case !now.Before(exp.Add(s.leeway())):
		return exp, errors.New("the assertion has expired (exp)")
	case exp.Sub(now) > maxAhead+s.leeway():
		return exp, errors.New("exp is more than 5 minutes ahead")
	}
	for _, name := range []string{"iat", "nbf"} {
		t, err := integer(claims, name)
		if err != nil {
			return exp, err
		}
		if t.After(now.Add(s.leeway())) {
			return exp, errors.New(name + " is in the future")
		}
	}
	return exp, nil
}

// integer reads a claim that is a whole number of seconds; zero when it is absent.
func integer(claims jwt.MapClaims, name string) (time.Time, error) {
	v, has := claims[name]
	if !has {
		return time.Time{}, nil
	}
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, errors.New(name + " is not a number")
	}
	seconds, err := n.Int64()
	if err != nil || seconds <= 0 || seconds > 1<<40 {
		return time.Time{}, errors.New(name + " is not an integer of seconds since 1970")
	}
	return time.Unix(seconds, 0), nil
}

// remember refuses a jti that this client has used before and whose assertion has not
// expired.
func (s *Server) remember(iss, jti string, exp, now time.Time) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := iss + "\x00" + jti
	if _, seen := s.jtis.get(key, now); seen {
		return notClient("the assertion's jti was used before")
	}
	if !s.jtis.put(key, struct{}{}, exp.Add(s.leeway()), now, s.maxEntries()) {
		return &refusal{code: "temporarily_unavailable", description: "too many assertions", status: 503}
	}
	return nil
}
