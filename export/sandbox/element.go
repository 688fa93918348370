package sandbox

import (
	"bytes"
	"strings"

	"github.com/flue-fhir/flue/export/sandbox/store"
	"github.com/flue-fhir/flue/internal/definition"
)

// elements are the members that _elements asks for, by type; "" is every type.
type elements map[string]map[string]bool

// parseElements reads "element" and "Type.element" lists. Only members of the
// resource itself can be named.
func parseElements(values []string) (elements, error) {
	out := elements{}
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			typ, element, ok := strings.Cut(name, ".")
			if !ok {
				typ, element = "", name
			}
			if typ != "" && definition.Type(typ) == nil || element == "" || strings.Contains(element, ".") {
				return nil, invalid("_elements has an entry that is not of the form element or Type.element")
			}
			if out[typ] == nil {
				out[typ] = map[string]bool{}
			}
			out[typ][element] = true
		}
	}
	return out, nil
}

// of returns what is kept of resources of the type: nil is everything. What the
// type requires is always kept (EX2, _elements).
func (e elements) of(typ string) map[string]bool {
	if e[typ] == nil && e[""] == nil {
		return nil
	}
	keep := map[string]bool{"resourceType": true, "id": true, "meta": true}
	def := definition.Type(typ)
	add := func(name string) {
		keep[name], keep["_"+name] = true, true
		if def == nil {
			return
		}
		for i := range def.Fields {
			if f := &def.Fields[i]; f.Choice == name {
				keep[f.Name], keep["_"+f.Name] = true, true
			}
		}
	}
	for name := range e[typ] {
		add(name)
	}
	for name := range e[""] {
		add(name)
	}
	if def != nil {
		for i := range def.Fields {
			if f := &def.Fields[i]; f.Required {
				add(f.Name)
			}
		}
	}
	return keep
}

const subsettedTag = `{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}`

// subset returns the resource with the kept members, their bytes as they are,
// and marked as SUBSETTED. A line that is no object is returned as it is.
func subset(line []byte, keep map[string]bool) []byte {
	if keep == nil {
		return line
	}
	out := []byte{'{'}
	comma := func() {
		if len(out) > 1 {
			out = append(out, ',')
		}
	}
	hasMeta := false
	err := store.Members(line, func(name, value []byte, _, _ int) bool {
		if !keep[string(name)] {
			return true
		}
		comma()
		out = append(out, '"')
		out = append(out, name...)
		out = append(out, '"', ':')
		if string(name) == "meta" {
			hasMeta = true
			value = tagged(value)
		}
		out = append(out, value...)
		return true
	})
	if err != nil {
		return line
	}
	if !hasMeta {
		comma()
		out = append(out, `"meta":{"tag":[`+subsettedTag+`]}`...)
	}
	return append(out, '}')
}

// tagged adds the tag to a meta's tags.
func tagged(meta []byte) []byte {
	tags, err := store.Member(meta, "tag")
	if err != nil {
		return meta
	}
	list := "[" + subsettedTag + "]"
	if tags = bytes.TrimSpace(tags); len(tags) > 2 && tags[0] == '[' {
		if inner := bytes.TrimSpace(tags[1 : len(tags)-1]); len(inner) > 0 {
			list = "[" + string(inner) + "," + subsettedTag + "]"
		}
	}
	out, err := store.SetMember(meta, "tag", []byte(list))
	if err != nil {
		return meta
	}
	return out
}
