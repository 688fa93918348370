package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// schema is a JSON Schema as a document.
type schema = map[string]any

// kind is how a value of the configuration is written, checked and described.
type kind[V any] struct {
	word   string // for people: "duration", "list of resource types"
	schema func() schema
	// read gives the value at c; ok is false when it is wrong, which it noted.
	read func(d *decoder, c cursor) (value V, ok bool)
}

// environment is what a scalar may hold in an editor's eyes in place of its
// value.
const environment = `\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}`

// orEnvironment widens a schema by values that come from the environment.
func orEnvironment(s schema) schema {
	return schema{"anyOf": []any{s, schema{"type": "string", "pattern": environment}}}
}

// scalar gives the text of a scalar with the environment expanded. Numbers and
// booleans give their source text. quoted reports that the text was a string
// without any expansion in it.
func (d *decoder) scalar(c cursor, want string) (text string, quoted, ok bool) {
	var raw string
	switch n := c.node.(type) {
	case *ast.StringNode:
		raw = n.Value
	case *ast.LiteralNode:
		raw = n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, false, true
	default:
		d.wrongType(c, want)
		return "", false, false
	}
	text, err := expand(raw, d.env)
	if err != nil {
		hint := ""
		if e, is := err.(*expandError); is {
			hint = e.hint
		}
		d.fail(c, err.Error(), hint)
		return "", false, false
	}
	return text, text == raw, true
}

// text is a non-empty string. A check returns what is wrong with it and a hint.
func text(word, pattern string, check func(string) (wrong, hint string)) kind[string] {
	return kind[string]{
		word: word,
		schema: func() schema {
			s := schema{"type": "string", "minLength": 1}
			if pattern != "" {
				s["pattern"] = pattern
				return orEnvironment(s)
			}
			return s
		},
		read: func(d *decoder, c cursor) (string, bool) {
			switch c.node.(type) {
			case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
				d.fail(c, "is "+describe(c.node)+", want "+word, "put quotes around it if it is meant as text")
				return "", false
			}
			s, _, ok := d.scalar(c, word)
			if !ok {
				return "", false
			}
			return s, checkText(d, c, s, word, check, false)
		},
	}
}

// identifier is text that people also write as a bare number, whose digits are
// kept as they stand, and that YAML may take for a boolean.
func identifier(word string, masked bool, check func(string) (wrong, hint string)) kind[string] {
	return kind[string]{
		word: word,
		schema: func() schema {
			return schema{"type": []any{"string", "number", "boolean"}}
		},
		read: func(d *decoder, c cursor) (string, bool) {
			s, _, ok := d.scalar(c, word)
			if !ok {
				return "", false
			}
			return s, checkText(d, c, s, word, check, masked)
		},
	}
}

func checkText(d *decoder, c cursor, s, word string, check func(string) (string, string), masked bool) bool {
	wrong, hint := "", ""
	switch {
	case s == "":
		wrong, hint = "is empty, want "+word, "give it a value or remove the key"
	case strings.ContainsAny(s, "\x00"):
		wrong = "holds a NUL character"
	case check != nil:
		wrong, hint = check(s)
	}
	if wrong == "" {
		return true
	}
	d.failAt(c.at, c.path, wrong, hint, masked)
	return false
}

// matching is a check by a regular expression.
func matching(re *regexp.Regexp, wrong, hint string) func(string) (string, string) {
	return func(s string) (string, string) {
		if re.MatchString(s) {
			return "", ""
		}
		return wrong, hint
	}
}

// choice is one of a few words.
func choice[S ~string](values ...S) kind[S] {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = string(v)
	}
	word := strings.Join(words, " | ")
	return kind[S]{
		word:   word,
		schema: func() schema { return orEnvironment(schema{"enum": words}) },
		read: func(d *decoder, c cursor) (S, bool) {
			s, _, ok := d.scalar(c, "one of "+strings.Join(words, ", "))
			if !ok {
				return "", false
			}
			if slices.Contains(words, s) {
				return S(s), true
			}
			hint := ""
			if near := closest(s, slices.Values(words)); near != "" {
				hint = "did you mean " + near + "?"
			}
			d.fail(c, fmt.Sprintf("%q is not one of %s", shorten(s), strings.Join(words, ", ")), hint)
			return "", false
		},
	}
}

// boolean is true or false.
func boolean() kind[bool] {
	return kind[bool]{
		word:   "true | false",
		schema: func() schema { return orEnvironment(schema{"type": "boolean"}) },
		read: func(d *decoder, c cursor) (bool, bool) {
			s, quoted, ok := d.scalar(c, "true or false")
			if !ok {
				return false, false
			}
			if !quoted && (s == "true" || s == "false") {
				return s == "true", true
			}
			d.fail(c, "is "+describe(c.node)+", want true or false", "write true or false, without quotes")
			return false, false
		},
	}
}

