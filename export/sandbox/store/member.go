package store

import "errors"

// errNotObject is returned for text that is not a JSON object.
var errNotObject = errors.New("the text is not a JSON object")

// Members calls visit with every member of a JSON object: its name without
// quotes as it is written, the value's text, and where the value stands. It
// stops when visit returns false.
func Members(object []byte, visit func(name, value []byte, start, end int) bool) error {
	s := &scanner{line: object}
	at := s.space(0)
	if at >= len(object) || object[at] != '{' {
		return errNotObject
	}
	at = s.space(at + 1)
	if at < len(object) && object[at] == '}' {
		return nil
	}
	for at < len(object) && object[at] == '"' {
		end, ok := s.text(at)
		if !ok {
			return errNotObject
		}
		name := object[at+1 : end-1]
		at = s.space(end)
		if at >= len(object) || object[at] != ':' {
			return errNotObject
		}
		start := s.space(at + 1)
		if at, ok = s.skip(start); !ok {
			return errNotObject
		}
		end = at
		for end > start && (object[end-1] == ' ' || object[end-1] == '\t' || object[end-1] == '\r' || object[end-1] == '\n') {
			end--
		}
		if end == start {
			return errNotObject
		}
		if !visit(name, object[start:end], start, end) {
			return nil
		}
		at = s.space(at)
		if at < len(object) && object[at] == '}' {
			return nil
		}
		if at >= len(object) || object[at] != ',' {
			return errNotObject
		}
		at = s.space(at + 1)
	}
	return errNotObject
}

// Member returns the text of an object's member, nil when it has none.
func Member(object []byte, name string) ([]byte, error) {
	var out []byte
	err := Members(object, func(n, value []byte, _, _ int) bool {
		if string(n) == name {
			out = value
		}
		return out == nil
	})
	return out, err
}

// SetMember returns a copy of the object with the member set to the value: in
// its place when it is there, at the end otherwise.
func SetMember(object []byte, name string, value []byte) ([]byte, error) {
	from, to, empty := -1, -1, true
	err := Members(object, func(n, _ []byte, start, end int) bool {
		empty = false
		if string(n) == name {
			from, to = start, end
		}
		return from < 0
	})
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(object)+len(name)+len(value)+4)
	if from >= 0 {
		out = append(out, object[:from]...)
		out = append(out, value...)
		return append(out, object[to:]...), nil
	}
	last := len(object) - 1
	for last >= 0 && object[last] != '}' {
		last--
	}
	out = append(out, object[:last]...)
	if !empty {
		out = append(out, ',')
	}
	out = append(out, '"')
	out = append(out, name...)
	out = append(out, '"', ':')
	out = append(out, value...)
	return append(out, object[last:]...), nil
}
