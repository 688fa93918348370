package smart

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// hint says what a person can do about a failed token request. A difference of clocks is
// told beside it: it may be the cause, and may not.
func (c *Client) hint(e *Error, a *answer, key *Key, tokenURL string) string {
	text := c.advice(e, a, key, tokenURL)
	if e.Skew == 0 {
		return text
	}
	return fmt.Sprintf("%s Besides, the server's clock is %s this machine's: set the clock (NTP); an assertion signed by the server's clock was refused, too.", text, describeSkew(e.Skew))
}

func (c *Client) advice(e *Error, a *answer, key *Key, tokenURL string) string {
	said := strings.ToLower(e.Description)
	says := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(said, w) {
				return true
			}
		}
		return false
	}
	switch {
	case e.kind == passing:
		return "The authorization server is overloaded or down. Run again later."
	case a.status >= 300 && a.status < 400:
		return "Set the token URL to the address that the server redirects to, if you trust it, and register nothing with the old one."
	case e.Code == "" && WantsTLS(a.status, a.body):
		return "The server wants https at that port: use https in the URL."
	case a.html() && e.Code == "":
		return "A web page came instead of JSON, often a login page or a proxy's: check that the token URL is the token endpoint and not the authorize endpoint or a portal."
	case a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed || a.status == http.StatusGone:
		return "There is no token endpoint at that URL: check the token URL, or leave it empty to have it discovered."
	case e.Code == "invalid_scope":
		return "Asked for were: " + listScopes(c.Scopes) + ". Have these approved where the client is registered, or set the scopes that are."
	case e.Code == "unsupported_grant_type":
		return "The server does not offer the client_credentials grant there: check that it supports backend services and that the token URL is the right one."
	case e.kind != rejected:
		return "The token endpoint's answer is not one of RFC 6749: check that the token URL is the right one."
	case key == nil:
		return "Check client id and secret, and whether the server wants the secret in the header (Basic) or in the body."
	case says("aud"):
		return "The server expects another audience than " + place(tokenURL) + ": set the token URL to exactly what the server documents, slashes and host name included."
	case says("kid", "jwks", "jwk", "public key", "key not found", "no key", "jku", "signature", "verify"):
		return registerHint(key)
	case says("jti", "replay", "already used"):
		return "The server has seen the assertion's jti before. If a proxy repeats requests to the token endpoint, stop it."
	case says("expired", "exp ", "iat", "nbf", "not yet valid", "clock"):
		return "The server finds the assertion's time wrong: set this machine's clock (NTP)."
	case says("iss", "sub") && !says("issue"):
		return "Check the client id: the server knows no client by that id, or registered another for this key."
	case e.Code == "unauthorized_client":
		return "The client is registered but not allowed to use backend services: enable the client_credentials grant where it is registered."
	default:
		return "Check the client id. " + registerHint(key) + " A new registration can take hours to reach the server."
	}
}

// WantsTLS recognizes what web servers (Go, nginx, Apache, Tomcat) answer to plain http on a TLS
// port. The first 4 KiB of the body are looked at.
func WantsTLS(status int, body []byte) bool {
	text := strings.ToLower(string(body[:min(len(body), 4096)]))
	for _, said := range []string{"http request to an https server", "plain http request was sent to https port", "speaking plain http to an ssl", "requires tls"} {
		if status == http.StatusBadRequest && strings.Contains(text, said) {
			return true
		}
	}
	return false
}

// registerHint names the key that the server has to know.
func registerHint(key *Key) string {
	return fmt.Sprintf("Register the public key with kid %q (%s): the server must find it in the JWK Set or at the JWKS URL that the client is registered with.", key.kid, key.alg.name)
}

func describeSkew(d time.Duration) string {
	if d > 0 {
		return d.String() + " ahead of"
	}
	return (-d).String() + " behind"
}
