package main

import (
	"fmt"
	"slices"
	"strings"
)

// searchParam is one search parameter of one base type.
type searchParam struct {
	base, code, kind, expression string
	targets                      []string
}

// compileParams spreads the search parameters over their base types. Resource
// and DomainResource stay as they are: the table's reader adds them to each type.
func compileParams(params []param, resources []string) ([]searchParam, error) {
	var out []searchParam
	for _, p := range params {
		for _, base := range p.Base {
			if base != "Resource" && base != "DomainResource" && !slices.Contains(resources, base) {
				return nil, fmt.Errorf("search parameter %s: unknown base %q", p.Code, base)
			}
			s := searchParam{base: base, code: p.Code, kind: p.Type, expression: p.Expression}
			if len(p.Base) > 1 {
				s.expression = branch(p.Expression, base)
			}
			for _, t := range p.Target {
				if slices.Contains(resources, t) {
					s.targets = append(s.targets, t)
				}
			}
			slices.Sort(s.targets)
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b searchParam) int {
		if c := strings.Compare(a.base, b.base); c != 0 {
			return c
		}
		return strings.Compare(a.code, b.code)
	})
	return out, nil
}

// branch keeps the parts of a union that start at the base type; all of them
// when there is no such part.
func branch(expression, base string) string {
	var kept []string
	for part := range unionSeq(expression) {
		start := strings.TrimLeft(part, "( ")
		if start == base || strings.HasPrefix(start, base+".") {
			kept = append(kept, part)
		}
	}
	if kept == nil {
		return expression
	}
	return strings.Join(kept, " | ")
}

// unionSeq yields the parts of a FHIRPath union, not looking into parentheses.
func unionSeq(expression string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		depth, start := 0, 0
		for i := range len(expression) {
			switch expression[i] {
			case '(':
				depth++
			case ')':
				depth--
			case '|':
				if depth > 0 {
					continue
				}
				if !yield(strings.TrimSpace(expression[start:i])) {
					return
				}
				start = i + 1
			}
		}
		yield(strings.TrimSpace(expression[start:]))
	}
}
