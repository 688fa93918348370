package fhirpath

import (
	"strings"

	"github.com/flue-fhir/flue/internal/definition"
)

// cursor reads one branch from left to right and keeps what the steps so far
// may have arrived at.
type cursor struct {
	text    string
	branch  Branch
	structs []*definition.Struct // of the values that the last step selects
}

// compileBranch compiles one operand of a union. foreign says that it is about
// another resource type.
func compileBranch(def *definition.Struct, typ, text string) (b Branch, foreign bool, err error) {
	c := &cursor{text: strings.TrimSpace(text), structs: []*definition.Struct{def}}
	inner, rest, wrapped := c.parenthesized()
	if wrapped {
		c.text = inner
	}
	name := c.ident()
	switch {
	case name == "":
		return b, false, ErrUnsupported
	case name[0] < 'A' || name[0] > 'Z':
		return b, false, ErrUnsupported // a function or a literal, not a type
	case name != typ && name != "Resource" && name != "DomainResource":
		return b, true, nil
	}
	if err := c.path(); err != nil {
		return b, false, err
	}
	if wrapped {
		c.text = rest
		if err := c.path(); err != nil {
			return b, false, err
		}
	}
	if len(c.branch.Steps) == 0 {
		return b, false, ErrUnsupported
	}
	return c.branch, false, nil
}

// parenthesized splits "(inner)rest".
func (c *cursor) parenthesized() (inner, rest string, ok bool) {
	if !strings.HasPrefix(c.text, "(") {
		return "", "", false
	}
	depth := 0
	for i := range len(c.text) {
		switch c.text[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return strings.TrimSpace(c.text[1:i]), strings.TrimSpace(c.text[i+1:]), true
			}
		}
	}
	return "", "", false
}

// ident takes a name off the front of the text; "" when there is none.
func (c *cursor) ident() string {
	n := 0
	for n < len(c.text) && (c.text[n] >= 'a' && c.text[n] <= 'z' || c.text[n] >= 'A' && c.text[n] <= 'Z' || n > 0 && c.text[n] >= '0' && c.text[n] <= '9') {
		n++
	}
	name := c.text[:n]
	c.text = c.text[n:]
	return name
}

// path reads `.name`, `.as(T)`, `.where(…)` and a final ` as T`.
func (c *cursor) path() error {
	for c.text != "" {
		if after, ok := strings.CutPrefix(c.text, " as "); ok {
			c.text = strings.TrimSpace(after)
			name := c.ident()
			if name == "" || c.text != "" {
				return ErrUnsupported
			}
			return c.as(name)
		}
		after, ok := strings.CutPrefix(c.text, ".")
		if !ok {
			return ErrUnsupported
		}
		c.text = after
		name := c.ident()
		if name == "" {
			return ErrUnsupported
		}
		if !strings.HasPrefix(c.text, "(") {
			if err := c.step(name); err != nil {
				return err
			}
			continue
		}
		argument, rest, ok := c.parenthesized()
		if !ok {
			return ErrUnsupported
		}
		c.text = rest
		if err := c.function(name, argument); err != nil {
			return err
		}
	}
	return nil
}

// step goes to the member, or to every member of the choice, of that name.
func (c *cursor) step(name string) error {
	var step Step
	var next []*definition.Struct
	for _, s := range c.structs {
		for i := range s.Fields {
			f := &s.Fields[i]
			if f.Name != name && f.Choice != name {
				continue
			}
			step.Members = append(step.Members, Member{Name: f.Name, Type: f.Type})
			if f.Struct != nil {
				next = append(next, f.Struct)
			}
		}
	}
	if len(step.Members) == 0 {
		return ErrUnsupported
	}
	c.branch.Steps = append(c.branch.Steps, step)
	c.structs = next
	return nil
}

// as keeps the members of the last step's choice that have the type.
func (c *cursor) as(typ string) error {
	if len(c.branch.Steps) == 0 {
		return ErrUnsupported
	}
	last := &c.branch.Steps[len(c.branch.Steps)-1]
	var kept []Member
	for _, m := range last.Members {
		if m.Type == typ {
			kept = append(kept, m)
		}
	}
	if len(kept) == 0 {
		return ErrUnsupported
	}
	last.Members = kept
	var next []*definition.Struct
	for _, s := range c.structs {
		if s.Name == typ {
			next = append(next, s)
		}
	}
	c.structs = next
	return nil
}

func (c *cursor) function(name, argument string) error {
	switch name {
	case "as", "ofType":
		return c.as(argument)
	case "where":
		if len(c.branch.Steps) == 0 {
			return ErrUnsupported
		}
		if target, ok := strings.CutPrefix(argument, "resolve() is "); ok {
			c.branch.Target = strings.TrimSpace(target)
			return nil
		}
		member, value, ok := strings.Cut(argument, "=")
		value = strings.TrimSpace(value)
		if !ok || len(value) < 2 || value[0] != '\'' || strings.IndexByte(value[1:], '\'') != len(value)-2 {
			return ErrUnsupported
		}
		c.branch.Steps[len(c.branch.Steps)-1].Where = Condition{Name: strings.TrimSpace(member), Value: value[1 : len(value)-1]}
		return nil
	}
	return ErrUnsupported
}
