package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/internal/definition"
)

// structure is a definition.Struct before its fields are bound.
type structure struct {
	name   string
	fields []field
}

type field struct {
	name, typ, choice string
	doc               string
	kind              definition.Kind
	list, required    bool
	system            bool
	members           string // name of the structure of a complex field
}

// structures are all structures that resources can reach.
type structures struct {
	all       []structure // sorted by name
	resources []string    // sorted
}

// subscriptionStatus is of R4B and later; the package adds it to R4.
const subscriptionStatus = "SubscriptionStatus"

// compiler turns StructureDefinitions into structures, each once.
type compiler struct {
	elements map[string][]element // children by the path of their parent
	kinds    map[string]definition.Kind
	done     map[string]*structure
}

func compileStructs(profiles []profile) (structures, error) {
	c := compiler{
		elements: map[string][]element{},
		kinds:    map[string]definition.Kind{},
		done:     map[string]*structure{},
	}
	var out structures
	for _, p := range profiles {
		if p.Derivation == "constraint" || p.Kind == "logical" {
			continue
		}
		if p.Kind == "primitive-type" {
			c.kinds[p.Name] = primitiveKind(p.Name)
			continue
		}
		for _, e := range p.Snapshot.Element {
			if dot := strings.LastIndexByte(e.Path, '.'); dot > 0 {
				c.elements[e.Path[:dot]] = append(c.elements[e.Path[:dot]], e)
			}
		}
		if p.Kind == "resource" {
			// A resource that is an element keeps its own resourceType. The package
			// says OperationOutcome where R4 says Resource.
			c.kinds[p.Name] = definition.Resource
		}
		if p.Kind == "resource" && !p.Abstract && p.Name != subscriptionStatus {
			out.resources = append(out.resources, p.Name)
		}
	}
	slices.Sort(out.resources)
	for _, root := range append([]string{"Element", "Extension", "Resource"}, out.resources...) {
		if err := c.compile(root); err != nil {
			return out, err
		}
	}
	for _, s := range c.done {
		out.all = append(out.all, *s)
	}
	slices.SortFunc(out.all, func(a, b structure) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

// compile adds the structure at the path and all that it needs.
func (c *compiler) compile(path string) error {
	if c.done[path] != nil {
		return nil
	}
	s := &structure{name: path}
	c.done[path] = s
	for _, e := range c.elements[path] {
		if err := c.field(s, e); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	if len(s.fields) == 0 {
		return fmt.Errorf("%s: no definition", path)
	}
	for _, f := range s.fields {
		if f.members == "" {
			continue
		}
		if err := c.compile(f.members); err != nil {
			return err
		}
	}
	return nil
}

// field adds the JSON members of one element to s.
func (c *compiler) field(s *structure, e element) error {
	name := e.Path[strings.LastIndexByte(e.Path, '.')+1:]
	f := field{name: name, doc: e.Short, list: e.Max != "1", required: e.Min > 0}
	switch {
	case e.Max == "0":
		return nil
	case e.ContentReference != "":
		path, ok := strings.CutPrefix(e.ContentReference, "#")
		if !ok {
			return fmt.Errorf("content reference %q", e.ContentReference)
		}
		f.typ, f.kind, f.members = "BackboneElement", definition.Complex, path
		s.fields = append(s.fields, f)
		return nil
	case len(e.Type) == 0:
		return fmt.Errorf("no type")
	}
	base, isChoice := strings.CutSuffix(name, "[x]")
	if !isChoice && len(e.Type) != 1 {
		return fmt.Errorf("%d types", len(e.Type))
	}
	for i := range e.Type {
		g := f
		g.typ, g.system = typeName(e, i)
		if isChoice {
			g.choice = base
			g.name = base + strings.ToUpper(g.typ[:1]) + g.typ[1:]
		}
		switch kind := c.kinds[g.typ]; {
		case kind != 0:
			g.kind = kind
		case g.typ == "BackboneElement" || g.typ == "Element":
			g.kind, g.members = definition.Complex, e.Path
		default:
			g.kind, g.members = definition.Complex, g.typ
		}
		s.fields = append(s.fields, g)
	}
	return nil
}

// typeName is the FHIR type of the element's i-th type. The ids and the url of
// Extension have a FHIRPath system type in the definitions, with the FHIR type
// in an extension.
func typeName(e element, i int) (name string, system bool) {
	code := e.Type[i].Code
	if !strings.HasPrefix(code, "http://hl7.org/fhirpath/") {
		return code, false
	}
	if e.Base.Path == "Resource.id" {
		return "id", true
	}
	for _, x := range e.Type[i].Extension {
		if strings.HasSuffix(x.URL, "/structuredefinition-fhir-type") {
			return x.ValueURL, true
		}
	}
	return "string", true
}

func primitiveKind(name string) definition.Kind {
	switch name {
	case "boolean":
		return definition.Boolean
	case "integer", "positiveInt", "unsignedInt":
		return definition.Integer
	case "decimal":
		return definition.Decimal
	case "date":
		return definition.Date
	case "dateTime":
		return definition.DateTime
	case "instant":
		return definition.Instant
	}
	return definition.String
}
