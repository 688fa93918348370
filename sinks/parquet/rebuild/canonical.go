package rebuild

import "fmt"

// Canonical appends the canonical form of a JSON text: no white space, the
// members of objects in the order of their names, strings with the fewest
// escapes, numbers by their text. Two resources are the same when their
// canonical forms are.
func Canonical(dst, json []byte) ([]byte, error) {
	v, err := parse(json)
	if err != nil {
		return dst, fmt.Errorf("canonical form: %w", err)
	}
	if err := v.normalize(); err != nil {
		return dst, fmt.Errorf("canonical form: %w", err)
	}
	v.sort()
	return v.append(dst), nil
}

// normalize gives the strings the fewest escapes.
func (v *value) normalize() error {
	if v.kind == scalar && v.text[0] == '"' {
		p := parser{text: v.text}
		text, err := p.string()
		if err != nil {
			return err
		}
		v.text = appendString(nil, text)
	}
	for _, m := range v.members {
		if err := m.normalize(); err != nil {
			return err
		}
	}
	for _, m := range v.items {
		if err := m.normalize(); err != nil {
			return err
		}
	}
	return nil
}
