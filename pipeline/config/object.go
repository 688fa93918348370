package config

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// object describes a mapping with fixed keys and the value it fills. The tables
// of this package are made of objects; the parser, the JSON Schema and the
// reference of the documentation all follow them.
type object[T any] struct {
	fields []field[T]
	// check looks at what spans several keys, after all of them were read; c is
	// the mapping.
	check func(d *decoder, c cursor, v *T)
}

// field is one key of an object.
type field[T any] struct {
	key    string
	doc    string // one or two sentences, for editors and the documentation
	absent string // what leaving it out means
	needed bool
	word   string
	schema func() schema
	read   func(d *decoder, c cursor, v *T)
	preset func(v *T) // before the keys are read; may be nil
	nested []row      // the keys of the object below, for the documentation
}

// row is a line of the reference.
type row struct {
	key, word, absent, doc string
	needed                 bool
	nested                 []row
}

// at makes a field that is stored where the pointer leads.
func at[T, V any](key, doc string, k kind[V], where func(*T) *V) field[T] {
	return field[T]{
		key: key, doc: doc, word: k.word, schema: k.schema,
		read: func(d *decoder, c cursor, v *T) {
			if got, ok := k.read(d, c); ok {
				*where(v) = got
			}
		},
	}
}

// in makes a field that holds an object.
func in[T, V any](key, doc string, o object[V], where func(*T) *V) field[T] {
	f := at(key, doc, o.kind(), where)
	f.preset = func(v *T) { o.preset(where(v)) }
	f.nested = o.rows()
	return f
}

// need makes the key required.
func (f field[T]) need() field[T] {
	f.needed = true
	return f
}

// or says what leaving the key out means.
func (f field[T]) or(absent string) field[T] {
	f.absent = absent
	return f
}

// byDefault sets what the value is when the key is left out.
func byDefault[T, V any](f field[T], where func(*T) *V, value V) field[T] {
	f.absent = fmt.Sprint(value)
	f.preset = func(v *T) { *where(v) = value }
	return f
}

func (o object[T]) preset(v *T) {
	for _, f := range o.fields {
		if f.preset != nil {
			f.preset(v)
		}
	}
}

func (o object[T]) keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, f := range o.fields {
			if !yield(f.key) {
				return
			}
		}
	}
}

func (o object[T]) rows() []row {
	list := make([]row, len(o.fields))
	for i, f := range o.fields {
		list[i] = row{key: f.key, word: f.word, absent: f.absent, doc: f.doc, needed: f.needed, nested: f.nested}
	}
	return list
}

// kind makes the object readable as a value.
func (o object[T]) kind() kind[T] {
	return kind[T]{
		word: "mapping",
		schema: func() schema {
			properties, needed := schema{}, []string{}
			for _, f := range o.fields {
				s := maps.Clone(f.schema())
				s["description"] = f.doc
				if f.absent != "" {
					s["description"] = f.doc + " Default: " + f.absent + "."
				}
				properties[f.key] = s
				if f.needed {
					needed = append(needed, f.key)
				}
			}
			s := schema{"type": "object", "additionalProperties": false, "properties": properties}
			if len(needed) > 0 {
				s["required"] = needed
			}
			return s
		},
		read: func(d *decoder, c cursor) (v T, ok bool) {
			o.preset(&v)
			list, ok := d.entries(c)
			if !ok {
				return v, false
			}
			for _, e := range list {
				i := slices.IndexFunc(o.fields, func(f field[T]) bool { return f.key == e.key })
				if i < 0 {
					d.unknownKey(e, o.keys())
					continue
				}
				o.fields[i].read(d, e.value, &v)
			}
			for _, f := range o.fields {
				if f.needed && !slices.ContainsFunc(list, func(e entry) bool { return e.key == f.key }) {
					d.fail(c, "key "+f.key+" is missing", f.doc)
				}
			}
			if o.check != nil {
				o.check(d, c, &v)
			}
			return v, true
		},
	}
}

