package fhirpath

import "strings"

// Values returns what the path selects in a decoded resource.
func (p *Path) Values(resource map[string]any) []Value {
	var out []Value
	for i := range p.Branches {
		b := &p.Branches[i]
		if b.Exists {
			out = append(out, Value{JSON: exists(b.Steps, resource), Type: "boolean"})
			continue
		}
		collect(b.Steps, resource, func(v Value) {
			if b.Target == "" || pointsAt(v.JSON, b.Target) {
				out = append(out, v)
			}
		})
	}
	return out
}

func exists(steps []Step, resource map[string]any) bool {
	found := false
	collect(steps, resource, func(v Value) {
		if v.JSON != false {
			found = true
		}
	})
	return found
}

// collect walks the steps from an object and yields the values at their end.
func collect(steps []Step, object map[string]any, yield func(Value)) {
	step := &steps[0]
	for _, m := range step.Members {
		v, ok := object[m.Name]
		if !ok {
			continue
		}
		if list, ok := v.([]any); ok {
			for _, item := range list {
				arrive(steps, item, m.Type, yield)
			}
			continue
		}
		arrive(steps, v, m.Type, yield)
	}
}

func arrive(steps []Step, v any, typ string, yield func(Value)) {
	if v == nil {
		return
	}
	object, isObject := v.(map[string]any)
	if where := steps[0].Where; where.Name != "" {
		if !isObject {
			return
		}
		if s, ok := object[where.Name].(string); !ok || s != where.Value {
			return
		}
	}
	switch {
	case len(steps) == 1:
		yield(Value{JSON: v, Type: typ})
	case isObject:
		collect(steps[1:], object, yield)
	}
}

// pointsAt reports whether a Reference may point at a resource of the type. A
// `urn:uuid:` does not tell, so that it may.
func pointsAt(v any, typ string) bool {
	object, ok := v.(map[string]any)
	if !ok {
		return false
	}
	if s, ok := object["reference"].(string); ok {
		target, _ := SplitReference(s)
		if target == "" {
			return strings.HasPrefix(s, "urn:uuid:")
		}
		return target == typ
	}
	s, ok := object["type"].(string)
	return ok && s == typ
}

// SplitReference returns the type and the id that a literal reference names:
// "Type/id", the same at the end of a URL and before a version, or
// "urn:uuid:id", which has no type. A fragment and anything else give "", "".
func SplitReference(s string) (typ, id string) {
	if after, ok := strings.CutPrefix(s, "urn:uuid:"); ok {
		return "", after
	}
	if at := strings.Index(s, "/_history/"); at >= 0 {
		s = s[:at]
	}
	slash := strings.LastIndexByte(s, '/')
	if slash <= 0 || slash == len(s)-1 {
		return "", ""
	}
	typ, id = s[:slash], s[slash+1:]
	if at := strings.LastIndexByte(typ, '/'); at >= 0 {
		typ = typ[at+1:]
	}
	if typ == "" || typ[0] < 'A' || typ[0] > 'Z' {
		return "", ""
	}
	return typ, id
}
