package store

import (
	"bytes"
	"encoding/json"

	"github.com/flue-fhir/flue/export/sandbox/fhirpath"
	"github.com/flue-fhir/flue/internal/definition"
)

// What a leaf of the scanned members is.
type leaf uint8

const (
	noLeaf leaf = iota
	leafType
	leafID
	leafUpdated
	leafReference
)

// node is a JSON object in which a scan looks for members.
type node struct {
	leaf     leaf // of the node itself
	children map[string]*node
}

func (n *node) child(name string) *node {
	if n.children == nil {
		n.children = map[string]*node{}
	}
	c := n.children[name]
	if c == nil {
		c = new(node)
		n.children[name] = c
	}
	return c
}

// members is the tree of what the index wants to know of a resource: its type,
// id and lastUpdated, and the references that may put it into a patient's
// compartment.
func members(typ string) *node {
	root := new(node)
	root.child("resourceType").leaf = leafType
	root.child("id").leaf = leafID
	root.child("meta").child("lastUpdated").leaf = leafUpdated
	for _, path := range CompartmentPaths(typ) {
		for _, branch := range path.Branches {
			root.reference(branch.Steps)
		}
	}
	return root
}

func (n *node) reference(steps []fhirpath.Step) {
	if len(steps) == 0 {
		n.child("reference").leaf = leafReference
		return
	}
	for _, m := range steps[0].Members {
		n.child(m.Name).reference(steps[1:])
	}
}

// CompartmentPaths are the paths of the references by which resources of the
// type belong to patients. They are those of R4's patient compartment, and the
// search parameter "patient" of types which that leaves out (Device); Binary
// belongs by its securityContext. A Patient belongs to itself alone: what the
// compartment says of links would export a second patient unasked.
func CompartmentPaths(typ string) []*fhirpath.Path {
	if typ == "Patient" {
		return nil
	}
	codes := definition.Compartment(typ)
	if codes == nil {
		codes = []string{"patient"}
	}
	var out []*fhirpath.Path
	for _, code := range codes {
		p, ok := definition.Search(typ, code)
		if !ok {
			continue
		}
		if path, err := fhirpath.Compile(typ, p.Expression); err == nil {
			out = append(out, path)
		}
	}
	if typ == "Binary" {
		step := fhirpath.Step{Members: []fhirpath.Member{{Name: "securityContext", Type: "Reference"}}}
		out = append(out, &fhirpath.Path{Branches: []fhirpath.Branch{{Steps: []fhirpath.Step{step}}}})
	}
	return out
}

// InCompartment reports whether resources of the type may belong to a patient.
func InCompartment(typ string) bool { return typ == "Patient" || len(CompartmentPaths(typ)) > 0 }

// scanner finds members in a line without decoding it. It trusts the line to
// be JSON; where it is not, scan stops and what it found so far stands.
type scanner struct {
	line []byte
	emit func(leaf, []byte) // the string's content without quotes, unescaped
}

// scan looks through the line, and reports whether it reached its end.
func scan(line []byte, tree *node, emit func(leaf, []byte)) bool {
	s := scanner{line, emit}
	at, ok := s.value(s.space(0), tree, 0)
	return ok && s.space(at) == len(line)
}

func (s *scanner) space(at int) int {
	for at < len(s.line) && (s.line[at] == ' ' || s.line[at] == '\t' || s.line[at] == '\r' || s.line[at] == '\n') {
		at++
	}
	return at
}

// text returns the end of the string that begins at the quote at.
func (s *scanner) text(at int) (end int, ok bool) {
	at++
	for {
		quote := bytes.IndexByte(s.line[at:], '"')
		if quote < 0 {
			return 0, false
		}
		back := 0
		for i := at + quote - 1; i >= 0 && s.line[i] == '\\'; i-- {
			back++
		}
		at += quote + 1
		if back%2 == 0 {
			return at, true
		}
	}
}

