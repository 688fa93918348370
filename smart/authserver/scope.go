package authserver

import (
	"errors"
	"slices"
	"strings"
)

// scope is one scope of the system level.
type scope struct {
	typ     string // or "*"
	letters string // of "cruds"
	query   string
	text    string
}

// parseScope accepts system scopes of version 1 and 2 only.
func parseScope(s string) (scope, error) {
	bad := errors.New("a scope is not of the form system/Type.rs or system/Type.read")
	rest, ok := strings.CutPrefix(s, "system/")
	if !ok || len(s) > 1024 {
		return scope{}, bad
	}
	rest, query, hasQuery := strings.Cut(rest, "?")
	typ, letters, ok := strings.Cut(rest, ".")
	if !ok || hasQuery && query == "" || !typeName(typ) {
		return scope{}, bad
	}
	switch letters {
	case "read":
		letters = "rs"
	case "write":
		letters = "cud"
	case "*":
		letters = "cruds"
	case "":
		return scope{}, bad
	default:
		last := -1
		for _, l := range letters {
			i := strings.IndexRune("cruds", l)
			if i <= last {
				return scope{}, bad
			}
			last = i
		}
	}
	return scope{typ: typ, letters: letters, query: query, text: s}, nil
}

func typeName(s string) bool {
	if s == "*" {
		return true
	}
	for i, r := range s {
		upper, lower := r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z'
		if !upper && (!lower || i == 0) {
			return false
		}
	}
	return s != ""
}

// allows reports whether the scopes permit an operation ('c', 'r', 'u', 'd' or 's')
// on a type. A scope with a query permits nothing by itself: no query is evaluated here.
func allows(have []scope, typ string, letter rune) bool {
	return slices.ContainsFunc(have, func(h scope) bool {
		return h.query == "" && (h.typ == "*" || h.typ == typ) && strings.ContainsRune(h.letters, letter)
	})
}

// decide is which of the requested scopes are granted, for a client that may have those
// in allowed.
func (s *Server) decide(requested string, allowed []string) (granted []string, no *refusal) {
	if allowed == nil {
		allowed = s.Scopes
	}
	if allowed == nil {
		allowed = []string{"system/*.cruds"}
	}
	var may []scope
	for _, a := range allowed {
		if p, err := parseScope(a); err == nil {
			may = append(may, p)
		}
	}
	fields := strings.Split(requested, " ")
	if requested == "" {
		return nil, &refusal{code: "invalid_scope", description: "scope is missing"}
	}
	for _, text := range fields {
		want, err := parseScope(text)
		if err != nil {
			return nil, &refusal{code: "invalid_scope", description: err.Error()}
		}
		if want.typ != "*" && s.KnownType != nil && !s.KnownType(want.typ) {
			return nil, &refusal{code: "invalid_scope", description: "no such resource type: " + want.typ}
		}
		permitted := true
		for _, letter := range want.letters {
			permitted = permitted && allows(may, want.typ, letter)
		}
		switch {
		case permitted:
			granted = append(granted, text)
		case !s.Narrow:
			return nil, &refusal{code: "invalid_scope", description: "the client may not have " + text}
		case want.typ == "*":
			granted = append(granted, expand(want, may)...)
		}
	}
	if len(granted) == 0 {
		return nil, &refusal{code: "invalid_scope", description: "the client may have none of these scopes"}
	}
	return granted, nil
}

// expand narrows a scope for all types to the types that are allowed.
func expand(want scope, may []scope) (granted []string) {
	_, permissions, _ := strings.Cut(strings.TrimPrefix(want.text, "system/"), ".")
	for _, m := range may {
		permitted := m.typ != "*" && want.query == ""
		for _, letter := range want.letters {
			permitted = permitted && allows(may, m.typ, letter)
		}
		if text := "system/" + m.typ + "." + permissions; permitted && !slices.Contains(granted, text) {
			granted = append(granted, text)
		}
	}
	return granted
}
