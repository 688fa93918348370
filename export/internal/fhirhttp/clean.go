package fhirhttp

import (
	"slices"
	"strings"
	"unicode"
)

// Clean makes a server's text safe to show (I7). Diagnostics hold whatever the
// server's programmers found handy: names, identifiers, search URLs, pieces of
// resources. No list of what to take out is ever complete, so Clean works the
// other way: it keeps the words that explain faults of requests, the names of
// FHIR's resource types and parameters, and extra words of the caller's, and puts
// … in the place of everything else. Numbers are never kept. A text of which
// little is left is dropped.
func Clean(text string, extra ...string) string {
	const maxIn, maxOut = 4 << 10, 160
	if len(text) > maxIn {
		text = text[:maxIn]
	}
	var b strings.Builder
	kept, gap := 0, false
	for _, w := range strings.FieldsFunc(text, func(r rune) bool {
		return !(unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '-' || r == '$' || r == '\'')
	}) {
		w = strings.Trim(w, "'-")
		if w == "" {
			continue
		}
		if !allowed(w, extra) {
			gap = true
			continue
		}
		if b.Len()+len(w) > maxOut {
			gap = true
			break
		}
		if gap {
			b.WriteString(" …")
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w)
		kept, gap = kept+1, false
	}
	if kept < 2 {
		return ""
	}
	if gap {
		b.WriteString(" …")
	}
	return strings.TrimSpace(b.String())
}

func allowed(w string, extra []string) bool {
	if slices.Contains(extra, w) {
		return true
	}
	return strings.Contains(properList, " "+w+" ") || strings.Contains(plainList, " "+strings.ToLower(w)+" ")
}
