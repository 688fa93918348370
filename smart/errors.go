package smart

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Error is what went wrong while authenticating. It holds no token, assertion,
// secret, private key or query string.
type Error struct {
	// Op is what was being done: "load key", "discover", "sign assertion",
	// "request token", "send request", …
	Op string
	// Where is a file's path, or a URL without its query and user info.
	Where string
	// Status is the HTTP status of the answer; 0 when there was none.
	Status int
	// Code is the error of RFC 6749 5.2 or RFC 6750 3.1 ("invalid_client", …).
	Code string
	// Description is the server's error_description, cut and cleaned.
	Description string
	// Skew is the server's clock less the local one, where it was measured on a
	// rejected assertion and is large enough to matter; otherwise 0.
	Skew time.Duration
	// Err is the cause, if there is one beside the answer.
	Err error

	hint       string
	kind       kind
	retryAfter time.Duration
	silent     bool           // no answer came in time
	clock      *time.Duration // the server's clock less ours, unrounded by minSkew; nil when not measured
}

// kind says what can be done about a failure.
type kind int

const (
	passing  kind = iota // network, 429, 5xx: the same may work later
	rejected             // the server did not accept who we say we are
	lasting              // a person must mend it
)

// Error joins operation, place, status, code, description and cause.
func (e *Error) Error() string {
	parts := []string{e.Op}
	if e.Where != "" {
		parts = append(parts, e.Where)
	}
	var answer []string
	if e.Status != 0 {
		answer = append(answer, "status "+strconv.Itoa(e.Status))
	}
	if e.Code != "" {
		answer = append(answer, e.Code)
	}
	if len(answer) > 0 {
		parts = append(parts, strings.Join(answer, " "))
	}
	if e.Description != "" {
		parts = append(parts, strconv.Quote(e.Description))
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do next, or "".
func (e *Error) Hint() string { return e.hint }

// Class is "auth" when a person must mend something (a key, a registration, a
// scope, a URL), and "" when the failure may pass by itself (network, overload).
func (e *Error) Class() string {
	if e.kind == passing {
		return ""
	}
	return "auth"
}

// errText is a constant error message.
type errText string

func (e errText) Error() string { return string(e) }

// maxDescription bounds the bytes of a server's text that an Error keeps.
const maxDescription = 200

// clean makes a server's text fit for an error: one line, cut, without the
// secrets given, without query strings and without anything that looks like a
// token (I6).
func clean(s string, secrets ...string) string {
	if len(s) > 16*maxDescription {
		s = s[:16*maxDescription]
	}
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, redacted)
		}
	}
	s = strings.ToValidUTF8(s, "")
	fields := strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	for i, f := range fields {
		fields[i] = scrub(f)
	}
	s = strings.Join(fields, " ")
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
	if len(s) > maxDescription {
		cut := maxDescription
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return s
}

// maxOpaque is the longest run of token characters that is kept. A UUID has 36, an
// RFC 7638 thumbprint, which is public, 43.
const maxOpaque = 43

// scrub replaces what may be a secret in one word of a server's text: the query
// of a URL, and long runs of base64 characters.
func scrub(word string) string {
	if i := strings.IndexByte(word, '?'); i >= 0 && strings.Contains(word, "=") {
		word = word[:i] + "?" + redacted
	}
	var out strings.Builder
	start, flush := 0, func(from, to int) {
		run := word[from:to]
		if len(run) > maxOpaque || strings.HasPrefix(run, "eyJ") {
			run = redacted
		}
		out.WriteString(run)
	}
	for i, r := range word {
		// A dot joins the parts of a JWT, a slash those of a path.
		if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_+.~", r)) {
			continue
		}
		flush(start, i)
		out.WriteRune(r)
		start = i + utf8.RuneLen(r)
	}
	flush(start, len(word))
	return out.String()
}

// place is a URL as an error may show it: no user info, query or fragment.
func place(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(unreadable URL)"
	}
	return placeURL(u)
}

func placeURL(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// cause strips the URL, which may hold a query, off an error of net/http.
func cause(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}
