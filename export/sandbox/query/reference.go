package query

import (
	"errors"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/export/sandbox/fhirpath"
	"github.com/flue-fhir/flue/internal/definition"
)

var errEmpty = errors.New("it has an empty value")

// target is what a reference parameter's value names.
type target struct {
	typ string // "" is any
	id  string
	url string // for what is no Type/id
}

func parseTarget(value, modifier string) (target, error) {
	value = unescape(value)
	typ, id := fhirpath.SplitReference(value)
	switch {
	case typ != "" && definition.Type(typ) != nil:
		if modifier != "" && modifier != typ {
			return target{}, errors.New("the modifier and the value name two types")
		}
		return target{typ: typ, id: id}, nil
	case id != "":
		return target{typ: modifier, id: id}, nil
	case strings.Contains(value, ":"):
		return target{url: value}, nil
	case strings.Contains(value, "/"):
		return target{}, errors.New("a value is not a reference")
	}
	return target{typ: modifier, id: value}, nil
}

// patientIDs returns the ids when every value names a patient, by its type, by
// the modifier, or because the parameter refers to nothing else.
func patientIDs(p definition.SearchParam, modifier string, values []string) ([]string, bool) {
	only := len(p.Targets) == 1 && p.Targets[0] == "Patient" || p.Code == "patient" && slices.Contains(p.Targets, "Patient")
	var out []string
	for _, v := range values {
		t, err := parseTarget(v, modifier)
		if err != nil || t.id == "" || t.typ != "Patient" && (t.typ != "" || !only) {
			return nil, false
		}
		out = append(out, t.id)
	}
	return out, true
}

func matchReference(values []string, modifier string) (func(fhirpath.Value) bool, error) {
	var wanted []target
	for _, v := range values {
		t, err := parseTarget(v, modifier)
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, t)
	}
	return func(v fhirpath.Value) bool {
		literal, ok := v.JSON.(string) // a canonical or a uri
		if object, isObject := v.JSON.(map[string]any); isObject {
			literal, ok = object["reference"].(string)
		}
		if !ok {
			return false
		}
		typ, id := fhirpath.SplitReference(literal)
		return slices.ContainsFunc(wanted, func(w target) bool {
			if w.url != "" {
				return w.url == literal
			}
			return id != "" && w.id == id && (w.typ == "" || typ == "" || w.typ == typ)
		})
	}, nil
}
