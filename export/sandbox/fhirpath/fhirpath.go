// Package fhirpath compiles the FHIRPath expressions of R4's search parameters
// to paths over JSON, and evaluates them. It knows only what those expressions
// use: member access, choice types (`as`), unions, `where` on a member's value
// and on a reference's target, and the test for a deceased patient. Everything
// else is an error of Compile, never a guess.
//
// Source: https://hl7.org/fhir/R4/searchparameter-registry.html
package fhirpath

import (
	"errors"
	"strings"

	"github.com/flue-fhir/flue/internal/definition"
)

// ErrUnsupported is returned by Compile for an expression beyond the subset.
var ErrUnsupported = errors.New("the expression is not supported")

// maxExpression bounds what Compile looks at, in bytes; R4's longest is shorter.
const maxExpression = 16 << 10

// Path selects values in resources of one type. It is immutable.
type Path struct {
	Branches []Branch
}

// Branch is one operand of a union.
type Branch struct {
	Steps []Step
	// Target restricts references to those that point at this type; "" is any.
	Target string
	// Exists turns the selection into one boolean: whether there is a value that
	// is not false.
	Exists bool
}

// Step goes from an object to its members. Lists are passed through.
type Step struct {
	// Members are the JSON names that the step may find: one, or all of a
	// choice.
	Members []Member
	// Where keeps only objects that have this member with this string value; the
	// zero value keeps all.
	Where Condition
}

// Member is a JSON member and the FHIR type of its values.
type Member struct {
	Name string
	Type string
}

// Condition is `where(name='value')`.
type Condition struct{ Name, Value string }

// Value is what a Path selected.
type Value struct {
	JSON any // as encoding/json decodes it, numbers as json.Number
	Type string
}

// Compile translates a search parameter's expression for resources of typ.
func Compile(typ, expression string) (*Path, error) {
	def := definition.Type(typ)
	if def == nil || expression == "" || len(expression) > maxExpression {
		return nil, ErrUnsupported
	}
	if p, ok := compileExists(def, typ, expression); ok {
		return p, nil
	}
	out := new(Path)
	for _, text := range splitUnion(expression) {
		branch, foreign, err := compileBranch(def, typ, text)
		if err != nil {
			return nil, err
		}
		if !foreign {
			out.Branches = append(out.Branches, branch)
		}
	}
	if len(out.Branches) == 0 {
		return nil, ErrUnsupported
	}
	return out, nil
}

// compileExists knows `X.exists() and X != false`, the one expression of R4
// that is not a selection.
func compileExists(def *definition.Struct, typ, expression string) (*Path, bool) {
	before, after, ok := strings.Cut(expression, ".exists() and ")
	if !ok || after != before+" != false" {
		return nil, false
	}
	branch, foreign, err := compileBranch(def, typ, before)
	if err != nil || foreign {
		return nil, false
	}
	branch.Exists = true
	return &Path{Branches: []Branch{branch}}, true
}

// splitUnion cuts at the `|` outside of parentheses and quotes.
func splitUnion(s string) []string {
	var out []string
	depth, start, quoted := 0, 0, false
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			out = append(out, s[start:i])
			start = i + 1
		}
	}
	return append(out, s[start:])
}

// Roots returns the names of the resource's members that the path begins at.
func (p *Path) Roots() []string {
	var out []string
	for _, b := range p.Branches {
		for _, m := range b.Steps[0].Members {
			out = append(out, m.Name)
		}
	}
	return out
}
