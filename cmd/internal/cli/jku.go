package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/flue-fhir/flue/smart"
)

const (
	jkuTimeout = 30 * time.Second
	maxJKU     = 1 << 20
)

// checkJKU fetches the key set that assertions name (P6) as the server would, and
// looks for the key that signs now in it. Nothing secret is sent.
func (z *authorizer) checkJKU(ctx context.Context, jku string) (string, error) {
	key, err := z.signingKey(ctx)
	if err != nil {
		return "", err
	}
	set, age, err := z.fetchJKU(ctx, jku)
	if err != nil {
		return "", err
	}
	keys, err := z.keys.keys()
	if err != nil {
		return "", err
	}
	wanted := smart.Keys{key}
	for _, k := range keys {
		if state, _ := stateOfKey(keys, k, z.now()); state == keyWaits {
			wanted = append(wanted, k) // its time comes without another check
		}
	}
	var kids []string
	for _, want := range wanted {
		if err := z.inSet(set, want.PublicJWK()); err != nil {
			return "", err
		}
		kids = append(kids, want.ID())
	}
	text := "has kid " + strings.Join(kids, " and ")
	if age != "" {
		text += ", Cache-Control " + age
	}
	return text, nil
}

// inSet looks for a key in a published set, by kid and by what it is.
func (z *authorizer) inSet(set smart.JWKS, want smart.JWK) error {
	for _, have := range set.Keys {
		switch {
		case have.Kid != want.Kid:
		case have.Thumbprint() != want.Thumbprint():
			return &jkuError{message: fmt.Sprintf("the set has another key under the kid %s", want.Kid), hint: "publish what 'flue jwks print " + z.server.Name + "' prints"}
		case have.Alg != "" && have.Alg != want.Alg:
			return &jkuError{message: fmt.Sprintf("the set says that the kid %s is for %q, and it signs with %s", want.Kid, have.Alg, want.Alg), hint: "publish what 'flue jwks print " + z.server.Name + "' prints"}
		default:
			return nil
		}
	}
	return &jkuError{message: fmt.Sprintf("the set does not have the kid %s", want.Kid), hint: "publish what 'flue jwks print " + z.server.Name + "' prints, or serve it with 'flue jwks serve'"}
}

// fetchJKU reads a key set, and its Cache-Control.
func (z *authorizer) fetchJKU(ctx context.Context, jku string) (set smart.JWKS, age string, err error) {
	u, err := url.Parse(jku)
	if err != nil {
		return set, "", &jkuError{message: "the URL cannot be read"}
	}
	ctx, cancel := context.WithTimeout(ctx, jkuTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, jku, nil)
	if err != nil {
		return set, "", &jkuError{message: "the URL cannot be read"}
	}
	req.Header.Set("Accept", "application/json")
	client := *z.http
	client.CheckRedirect = redirect
	resp, err := client.Do(req)
	if err != nil {
		return set, "", unanswered(ctx, "get the key set", u, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return set, "", &jkuError{message: fmt.Sprintf("the key set's address answered %d", resp.StatusCode), hint: "check auth.jku, and that the set is there"}
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxJKU+1))
	if err != nil {
		return set, "", requestError(ctx, "read the key set", u, err)
	}
	if len(data) > maxJKU {
		return set, "", &jkuError{message: "what is there is too long for a key set"}
	}
	if set, err = smart.ParseJWKS(data); err != nil {
		return set, "", &jkuError{message: "what is there is no JWK Set: " + reason(err), hint: "the URL must lead to the set itself, without a page or a login before it; its kids must differ"}
	}
	return set, resp.Header.Get("Cache-Control"), nil
}

// reason is what a key set was refused for, without the operation.
func reason(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return err.Error()
}

// jkuError is a published key set that a server could not verify assertions with.
type jkuError struct{ message, hint string }

func (e *jkuError) Error() string { return e.message }
func (e *jkuError) Class() string { return "auth" }
func (e *jkuError) Hint() string  { return e.hint }