func (d *decoder) unknownKey(e entry, known iter.Seq[string]) {
	hint := ""
	if near := closest(e.key, known); near != "" {
		hint = "did you mean " + near + "?"
	} else {
		all := ""
		for k := range known {
			if all != "" {
				all += ", "
			}
			all += k
		}
		hint = "known here: " + all
	}
	d.failAt(e.at, e.value.path, "unknown key", hint, false)
}

// list is a list of values without repetitions.
func list[V comparable](k kind[V]) kind[[]V] {
	l := sequence(k)
	read := l.read
	l.schema = func() schema {
		return schema{"type": "array", "items": k.schema(), "minItems": 1, "uniqueItems": true}
	}
	l.read = func(d *decoder, c cursor) ([]V, bool) {
		values, ok := read(d, c)
		if !ok {
			return values, false
		}
		seen := make(map[V]bool, len(values))
		for i, v := range values {
			if seen[v] {
				d.failMasked(cursor{path: fmt.Sprintf("%s[%d]", c.path, i), at: itemToken(d, c, i)}, "stands in the list already", "remove one of the two")
			}
			seen[v] = true
		}
		return values, true
	}
	return l
}

// sequence is a list of at least one value. The list is given even when some
// values are wrong, without those, but then ok is false.
func sequence[V any](k kind[V]) kind[[]V] {
	return kind[[]V]{
		word: "list of " + k.word,
		schema: func() schema {
			return schema{"type": "array", "items": k.schema(), "minItems": 1}
		},
		read: func(d *decoder, c cursor) ([]V, bool) {
			seq, is := c.node.(*ast.SequenceNode)
			if !is {
				d.wrongType(c, "a list")
				return nil, false
			}
			if len(seq.Values) == 0 {
				d.fail(c, "is an empty list", "remove the key if nothing is meant")
				return nil, false
			}
			values, whole := make([]V, 0, len(seq.Values)), true
			for i, n := range seq.Values {
				v, ok := k.read(d, d.cursorAt(n, fmt.Sprintf("%s[%d]", c.path, i), itemToken(d, c, i)))
				if ok {
					values = append(values, v)
				}
				whole = whole && ok
			}
			return values, whole
		},
	}
}

// named is a value of a mapping whose keys are names that the person chose.
type named[V any] struct {
	name  string
	value V
	at    cursor
}

// names is a mapping from checked names to values, in the order of the file. The
// pattern, which may be empty, is the names' form in an editor's eyes.
func names[V any](word, pattern string, check func(string) (wrong, hint string), k kind[V]) kind[[]named[V]] {
	return kind[[]named[V]]{
		word: word,
		schema: func() schema {
			s := schema{"type": "object", "additionalProperties": k.schema(), "minProperties": 1}
			if pattern != "" {
				s["propertyNames"] = schema{"pattern": pattern}
			}
			return s
		},
		read: func(d *decoder, c cursor) ([]named[V], bool) {
			entries, ok := d.entries(c)
			if !ok {
				return nil, false
			}
			if len(entries) == 0 {
				if !d.notedAt(c.path) { // of a key that is no text
					d.fail(c, "is empty", "give it at least one entry")
				}
				return nil, false
			}
			var all []named[V]
			for _, e := range entries {
				if wrong, hint := check(e.key); wrong != "" {
					d.failAt(e.at, e.value.path, wrong, hint, false)
				}
				if v, ok := k.read(d, e.value); ok {
					all = append(all, named[V]{name: e.key, value: v, at: e.value})
				}
			}
			return all, true
		},
	}
}

// dictionary is a mapping from checked names to text.
func dictionary(word string, check func(string) (wrong, hint string), k kind[string]) kind[map[string]string] {
	n := names(word, "", check, k)
	return kind[map[string]string]{
		word:   word,
		schema: n.schema,
		read: func(d *decoder, c cursor) (map[string]string, bool) {
			all, ok := n.read(d, c)
			if !ok {
				return nil, false
			}
			m := make(map[string]string, len(all))
			for _, one := range all {
				m[one.name] = one.value
			}
			return m, true
		},
	}
}