// integer is a whole number between two bounds.
func integer[N ~int | ~int64](least, most N) kind[N] {
	return kind[N]{
		word: "number",
		schema: func() schema {
			return orEnvironment(schema{"type": "integer", "minimum": least, "maximum": most})
		},
		read: func(d *decoder, c cursor) (N, bool) {
			s, quoted, ok := d.scalar(c, "a whole number")
			if !ok {
				return 0, false
			}
			if quoted {
				d.fail(c, "is text, want a whole number", "write it without quotes")
				return 0, false
			}
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				d.fail(c, "is not a whole number", "")
				return 0, false
			}
			if N(n) < least || N(n) > most || int64(N(n)) != n {
				want := fmt.Sprintf("%d to %d", least, most)
				if least == most {
					want = strconv.FormatInt(int64(least), 10)
				}
				d.fail(c, fmt.Sprintf("is %d, want %s", n, want), "")
				return 0, false
			}
			return N(n), true
		},
	}
}

// duration is a span of time of at least least and, unless it is 0, at most
// most.
func duration(least, most time.Duration) kind[time.Duration] {
	return kind[time.Duration]{
		word: "duration",
		schema: func() schema {
			return orEnvironment(schema{"type": "string", "pattern": durationForm.String()})
		},
		read: func(d *decoder, c cursor) (time.Duration, bool) {
			s, _, ok := d.scalar(c, "a duration")
			if !ok {
				return 0, false
			}
			v, err := ParseDuration(s)
			switch {
			case err == errForm:
				d.fail(c, "is not a duration", "write a number with its unit: 500ms, 30s, 10m, 36h, 7d")
			case err != nil:
				d.fail(c, err.Error(), "")
			case v < least:
				d.fail(c, fmt.Sprintf("is shorter than %s", least), "leave the key out for the default")
			case most > 0 && v > most:
				d.fail(c, fmt.Sprintf("is longer than %s", most), "")
			default:
				return v, true
			}
			return 0, false
		},
	}
}

// size is a number of bytes of at least least.
func size(least int64) kind[int64] {
	return kind[int64]{
		word: "size",
		schema: func() schema {
			return orEnvironment(schema{"type": "string", "pattern": sizeForm.String()})
		},
		read: func(d *decoder, c cursor) (int64, bool) {
			s, _, ok := d.scalar(c, "a size")
			if !ok {
				return 0, false
			}
			v, err := ParseSize(s)
			switch {
			case err == errForm:
				d.fail(c, "is not a size", "write a number with its unit: 64KiB, 256MiB, 2GiB")
			case err != nil:
				d.fail(c, err.Error(), "")
			case v < least:
				d.fail(c, "is smaller than "+sizeText(least), "leave the key out for the default")
			default:
				return v, true
			}
			return 0, false
		},
	}
}

// mode is permission bits in octal.
func mode() kind[uint32] {
	form := regexp.MustCompile(`^0?o?([0-7]{3})$`)
	return kind[uint32]{
		word: "octal mode",
		schema: func() schema {
			return orEnvironment(schema{"type": []any{"string", "integer"}, "pattern": "^0?[0-7]{3}$"})
		},
		read: func(d *decoder, c cursor) (uint32, bool) {
			s, _, ok := d.scalar(c, "permission bits")
			if !ok {
				return 0, false
			}
			m := form.FindStringSubmatch(s)
			if m == nil {
				d.fail(c, "is not a file mode", `write permission bits in octal: "0640"`)
				return 0, false
			}
			v, err := strconv.ParseUint(m[1], 8, 32)
			return uint32(v), err == nil
		},
	}
}

// instant is a date or an instant with its offset; a date is midnight UTC.
func instant() kind[time.Time] {
	return kind[time.Time]{
		word: "instant",
		schema: func() schema {
			return orEnvironment(schema{"type": "string", "pattern": `^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2}))?$`})
		},
		read: func(d *decoder, c cursor) (time.Time, bool) {
			s, _, ok := d.scalar(c, "an instant")
			if !ok {
				return time.Time{}, false
			}
			for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
				if t, err := time.Parse(layout, s); err == nil {
					return t, true
				}
			}
			d.fail(c, "is not an instant", "write a date, or a time with its offset: 2026-01-31, 2026-01-31T00:00:00Z")
			return time.Time{}, false
		},
	}
}

func shorten(s string) string {
	const limit = 60
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
