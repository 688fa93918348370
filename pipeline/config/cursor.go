package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// cursor is a place in the document: a node and the path that led to it.
type cursor struct {
	node ast.Node
	path string
	at   *token.Token // where an error about the place is shown
}

// entry is one key of a mapping with its value.
type entry struct {
	key    string
	at     *token.Token // of the key
	value  cursor
	merged bool // came by a merge key: an explicit key of the same name wins
}

// decoder collects the errors of one document while it is read.
type decoder struct {
	file    string
	lines   []string
	env     func(string) (string, bool)
	anchors map[string]ast.Node
	errs    []*Error
}

// fail notes an error at the cursor.
func (d *decoder) fail(c cursor, message, hint string) {
	d.failAt(c.at, c.path, message, hint, false)
}

// failMasked notes an error whose excerpt must not show the value.
func (d *decoder) failMasked(c cursor, message, hint string) {
	d.failAt(c.at, c.path, message, hint, true)
}

func (d *decoder) failAt(at *token.Token, path, message, hint string, mask bool) {
	e := &Error{File: d.file, Path: path, Message: message, hint: hint}
	if at != nil && at.Position != nil {
		e.Line, e.Column = at.Position.Line, at.Position.Column
		if e.Line >= 1 && e.Line <= len(d.lines) {
			e.Excerpt = excerpt(d.lines[e.Line-1], e.Line, e.Column, mask)
		}
	}
	d.errs = append(d.errs, e)
}

// cursorAt makes the cursor of a node, aliases and anchors resolved.
func (d *decoder) cursorAt(node ast.Node, path string, key *token.Token) cursor {
	at := key
	if node != nil {
		if _, null := node.(*ast.NullNode); !null {
			at = first(node)
		}
	}
	for hops := 0; hops < 16; hops++ {
		switch n := node.(type) {
		case *ast.AnchorNode:
			node = n.Value
			continue
		case *ast.AliasNode:
			target, ok := d.anchors[n.Value.GetToken().Value]
			if !ok {
				d.failAt(at, path, "alias of an anchor that is not there", "define it earlier in the file with &"+n.Value.GetToken().Value, false)
				return cursor{path: path, at: at}
			}
			node = target
			continue
		}
		return cursor{node: node, path: path, at: at}
	}
	d.failAt(at, path, "alias that leads to itself", "", false)
	return cursor{path: path, at: at}
}

// first is the token where a node begins in the text.
func first(node ast.Node) *token.Token {
	if m, ok := node.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken()
	}
	return node.GetToken()
}

// entries lists the keys of the mapping at c, merge keys resolved; ok is false
// when there is no mapping, which is noted. Duplicated keys are noted and their
// first value kept.
func (d *decoder) entries(c cursor) (list []entry, ok bool) {
	return d.mapping(c, 0)
}

func (d *decoder) mapping(c cursor, depth int) (list []entry, ok bool) {
	var values []*ast.MappingValueNode
	switch n := c.node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		d.wrongType(c, "a mapping")
		return nil, false
	}
	if depth > 8 {
		d.fail(c, "merge keys nested too deeply", "")
		return nil, false
	}
	seen := make(map[string]entry)
	var inherited []entry
	for _, v := range values {
		at := v.Key.GetToken()
		if v.Key.IsMergeKey() {
			inherited = append(inherited, d.merge(d.cursorAt(v.Value, c.path, at), depth)...)
			continue
		}
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			d.failAt(at, c.path, "a key that is not plain text", "put quotes around it", false)
			continue
		}
		if earlier, twice := seen[key.Value]; twice {
			d.failAt(at, join(c.path, key.Value), "key given twice",
				fmt.Sprintf("it stands on line %d already; keep one of the two", earlier.at.Position.Line), false)
			continue
		}
		e := entry{key: key.Value, at: at, value: d.cursorAt(v.Value, join(c.path, key.Value), at)}
		seen[e.key] = e
		list = append(list, e)
	}
	for _, e := range inherited {
		if _, overridden := seen[e.key]; !overridden {
			e.merged = true
			seen[e.key] = e
			list = append(list, e)
		}
	}
	return list, true
}

// merge gives the entries that a merge key brings: of a mapping, or of a list
// of mappings of which the earlier win.
func (d *decoder) merge(c cursor, depth int) []entry {
	seq, isList := c.node.(*ast.SequenceNode)
	if !isList {
		list, _ := d.mapping(c, depth+1)
		return list
	}
	var list []entry
	for _, v := range seq.Values {
		more, _ := d.mapping(d.cursorAt(v, c.path, c.at), depth+1)
		for _, e := range more {
			if !slices.ContainsFunc(list, func(o entry) bool { return o.key == e.key }) {
				list = append(list, e)
			}
		}
	}
	return list
}

// child is the value of a key of the mapping at c.
func (d *decoder) child(c cursor, key string) (cursor, bool) {
	quiet := &decoder{file: d.file, lines: d.lines, anchors: d.anchors}
	if _, ok := c.node.(*ast.MappingNode); !ok {
		return c, false
	}
	list, _ := quiet.entries(c)
	for _, e := range list {
		if e.key == key {
			return e.value, true
		}
	}
	return cursor{node: c.node, path: join(c.path, key), at: c.at}, false
}

// wrongType notes that the place holds something else than is wanted.
func (d *decoder) wrongType(c cursor, want string) {
	switch c.node.(type) {
	case nil:
		if !d.notedAt(c.path) {
			d.fail(c, "has no value, want "+want, "give it a value or remove the key")
		}
	case *ast.NullNode:
		d.fail(c, "has no value, want "+want, "give it a value or remove the key")
	default:
		d.fail(c, "is "+describe(c.node)+", want "+want, shapeHint(c.node, want))
	}
}

// shapeHint says how what is wanted is written.
func shapeHint(node ast.Node, want string) string {
	if want == "a list" {
		return "write [one, another], or each on a line of its own after a dash"
	}
	if want == "a mapping" {
		return "put its keys below it, indented"
	}
	switch node.(type) {
	case *ast.SequenceNode, *ast.MappingNode, *ast.MappingValueNode:
		if want == "key reference" { // a JWK is YAML as well
			return "a JWK goes between single quotes, or indented below 'key: |'"
		}
		return "give it one value"
	}
	return ""
}

func (d *decoder) notedAt(path string) bool {
	return slices.ContainsFunc(d.errs, func(e *Error) bool { return e.Path == path })
}

func describe(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.TagNode:
		return "a tagged value"
	}
	return "text"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	if strings.ContainsAny(key, ".[] \t") {
		return path + "[" + fmt.Sprintf("%q", key) + "]"
	}
	return path + "." + key
}

// itemToken is where the item of a list begins.
func itemToken(d *decoder, c cursor, i int) *token.Token {
	seq, ok := c.node.(*ast.SequenceNode)
	if !ok || i >= len(seq.Values) || seq.Values[i] == nil {
		return c.at
	}
	return first(seq.Values[i])
}
