package rebuild

import (
	"errors"
	"strconv"
	"strings"

	"github.com/flue-fhir/flue/internal/definition"
)

var errPointer = errors.New("__unmapped has a pointer that leads nowhere")

// place puts what stands in __unmapped back into the resource: text is the JSON
// object of pointers and raw JSON texts.
func place(v *value, def *definition.Struct, text []byte) error {
	all, err := parse(text)
	if err != nil || all.kind != object {
		return errors.New("__unmapped is no JSON object")
	}
	for i, pointer := range all.names {
		m := all.members[i]
		if m.kind != scalar || m.text[0] != '"' {
			return errors.New("__unmapped holds something else than text")
		}
		p := parser{text: m.text}
		raw, err := p.string()
		if err != nil {
			return err
		}
		if err := put(v, def, pointer, raw); err != nil {
			return err
		}
	}
	return nil
}

// put sets the value at an RFC 6901 pointer. Objects and lists on the way that
// are not there are made, as the definitions have them.
func put(v *value, def *definition.Struct, pointer string, raw []byte) error {
	if !strings.HasPrefix(pointer, "/") {
		return errPointer
	}
	for token := range strings.SplitSeq(pointer[1:], "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		if v.kind == array {
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i > len(v.items)+mostGap {
				return errPointer
			}
			v = v.item(i)
			continue
		}
		if v.kind == null {
			v.kind = object
		}
		if v.kind != object {
			return errPointer
		}
		var e *definition.Element
		companion := false
		if def != nil {
			if e = def.Field(token); e == nil && strings.HasPrefix(token, "_") {
				e, companion = def.Field(token[1:]), true
			}
		}
		fresh := v.find(token) == nil
		v = v.member(token)
		def = nil
		if e != nil {
			if def = e.Struct; companion {
				def = definition.PrimitiveCompanion()
			}
			if fresh && e.List {
				v.kind = array
			}
		}
	}
	*v = value{kind: scalar, text: raw}
	return nil
}

// mostGap bounds how far beyond its end a list is filled with nulls.
const mostGap = 1 << 20
