package fhirjson

import (
	"errors"
	"fmt"
	"strings"
)

// MarshalText returns the columns as text in definition order, which does not
// depend on the order of sight:
//
//	Patient{id,meta{lastUpdated},name{family,given,_given{extension{url,valueString}}}}
func (t *Tree) MarshalText() ([]byte, error) {
	return appendChildren([]byte(t.Type), t.Nodes[0], t.needed()), nil
}

func appendChildren(dst []byte, n *Node, needed []bool) []byte {
	separator := byte('{')
	for _, child := range n.sorted() {
		if !needed[child.ID] {
			continue
		}
		dst = append(dst, separator)
		dst = append(dst, child.Name()...)
		dst = appendChildren(dst, child, needed)
		separator = ','
	}
	if separator == ',' {
		dst = append(dst, '}')
	}
	return dst
}

// errTreeText is a text that MarshalText did not write.
var errTreeText = errors.New("columns: malformed text")

// UnmarshalText is the inverse of MarshalText; the Nodes are bound to the
// definitions again. A member that the definitions do not know is an error.
// Limits are kept, and do not apply: what was a column once stays one.
func (t *Tree) UnmarshalText(text []byte) error {
	rest := string(text)
	end := strings.IndexByte(rest, '{')
	if end < 0 {
		end = len(rest)
	}
	u := NewTree(rest[:end], t.Limits)
	if u == nil {
		return errors.New("columns: unknown resource type")
	}
	rest, err := u.parseChildren(u.Nodes[0], rest[end:])
	if err != nil {
		return err
	}
	if rest != "" {
		return errTreeText
	}
	u.Frozen, u.settled = t.Frozen, len(u.Nodes)
	*t = *u
	return nil
}

// maxTextDepth bounds the nesting of a text, far above any MaxDepth in use.
const maxTextDepth = 1000

// parseChildren reads "{a,b{c}}", or nothing, and returns what follows.
func (t *Tree) parseChildren(n *Node, rest string) (string, error) {
	if !strings.HasPrefix(rest, "{") {
		n.seen = n.Leaf()
		if !n.seen && n.Parent != nil {
			return "", fmt.Errorf("columns: no member below %q", n.Name())
		}
		return rest, nil
	}
	if n.Leaf() || n.Depth > maxTextDepth {
		return "", errTreeText
	}
	for {
		rest = rest[1:]
		end := strings.IndexAny(rest, "{,}")
		if end < 0 {
			return "", errTreeText
		}
		name := rest[:end]
		e, companion := n.define([]byte(name))
		if e == nil {
			return "", fmt.Errorf("columns: unknown member %q", name)
		}
		if n.child([]byte(name)) != nil {
			return "", fmt.Errorf("columns: member %q twice", name)
		}
		var err error
		if rest, err = t.parseChildren(t.add(n, e, companion), rest[end:]); err != nil {
			return "", err
		}
		switch {
		case strings.HasPrefix(rest, ","):
		case strings.HasPrefix(rest, "}"):
			return rest[1:], nil
		default:
			return "", errTreeText
		}
	}
}
