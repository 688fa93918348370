package smart

import (
	"net"
	"net/url"
	"strings"
)

// Origin is scheme, host and port of a URL in one normal form, as
// "https://ehr.example.org:443".
type Origin string

// OriginOf is the origin of an http(s) URL; "" for any other.
func OriginOf(u *url.URL) Origin {
	if u == nil {
		return ""
	}
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	if host == "" {
		return ""
	}
	if port == "" {
		switch scheme {
		case "https":
			port = "443"
		case "http":
			port = "80"
		}
	}
	if scheme != "https" && scheme != "http" {
		return ""
	}
	return Origin(scheme + "://" + net.JoinHostPort(host, port))
}

// ParseOrigin reads an origin from configuration: a URL without path, query and user
// info.
func ParseOrigin(s string) (Origin, error) {
	u, err := url.Parse(s)
	if err == nil && OriginOf(u) != "" && u.User == nil && (u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == "" {
		return OriginOf(u), nil
	}
	return "", &Error{
		Op: "read origin", Err: errText("it is not an http(s) origin"), kind: lasting,
		hint: "An origin is scheme and host, like https://files.example.org.",
	}
}

// loopback reports whether the host is this machine.
func loopback(host string) bool {
	host = strings.ToLower(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
