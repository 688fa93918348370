// Package fhirhttp is what both clients of a FHIR server share: requests that
// are repeated by a stated policy, Retry-After, OperationOutcomes as errors, and
// error texts that hold no URL, token or content (I6, I7).
package fhirhttp

import (
	"net/http"
	"strconv"
	"strings"
)

// Issue is one issue of an OperationOutcome. Text is made safe by Clean.
type Issue struct {
	Severity string
	Code     string
	Text     string
}

// Describe is the text of an HTTP status and an outcome's issues, for errors.
func Describe(status int, issues []Issue) string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(status))
	if t := http.StatusText(status); t != "" {
		b.WriteString(" " + t)
	}
	for i, is := range issues {
		if i == 3 {
			b.WriteString("; …")
			break
		}
		b.WriteString("; " + is.Severity + " " + is.Code)
		if is.Text != "" {
			b.WriteString(": " + is.Text)
		}
	}
	return b.String()
}
