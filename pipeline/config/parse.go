package config

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxBytes bounds a configuration file, maxNesting its brackets.
const (
	maxBytes   = 1 << 20
	maxNesting = 64
)

// Parse reads a configuration file. The name is for messages only; env looks up
// environment variables for ${NAME} in values. A file with anything wrong in it
// gives an *Errors that holds all of it, and no File. Keys that are left out are
// set where their type's comment names no default of its own for the zero value.
func Parse(name string, data []byte, env func(string) (string, bool)) (*File, error) {
	d := &decoder{file: name, env: env, anchors: map[string]ast.Node{}}
	d.lines = strings.Split(string(data), "\n")
	root, ok := d.document(data)
	if !ok {
		return nil, d.result()
	}
	f, _ := fileObject().kind().read(d, root)
	if len(d.errs) > 0 {
		return nil, d.result()
	}
	return &f, nil
}

func (d *decoder) result() *Errors {
	slices.SortStableFunc(d.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	same := func(a, b *Error) bool { return a.Line == b.Line && a.Column == b.Column && a.Message == b.Message }
	return &Errors{List: slices.CompactFunc(d.errs, same)}
}

// document gives the one mapping that the file consists of.
func (d *decoder) document(data []byte) (root cursor, ok bool) {
	whole := func(message, hint string) (cursor, bool) {
		d.failAt(nil, "", message, hint, false)
		return cursor{}, false
	}
	switch {
	case len(data) > maxBytes:
		return whole("file is longer than "+sizeText(maxBytes), "this does not look like a configuration")
	case !utf8.Valid(data):
		return whole("file is not UTF-8 text", "save it as UTF-8; other encodings and binary files are not read")
	case nesting(data) > maxNesting:
		return whole("brackets are nested too deeply", "this does not look like a configuration")
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	file, err := parseYAML(data)
	if err != nil {
		d.syntax(err)
		return cursor{}, false
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if _, directive := doc.Body.(*ast.DirectiveNode); doc.Body != nil && !directive {
			bodies = append(bodies, doc.Body)
		}
	}
	switch {
	case len(bodies) == 0:
		return whole("file is empty", "see `flue config schema` and jobs.yaml of the project for what belongs in it")
	case len(bodies) > 1:
		d.failAt(first(bodies[1]), "", "a second document", "one file holds one document: remove the --- line", false)
		return cursor{}, false
	}
	if !d.collect(bodies[0], 0) {
		return cursor{}, false
	}
	return d.cursorAt(bodies[0], "", nil), true
}

// parseYAML turns a panic of the YAML parser into an error: a broken file must
// not end the program.
func parseYAML(data []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, fmt.Errorf("not YAML")
		}
	}()
	return parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
}

func (d *decoder) syntax(err error) {
	var at yaml.Error
	if e, ok := err.(yaml.Error); ok {
		at = e
	}
	if at == nil || at.GetToken() == nil {
		d.failAt(nil, "", "not YAML", "", false)
		return
	}
	message, hint := at.GetMessage(), ""
	switch {
	case strings.Contains(message, "cannot start any token"):
		message, hint = "a character that cannot stand here", "indent with spaces, not with tabs; quote values that begin with @, `, % or the like"
	case strings.Contains(message, "mapping value is not allowed"):
		hint = "quote a value that holds a colon and a space; check the indentation"
	case strings.Contains(message, "must be specified"):
		hint = `between { } and [ ] put quotes around values with brackets or commas: "${NAME}"`
	}
	d.failAt(at.GetToken(), "", "not YAML: "+message, hint, false)
}

// collect gathers the anchors of the document, so that aliases can be resolved.
func (d *decoder) collect(node ast.Node, depth int) bool {
	if depth > 2*maxNesting {
		d.failAt(nil, "", "nested too deeply", "", false)
		return false
	}
	switch n := node.(type) {
	case *ast.AnchorNode:
		name := n.Name.GetToken().Value
		if _, twice := d.anchors[name]; twice {
			d.failAt(n.GetToken(), "", "anchor defined twice", "give it another name", false)
			return false
		}
		if !d.collect(n.Value, depth+1) {
			return false
		}
		d.anchors[name] = n.Value
	case *ast.MappingNode:
		for _, v := range n.Values {
			if !d.collect(v.Value, depth+1) {
				return false
			}
		}
	case *ast.MappingValueNode:
		return d.collect(n.Value, depth+1)
	case *ast.SequenceNode:
		for _, v := range n.Values {
			if !d.collect(v, depth+1) {
				return false
			}
		}
	}
	return true
}

// nesting is the greatest depth of brackets, those in text counted too, and of
// list dashes that begin one line.
func nesting(data []byte) int {
	brackets, dashes, deepest, leading := 0, 0, 0, true
	for i, c := range data {
		switch {
		case c == '[' || c == '{':
			brackets++
		case c == ']' || c == '}':
			brackets = max(0, brackets-1)
		}
		switch {
		case c == '\n':
			dashes, leading = 0, true
		case c == ' ' || c == '\t':
		case leading && (c == '-' || c == '?' || c == ':') && i+1 < len(data) && data[i+1] == ' ':
			dashes++
		default:
			leading = false
		}
		deepest = max(deepest, brackets, dashes)
	}
	return deepest
}
