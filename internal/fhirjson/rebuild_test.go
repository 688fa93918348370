package fhirjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// rebuilder is a Handler that makes the resource again of its events.
type rebuilder struct {
	stack  []any // *object or *array, the root first
	nodes  []*Node
	events []string // what came, for tests that look at it
	t      *testing.T
}

type (
	object map[string]any
	array  []any
)

func (r *rebuilder) begin(typ string) {
	r.stack = append(r.stack[:0], &object{"resourceType": strconv.Quote(typ)})
	r.nodes = append(r.nodes[:0], nil)
	r.events = r.events[:0]
}

func (r *rebuilder) log(format string, args ...any) {
	r.events = append(r.events, fmt.Sprintf(format, args...))
}

func (r *rebuilder) put(n *Node, v any) {
	switch top := r.stack[len(r.stack)-1].(type) {
	case *object:
		if n.IsList() {
			if _, isArray := v.(*array); !isArray {
				r.t.Errorf("%s: an item outside of its list", n.Name())
			}
		}
		if _, ok := (*top)[n.Name()]; ok {
			r.t.Errorf("%s came twice", n.Name())
		}
		(*top)[n.Name()] = v
	case *array:
		*top = append(*top, v)
	}
}

func (r *rebuilder) push(n *Node, v any) {
	r.put(n, v)
	r.stack = append(r.stack, v)
	r.nodes = append(r.nodes, n)
}

func (r *rebuilder) pop(n *Node) {
	if r.nodes[len(r.nodes)-1] != n {
		r.t.Errorf("%s ended, but is not open", n.Name())
	}
	r.stack = r.stack[:len(r.stack)-1]
	r.nodes = r.nodes[:len(r.nodes)-1]
}

func (r *rebuilder) Struct(n *Node) {
	r.log("{ %s", n.Name())
	if n.Leaf() {
		r.t.Errorf("%s is a leaf", n.Name())
	}
	r.push(n, &object{})
}

func (r *rebuilder) EndStruct(n *Node) {
	r.log("} %s", n.Name())
	r.pop(n)
}

func (r *rebuilder) List(n *Node) {
	r.log("[ %s", n.Name())
	if !n.IsList() {
		r.t.Errorf("%s is no list", n.Name())
	}
	r.push(n, &array{})
}

func (r *rebuilder) EndList(n *Node) {
	r.log("] %s", n.Name())
	if len(*r.stack[len(r.stack)-1].(*array)) == 0 {
		r.t.Errorf("%s: empty list", n.Name())
	}
	r.pop(n)
}

func (r *rebuilder) Scalar(n *Node, v Scalar) {
	r.log("%s=%s", n.Name(), v.Raw)
	if !n.Leaf() {
		r.t.Errorf("%s is no leaf", n.Name())
	}
	if v.Escaped != (n.item == shapeString && bytes.IndexByte(v.Raw, '\\') >= 0) {
		r.t.Errorf("%s: Escaped is %v", n.Name(), v.Escaped)
	}
	text := string(v.Raw)
	if n.item == shapeString {
		text = `"` + text + `"`
	}
	r.put(n, text)
}

func (r *rebuilder) Null(n *Node) {
	r.log("%s null", n.Name())
	if _, ok := r.stack[len(r.stack)-1].(*array); !ok {
		r.t.Errorf("%s: null outside of a list", n.Name())
	}
	r.put(n, "null")
}

// Unmapped puts the value where its pointer says, over the null that an item
// leaves. Structures on the way are there already: they were announced.
func (r *rebuilder) Unmapped(pointer, raw []byte) {
	r.log("? %s %s", pointer, raw)
	tokens := strings.Split(string(pointer), "/")
	if tokens[0] != "" || len(tokens) < 2 {
		r.t.Fatalf("pointer %q", pointer)
	}
	at := r.stack[0]
	for i, token := range tokens[1:] {
		last := i == len(tokens)-2
		switch v := at.(type) {
		case *object:
			name := strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
			if last {
				if _, ok := (*v)[name]; ok {
					r.t.Errorf("%s came twice", pointer)
				}
				(*v)[name] = string(raw)
			}
			at = (*v)[name]
		case *array:
			k, err := strconv.Atoi(token)
			if err != nil || k != len(*v)-1 {
				r.t.Fatalf("pointer %q: item %d of %d", pointer, k, len(*v))
			}
			if last {
				if (*v)[k] != "null" {
					r.t.Errorf("%s came twice", pointer)
				}
				(*v)[k] = string(raw)
			}
			at = (*v)[k]
		default:
			r.t.Fatalf("pointer %q leads through %T", pointer, at)
		}
	}
}

func (r *rebuilder) json() []byte {
	if len(r.stack) != 1 {
		r.t.Errorf("%d levels open at the end", len(r.stack))
	}
	return appendJSON(nil, r.stack[0])
}

func appendJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return append(dst, v...)
	case *object:
		dst = append(dst, '{')
		first := true
		for name, member := range *v {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			quoted, err := json.Marshal(name)
			if err != nil {
				panic(err)
			}
			dst = append(append(dst, quoted...), ':')
			dst = appendJSON(dst, member)
		}
		return append(dst, '}')
	case *array:
		dst = append(dst, '[')
		for i, item := range *v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, item)
		}
		return append(dst, ']')
	}
	panic("no such value")
}

// canonical is the JSON value with numbers by their text.
func canonical(t *testing.T, text []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %.200s", err, text)
	}
	return v
}

// sameJSON compares two texts by their values.
func sameJSON(t *testing.T, got, want []byte) bool {
	t.Helper()
	return reflect.DeepEqual(canonical(t, got), canonical(t, want))
}
