package config

import (
	"fmt"
	"strings"
)

// expand replaces ${NAME} and ${NAME:-default} in the text of one scalar; $${
// stands for ${ itself. A default is taken where the variable is unset or
// empty, and is not expanded again.
func expand(text string, env func(string) (string, bool)) (string, error) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			b.WriteString(text)
			return b.String(), nil
		}
		if i > 0 && text[i-1] == '$' {
			b.WriteString(text[:i-1])
			b.WriteString("${")
			text = text[i+2:]
			continue
		}
		b.WriteString(text[:i])
		body, rest, closed := strings.Cut(text[i+2:], "}")
		if !closed {
			return "", &expandError{message: "${ without its }", hint: "close it, or write $${ for the characters themselves"}
		}
		text = rest
		name, fallback, hasDefault := strings.Cut(body, ":-")
		if !isEnvName(name) {
			return "", &expandError{
				message: "${…} does not hold the name of an environment variable",
				hint:    "write ${NAME} or ${NAME:-default}, or $${ for the characters themselves",
			}
		}
		value, ok := env(name)
		switch {
		case hasDefault && value == "":
			value = fallback
		case !ok:
			return "", &expandError{
				message: fmt.Sprintf("environment variable %s is not set", name),
				hint:    fmt.Sprintf("set it, or give a default: ${%s:-value}", name),
			}
		}
		b.WriteString(value)
	}
}

type expandError struct{ message, hint string }

func (e *expandError) Error() string { return e.message }

func isEnvName(s string) bool {
	for i, c := range s {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
