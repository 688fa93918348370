package query

import (
	"encoding/json"
	"strings"

	"github.com/flue-fhir/flue/export/sandbox/fhirpath"
)

// token is `code`, `system|code`, `|code` or `system|`.
type token struct {
	system    string
	anySystem bool
	code      string
	anyCode   bool
}

func parseToken(value string) token {
	system, code, ok := cut(value)
	if !ok {
		return token{anySystem: true, code: unescape(value)}
	}
	return token{system: unescape(system), code: unescape(code), anyCode: code == ""}
}

func (t token) is(system, code string) bool {
	return (t.anySystem || t.system == system) && (t.anyCode || t.code == code)
}

func matchToken(values []string) (func(fhirpath.Value) bool, error) {
	tokens := make([]token, len(values))
	for i, v := range values {
		tokens[i] = parseToken(v)
		if tokens[i].anyCode && tokens[i].system == "" {
			return nil, errEmpty
		}
	}
	return func(v fhirpath.Value) bool {
		for _, t := range tokens {
			if t.matches(v.JSON) {
				return true
			}
		}
		return false
	}, nil
}

// matches tests a code, a boolean, a Coding, a CodeableConcept, an Identifier
// or a ContactPoint.
func (t token) matches(v any) bool {
	switch v := v.(type) {
	case string:
		return (t.anySystem || t.system == "") && t.code == v
	case bool:
		return t.is("", map[bool]string{true: "true", false: "false"}[v])
	case json.Number:
		return t.is("", v.String())
	case map[string]any:
		if codings, ok := v["coding"].([]any); ok {
			for _, c := range codings {
				if c, ok := c.(map[string]any); ok && t.matches(c) {
					return true
				}
			}
			return false
		}
		system, _ := v["system"].(string)
		if code, ok := v["code"].(string); ok {
			return t.is(system, code)
		}
		if value, ok := v["value"].(string); ok {
			return t.is(system, value)
		}
	}
	return false
}

// matchString tests a string, or any text in a HumanName or an Address: it
// begins with the value, whatever the case; with :contains it has it anywhere,
// with :exact it is it.
func matchString(values []string, modifier string) func(fhirpath.Value) bool {
	wanted := unescapeAll(values)
	if modifier != "exact" {
		for i, w := range wanted {
			wanted[i] = strings.ToLower(w)
		}
	}
	test := func(text string) bool {
		for _, w := range wanted {
			switch modifier {
			case "exact":
				if text == w {
					return true
				}
			case "contains":
				if strings.Contains(strings.ToLower(text), w) {
					return true
				}
			default:
				if strings.HasPrefix(strings.ToLower(text), w) {
					return true
				}
			}
		}
		return false
	}
	var match func(v any) bool
	match = func(v any) bool {
		switch v := v.(type) {
		case string:
			return test(v)
		case []any:
			for _, item := range v {
				if match(item) {
					return true
				}
			}
		case map[string]any:
			for name, item := range v {
				switch name {
				case "text", "family", "given", "prefix", "suffix", "line", "city", "district", "state", "country", "postalCode":
					if match(item) {
						return true
					}
				}
			}
		}
		return false
	}
	return func(v fhirpath.Value) bool { return match(v.JSON) }
}

func matchURI(values []string) func(fhirpath.Value) bool {
	wanted := map[string]bool{}
	for _, v := range unescapeAll(values) {
		wanted[v] = true
	}
	return func(v fhirpath.Value) bool {
		s, ok := v.JSON.(string)
		return ok && wanted[s]
	}
}
