package config

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/internal/definition"
)

var (
	nameForm    = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	idForm      = regexp.MustCompile(`^[A-Za-z0-9._-]{1,256}$`)
	elementForm = regexp.MustCompile(`^([A-Z][A-Za-z]+\.)?[a-z][A-Za-z0-9]*$`)
	headerForm  = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+.^_|~-]+$`)
	includeForm = regexp.MustCompile(`^[A-Z][A-Za-z]+:(\*|[a-z][A-Za-z0-9_-]*)(:[A-Z][A-Za-z]+)?$`)
	filterForm  = regexp.MustCompile(`^([A-Z][A-Za-z]+)\?(\S.*)$`)
	scopeForm   = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]+$`)
	secretForm  = regexp.MustCompile(`^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$`)
)

func validName(s string) (wrong, hint string) {
	if nameForm.MatchString(s) {
		return "", ""
	}
	return "is no name that can be a folder's", "use lower-case letters, digits, - and _, at most 63"
}

// resourceType is the name of an R4 resource type.
func resourceType() kind[string] {
	k := text("resource type", "", func(s string) (string, string) { return validType(s) })
	k.schema = func() schema { return orEnvironment(schema{"enum": definition.Resources()}) }
	return k
}

func validType(s string) (wrong, hint string) {
	all := definition.Resources()
	if slices.Contains(all, s) {
		return "", ""
	}
	hint = "see https://hl7.org/fhir/R4/resourcelist.html"
	if near := closest(s, slices.Values(all)); near != "" {
		hint = "did you mean " + near + "?"
	}
	return "unknown resource type \"" + shorten(s) + "\"", hint
}

func elementName() kind[string] {
	return text("element", "", func(s string) (string, string) {
		if !elementForm.MatchString(s) {
			return "is not an element's name", "write a top-level element, with its type or without: Patient.name, birthDate"
		}
		typ, _, typed := strings.Cut(s, ".")
		if !typed {
			return "", ""
		}
		return validType(typ)
	})
}

func typeFilter() kind[string] {
	return text("filter", "", func(s string) (string, string) {
		m := filterForm.FindStringSubmatch(s)
		if m == nil {
			return "is not a filter", "write a type, a question mark and a search, unencoded: Condition?clinical-status=active"
		}
		return validType(m[1])
	})
}

func includeValue() kind[string] {
	return text("include", "", func(s string) (string, string) {
		if !includeForm.MatchString(s) {
			return "is not an _include value", "write a type and a search parameter: Patient:organization"
		}
		typ, _, _ := strings.Cut(s, ":")
		return validType(typ)
	})
}

// baseURL is the service base of a FHIR server.
func baseURL() kind[string] {
	return text("URL", "", func(s string) (string, string) {
		u, wrong := parseURL(s)
		switch {
		case wrong != "":
			return wrong, "write the service base URL: https://fhir.example.org/r4"
		case u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#"):
			return "URL has a query or a fragment", "write the service base URL alone"
		}
		return "", ""
	})
}

// endpointURL is the URL of one endpoint.
func endpointURL() kind[string] {
	return text("URL", "", func(s string) (string, string) {
		_, wrong := parseURL(s)
		return wrong, "write the whole URL, with https://"
	})
}

// origin is a scheme, a host and perhaps a port.
func origin() kind[string] {
	return text("origin", "", func(s string) (string, string) {
		u, wrong := parseURL(s)
		if wrong == "" && (strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || strings.Contains(s, "#")) {
			wrong = "origin has a path"
		}
		return wrong, "write scheme, host and perhaps port: https://files.example.org"
	})
}

// parseURL says what is wrong with a URL without repeating any of it.
func parseURL(s string) (u *url.URL, wrong string) {
	u, err := url.Parse(s)
	switch {
	case err != nil || strings.ContainsAny(s, " \t\r\n"):
		return &url.URL{}, "is not a URL"
	case u.Scheme != "https" && u.Scheme != "http":
		return u, "URL is neither https nor http"
	case u.Hostname() == "":
		return u, "URL has no host"
	case u.User != nil:
		return u, "URL holds a user name or password"
	}
	return u, ""
}

// loopback reports whether the host of a URL is this machine.
func loopback(u *url.URL) bool {
	host := u.Hostname()
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// secret is a reference to a secret, never the secret itself.
func secret() kind[string] {
	k := identifier("secret reference", true, matching(secretForm,
		"is not a reference to a secret",
		"keep the secret out of this file: env:NAME or file:PATH"))
	k.schema = func() schema { return schema{"type": "string", "pattern": secretForm.String()} }
	return k
}

// privateKey is a reference to a key, or the key itself.
func privateKey() kind[string] {
	k := identifier("key reference", true, func(s string) (string, string) {
		trimmed := strings.TrimSpace(s)
		if secretForm.MatchString(s) || strings.HasPrefix(trimmed, "-----BEGIN ") || strings.HasPrefix(trimmed, "{") {
			return "", ""
		}
		return "is neither a reference nor a key", "write file:PATH or env:NAME, or the PEM or JWK itself"
	})
	k.schema = func() schema { return schema{"type": "string", "minLength": 1} }
	return k
}

func headerValue() kind[string] {
	return identifier("text", true, func(s string) (string, string) {
		switch {
		case (strings.HasPrefix(s, "env:") || strings.HasPrefix(s, "file:")) && !secretForm.MatchString(s):
			return "is not a reference to a secret", "write env:NAME or file:PATH"
		case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return "holds control characters", ""
		}
		return "", ""
	})
}

func validHeader(s string) (wrong, hint string) {
	switch strings.ToLower(s) {
	case "authorization":
		return "is set by auth", "describe the server's authentication under auth"
	case "accept", "accept-encoding", "content-type", "content-length", "host", "if-range", "prefer", "range", "connection", "transfer-encoding":
		return "is set by flue itself", "remove it"
	}
	if headerForm.MatchString(s) {
		return "", ""
	}
	return "is not a header's name", ""
}

// localPath is a path on this machine.
func localPath() kind[string] {
	return text("path", "", func(s string) (string, string) {
		if scheme, _, is := strings.Cut(s, "://"); is {
			return scheme + ": is not a local folder", "snapshots and state go to local folders"
		}
		return "", ""
	})
}
