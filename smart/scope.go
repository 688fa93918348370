package smart

import (
	"fmt"
	"slices"
	"strings"
)

// Scope is one SMART scope for FHIR resources, or any other scope as opaque text.
type Scope struct {
	// Context is "system", "user" or "patient"; "" for a scope of another kind, of
	// which only Text is set.
	Context string
	// Type is a resource type or "*".
	Type string
	// Letters are the permissions in the order "cruds", those of version 1 included
	// (read is rs, write is cud).
	Letters string
	// Query limits the scope to resources that match ("category=laboratory").
	Query string
	// Text is the scope as it was written.
	Text string
}

const allLetters = "cruds"

// ParseScope reads one scope. What looks like a resource scope and is not well
// formed is an error; any other token of RFC 6749 3.3 is opaque.
func ParseScope(s string) (Scope, error) {
	if s == "" || len(s) > 4096 {
		return Scope{}, scopeError(s, "it is empty or too long")
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return Scope{}, scopeError(s, "it has a character that RFC 6749 does not allow")
		}
	}
	context, rest, ok := strings.Cut(s, "/")
	if !ok || context != "system" && context != "user" && context != "patient" {
		return Scope{Text: s}, nil
	}
	rest, query, hasQuery := strings.Cut(rest, "?")
	typ, permissions, ok := strings.Cut(rest, ".")
	switch {
	case !ok:
		return Scope{}, scopeError(s, "it has no permissions after the type")
	case !isType(typ):
		return Scope{}, scopeError(s, "its resource type is not one")
	case hasQuery && query == "":
		return Scope{}, scopeError(s, "its query is empty")
	}
	letters := permissions
	switch permissions {
	case "read":
		letters = "rs"
	case "write":
		letters = "cud"
	case "*":
		letters = allLetters
	default:
		if !inOrder(permissions) {
			return Scope{}, scopeError(s, `its permissions are not read, write, * or some of "cruds" in that order`)
		}
	}
	return Scope{Context: context, Type: typ, Letters: letters, Query: query, Text: s}, nil
}

func scopeError(s, why string) error {
	return &Error{
		Op: "read scope", Where: clean(s), Err: errText(why), kind: lasting,
		hint: "Scopes look like system/Patient.rs (version 2) or system/Patient.read (version 1).",
	}
}

func isType(s string) bool {
	if s == "*" {
		return true
	}
	for _, r := range s {
		if (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return false
		}
	}
	return s != "" && s[0] >= 'A' && s[0] <= 'Z'
}

// inOrder reports whether s is a non-empty subsequence of "cruds".
func inOrder(s string) bool {
	rest := allLetters
	for _, r := range s {
		i := strings.IndexRune(rest, r)
		if i < 0 {
			return false
		}
		rest = rest[i+1:]
	}
	return s != ""
}

// ScopeOptions are what [ForTypes] needs to know beside types and level.
type ScopeOptions struct {
	// V2 writes ".rs" instead of ".read"; see [Configuration.V2].
	V2 bool
	// Attachments adds Binary.
	Attachments bool
	// Also are further types that the program reads (Patient where a paged search
	// begins with the patients, …).
	Also []string
}

// ForTypes derives the scopes to ask for (P11): one for each resource type, in one
// syntax, in the order of the types. No types at all means all of them. The level is
// that of the export: "group" adds Group. Neither is checked further.
func ForTypes(types []string, level string, o ScopeOptions) []string {
	permissions := ".read"
	if o.V2 {
		permissions = ".rs"
	}
	if len(types) == 0 {
		return []string{"system/*" + permissions}
	}
	all := slices.Concat(types, o.Also)
	if level == "group" {
		all = append(all, "Group")
	}
	if o.Attachments {
		all = append(all, "Binary")
	}
	var scopes []string
	for _, t := range all {
		if s := "system/" + t + permissions; !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	}
	return scopes
}

// Coverage is how far granted scopes cover those that were asked for.
type Coverage struct {
	Missing []string // asked for and not granted, or not with all letters
	Partial []string // granted only with a query: some resources stay hidden
}

// Complete reports whether everything was granted.
func (c Coverage) Complete() bool { return len(c.Missing) == 0 && len(c.Partial) == 0 }

// Compare compares by meaning (P16): read means rs, * means cruds, letters of several
// scopes add up, a scope for all types covers each, and a scope with a query
// covers its type in part, unless that very query was asked for. Nil granted
// scopes mean that the server did not say: then everything is covered, as RFC 6749
// 5.1 says. Empty ones mean that nothing was granted.
func Compare(requested, granted []string) Coverage {
	var c Coverage
	if granted == nil {
		return c
	}
	have := parseAll(granted)
	for _, text := range requested {
		want, err := ParseScope(text)
		if err != nil || want.Context == "" {
			if !slices.Contains(granted, text) {
				c.Missing = append(c.Missing, text)
			}
			continue
		}
		switch {
		case covers(have, want, false):
		case covers(have, want, true):
			c.Partial = append(c.Partial, text)
		default:
			c.Missing = append(c.Missing, text)
		}
	}
	return c
}

// Missing are the requested scopes that were not granted in full: those missing and
// those granted in part. See [Compare].
func Missing(requested, granted []string) []string {
	c := Compare(requested, granted)
	var out []string
	for _, s := range requested {
		if slices.Contains(c.Missing, s) || slices.Contains(c.Partial, s) {
			out = append(out, s)
		}
	}
	return out
}

// Unreadable are the resource types that the granted system scopes do not let the
// program read and search in full. Nil granted scopes leave out none.
func Unreadable(types, granted []string) []string {
	if granted == nil {
		return nil
	}
	have := parseAll(granted)
	var out []string
	for _, t := range types {
		if !covers(have, Scope{Context: "system", Type: t, Letters: "rs"}, false) {
			out = append(out, t)
		}
	}
	return out
}

// parseAll keeps what can be read: an unreadable granted scope grants nothing.
func parseAll(scopes []string) []Scope {
	var out []Scope
	for _, s := range scopes {
		if p, err := ParseScope(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// covers reports whether the union of the scopes has every letter that is wanted;
// partial lets scopes with another query count.
func covers(have []Scope, want Scope, partial bool) bool {
	for _, letter := range want.Letters {
		if !slices.ContainsFunc(have, func(h Scope) bool {
			return h.Context == want.Context &&
				(h.Type == "*" || h.Type == want.Type) &&
				strings.ContainsRune(h.Letters, letter) &&
				(partial || h.Query == "" || h.Query == want.Query)
		}) {
			return false
		}
	}
	return true
}

// listScopes is for messages.
func listScopes(scopes []string) string {
	const most = 20
	if len(scopes) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(scopes[:most], " "), len(scopes)-most)
	}
	return strings.Join(scopes, " ")
}
