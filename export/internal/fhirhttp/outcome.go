package fhirhttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Issue is one issue of an OperationOutcome, safe to show (I7): Severity and
// Code are of FHIR's own lists, or "unknown"; Text went through Clean.
type Issue struct {
	Severity string
	Code     string
	Text     string
}

func (i Issue) String() string {
	s := i.Severity + " " + i.Code
	if i.Text != "" {
		s += ": " + i.Text
	}
	return s
}

const (
	severities = "fatal error warning information success"
	codes      = "invalid structure required value invariant security login unknown expired forbidden suppressed " +
		"processing not-supported duplicate multiple-matches not-found deleted too-long code-invalid extension " +
		"too-costly business-rule conflict limited-filter transient lock-error no-store exception timeout " +
		"incomplete throttled informational success"
	transients = "transient lock-error no-store exception timeout incomplete throttled"
	maxIssues  = 100
)

// ParseOutcome reads an OperationOutcome. ok is false when the body is none. A
// member of the wrong kind is passed over: an outcome explains an error, and must
// not be another one. words are further words that texts may hold, such as the
// names of the request's own parameters.
//
// Source: https://hl7.org/fhir/R4/operationoutcome.html
func ParseOutcome(body []byte, words ...string) (issues []Issue, ok bool) {
	if !bytes.Contains(body, []byte("OperationOutcome")) {
		return nil, false // most bodies are large and none
	}
	var oo struct {
		ResourceType string `json:"resourceType"`
		Issue        []struct {
			Severity    string `json:"severity"`
			Code        string `json:"code"`
			Diagnostics string `json:"diagnostics"`
			Details     struct {
				Text   string `json:"text"`
				Coding []struct {
					Display string `json:"display"`
				} `json:"coding"`
			} `json:"details"`
		} `json:"issue"`
	}
	var kind *json.UnmarshalTypeError
	if err := json.Unmarshal(body, &oo); err != nil && !errors.As(err, &kind) || oo.ResourceType != "OperationOutcome" {
		return nil, false
	}
	for _, i := range oo.Issue {
		if len(issues) == maxIssues {
			break
		}
		text := i.Details.Text
		if text == "" {
			text = i.Diagnostics
		}
		if text == "" && len(i.Details.Coding) > 0 {
			text = i.Details.Coding[0].Display
		}
		issues = append(issues, Issue{
			Severity: known(i.Severity, severities), Code: known(i.Code, codes), Text: Clean(text, words...),
		})
	}
	return issues, true
}

func known(word, list string) string {
	if word != "" && slices.Contains(strings.Fields(list), word) {
		return word
	}
	return "unknown"
}

// Transient reports whether there are issues, and each of them says that the
// fault passes by itself (P25).
//
// Source: https://hl7.org/fhir/R4/codesystem-issue-type.html#issue-type-transient
func Transient(issues []Issue) bool {
	for _, i := range issues {
		if !slices.Contains(strings.Fields(transients), i.Code) {
			return false
		}
	}
	return len(issues) > 0
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
		b.WriteString("; " + is.String())
	}
	return b.String()
}
