package fhirhttp

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Policy says which URLs a server may send the client to (F32). Tokens are no
// matter of it: the transport gives them to the allowed origins only.
type Policy struct {
	Base      *url.URL // the server; may be nil
	AllowHTTP bool     // plain http for hosts other than loopback (P10)
}

// PolicyError is a URL that is not followed. It does not hold the URL.
type PolicyError struct {
	Reason string
	hint   string
}

func (e *PolicyError) Error() string { return "URL refused: " + e.Reason }

// Class says which exit code the error leads to.
func (e *PolicyError) Class() string { return "server" }

// Hint says what a person can do.
func (e *PolicyError) Hint() string { return e.hint }

// Resolve reads a URL that a server sent, absolute or relative to from (F14,
// F28), and checks it. A link to the server itself over plain http, as servers
// behind a TLS proxy write them, is followed over https; upgraded says so.
func (p Policy) Resolve(from *url.URL, ref string) (u *url.URL, upgraded bool, err error) {
	ref = strings.TrimSpace(ref)
	if ref == "" {
		return nil, false, &PolicyError{Reason: "it is empty"}
	}
	for _, r := range ref {
		if r < 0x20 || r == 0x7f {
			return nil, false, &PolicyError{Reason: "it has control characters"}
		}
	}
	u, err = url.Parse(strings.ReplaceAll(ref, " ", "%20"))
	if err != nil {
		return nil, false, &PolicyError{Reason: "it cannot be read"}
	}
	if from != nil {
		u = from.ResolveReference(u)
	}
	u.Fragment, u.RawFragment = "", ""
	if b := p.Base; b != nil && b.Scheme == "https" && u.Scheme == "http" &&
		strings.EqualFold(u.Hostname(), b.Hostname()) && (u.Port() == "" || u.Port() == "80" || u.Port() == b.Port()) {
		u.Scheme, u.Host, upgraded = "https", b.Host, true
	}
	return u, upgraded, p.Check(u)
}

// Check reports why a URL is not followed.
func (p Policy) Check(u *url.URL) error {
	host := u.Hostname()
	switch {
	case u.Opaque != "" || host == "":
		return &PolicyError{Reason: "it has no host"}
	case u.User != nil:
		return &PolicyError{Reason: "it has a user name in it"}
	case u.Scheme != "https" && u.Scheme != "http":
		return &PolicyError{Reason: "its scheme is neither https nor http"}
	case u.Scheme == "http" && !p.AllowHTTP && !loopback(host):
		return &PolicyError{
			Reason: "it is plain http",
			hint:   "have the server send https links (its base address setting), or set allow_http for the server",
		}
	}
	if p.Base == nil || strings.EqualFold(host, p.Base.Hostname()) {
		return nil
	}
	if own := p.Base.Hostname(); !loopback(own) && (loopback(host) || private(host)) {
		return &PolicyError{
			Reason: "it points at this machine",
			hint:   "the server's base address setting is wrong: its links must be those that clients can reach",
		}
	}
	return nil
}

// Redirect is the CheckRedirect of every client: at most ten hops, never from
// https to http, no Authorization and no Referer, which would hold the query,
// for another origin (F42, F44).
func (p Policy) Redirect(req *http.Request, via []*http.Request) error {
	req.Header.Del("Referer")
	if len(via) >= 10 {
		return &PolicyError{Reason: "more than ten redirects"}
	}
	if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return &PolicyError{Reason: "redirected from https to http"}
	}
	for _, v := range via {
		if !SameOrigin(v.URL, req.URL) {
			for _, h := range []string{"Authorization", "Cookie", "Proxy-Authorization"} {
				req.Header.Del(h)
			}
		}
	}
	return p.Check(req.URL)
}

// SameOrigin compares scheme, host and port.
func SameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if strings.EqualFold(u.Scheme, "https") {
		return "443"
	}
	return "80"
}

func loopback(host string) bool {
	if h := strings.ToLower(strings.TrimSuffix(host, ".")); h == "localhost" || strings.HasSuffix(h, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// private reports addresses that no server means: the unspecified one and the
// link-local ones, where clouds keep their machines' credentials.
func private(host string) bool {
	if i := strings.IndexByte(host, '%'); i >= 0 {
		host = host[:i]
	}
	ip := net.ParseIP(host)
	return ip != nil && (ip.IsUnspecified() || ip.IsLinkLocalUnicast() || ip.IsMulticast())
}