// maxDepth bounds the nesting that a scan follows into members it looks for;
// what it skips may be nested at will.
const maxDepth = 64

// value reads a value for the node and returns where it ends.
func (s *scanner) value(at int, n *node, depth int) (int, bool) {
	if at >= len(s.line) || depth > maxDepth {
		return at, false
	}
	switch s.line[at] {
	case '{':
		return s.object(at, n, depth)
	case '[':
		return s.array(at, n, depth)
	case '"':
		end, ok := s.text(at)
		if ok && n.leaf != noLeaf {
			s.found(n.leaf, s.line[at:end])
		}
		return end, ok
	}
	return s.skip(at)
}

func (s *scanner) found(l leaf, quoted []byte) {
	if bytes.IndexByte(quoted, '\\') >= 0 {
		var text string
		if json.Unmarshal(quoted, &text) == nil {
			s.emit(l, []byte(text))
		}
		return
	}
	s.emit(l, quoted[1:len(quoted)-1])
}

func (s *scanner) object(at int, n *node, depth int) (int, bool) {
	at = s.space(at + 1)
	if at < len(s.line) && s.line[at] == '}' {
		return at + 1, true
	}
	for at < len(s.line) && s.line[at] == '"' {
		end, ok := s.text(at)
		if !ok {
			return at, false
		}
		child := n.children[string(s.line[at+1:end-1])]
		at = s.space(end)
		if at >= len(s.line) || s.line[at] != ':' {
			return at, false
		}
		at = s.space(at + 1)
		if child != nil {
			at, ok = s.value(at, child, depth+1)
		} else {
			at, ok = s.skip(at)
		}
		if !ok {
			return at, false
		}
		at = s.space(at)
		if at >= len(s.line) {
			return at, false
		}
		if s.line[at] == '}' {
			return at + 1, true
		}
		if s.line[at] != ',' {
			return at, false
		}
		at = s.space(at + 1)
	}
	return at, false
}

func (s *scanner) array(at int, n *node, depth int) (int, bool) {
	at = s.space(at + 1)
	if at < len(s.line) && s.line[at] == ']' {
		return at + 1, true
	}
	for {
		var ok bool
		if at, ok = s.value(at, n, depth+1); !ok {
			return at, false
		}
		at = s.space(at)
		if at >= len(s.line) {
			return at, false
		}
		if s.line[at] == ']' {
			return at + 1, true
		}
		if s.line[at] != ',' {
			return at, false
		}
		at = s.space(at + 1)
	}
}

// skip passes over a value of any kind, counting brackets only.
func (s *scanner) skip(at int) (int, bool) {
	open := 0
	for at < len(s.line) {
		switch s.line[at] {
		case '"':
			end, ok := s.text(at)
			if !ok {
				return at, false
			}
			if at = end; open == 0 {
				return at, true
			}
			continue
		case '{', '[':
			open++
		case '}', ']':
			if open == 0 {
				return at, true // of the value around a number or literal
			}
			if open--; open == 0 {
				return at + 1, true
			}
		case ',':
			if open == 0 {
				return at, true
			}
		}
		at++
	}
	return at, open == 0
}

// PatientMatcher tests whether a line refers to one of some patients.
type PatientMatcher struct {
	tree *node
	ids  map[string]bool
}

// NewPatientMatcher makes a test of the references at the path.
func NewPatientMatcher(path *fhirpath.Path, ids []string) *PatientMatcher {
	m := &PatientMatcher{tree: new(node), ids: make(map[string]bool, len(ids))}
	for _, b := range path.Branches {
		m.tree.reference(b.Steps)
	}
	for _, id := range ids {
		m.ids[id] = true
	}
	return m
}

// Match reports whether the line refers to one of the patients.
func (m *PatientMatcher) Match(line []byte) bool {
	found := false
	scan(line, m.tree, func(_ leaf, text []byte) {
		if found {
			return
		}
		id, ok := patientOf(string(text))
		found = ok && m.ids[id]
	})
	return found
}
