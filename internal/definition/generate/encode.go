package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/internal/definition"
)

// The format of the table, as in package definition.
const (
	magic        = "flue-r4\x01"
	flagList     = 1 << 4
	flagRequired = 1 << 5
	flagChoice   = 1 << 6
	flagSystem   = 1 << 7
)

// encoder writes the table; package definition documents and reads the format.
type encoder struct {
	body    []byte
	strings map[string]int
	order   []string
	lists   map[string]int
	listed  [][]string
}

func encode(structs structures, params []searchParam, compartment []member) ([]byte, error) {
	e := encoder{strings: map[string]int{}, lists: map[string]int{"": 0}, listed: [][]string{nil}}
	index := map[string]int{}
	for i, s := range structs.all {
		index[s.name] = i
	}
	e.number(len(structs.all))
	for _, s := range structs.all {
		e.string(s.name)
		e.number(len(s.fields))
		for _, f := range s.fields {
			e.string(f.name)
			e.string(f.typ)
			e.number(flags(f))
			if f.choice != "" {
				e.string(f.choice)
			}
			if f.kind == definition.Complex {
				e.number(index[f.members])
			}
		}
	}
	e.number(len(structs.resources))
	for _, name := range structs.resources {
		e.number(index[name])
	}
	for _, name := range []string{"Resource", "Extension", "Element"} {
		e.number(index[name])
	}

	slices.SortFunc(compartment, func(a, b member) int { return strings.Compare(a.Code, b.Code) })
	inside := slices.DeleteFunc(slices.Clone(compartment), func(m member) bool { return len(m.Param) == 0 })
	e.number(len(inside))
	for _, m := range inside {
		if !slices.Contains(structs.resources, m.Code) {
			return nil, fmt.Errorf("compartment: unknown type %q", m.Code)
		}
		e.string(m.Code)
		e.list(m.Param)
	}

	e.number(len(params))
	for _, p := range params {
		e.string(p.base)
		e.string(p.code)
		e.string(p.kind)
		e.string(p.expression)
		e.list(p.targets)
	}
	return e.table()
}

// flags packs the kind in the low four bits, then list, required, choice
// and system.
func flags(f field) int {
	n := int(f.kind)
	if f.list {
		n |= flagList
	}
	if f.required {
		n |= flagRequired
	}
	if f.choice != "" {
		n |= flagChoice
	}
	if f.system {
		n |= flagSystem
	}
	return n
}

func (e *encoder) number(n int) { e.body = binary.AppendUvarint(e.body, uint64(n)) }

func (e *encoder) string(s string) { e.number(e.intern(s)) }

func (e *encoder) intern(s string) int {
	i, ok := e.strings[s]
	if !ok {
		i = len(e.order)
		e.strings[s] = i
		e.order = append(e.order, s)
	}
	return i
}

func (e *encoder) list(all []string) {
	key := strings.Join(all, "\x00")
	i, ok := e.lists[key]
	if !ok {
		i = len(e.listed)
		e.lists[key] = i
		e.listed = append(e.listed, all)
	}
	e.number(i)
}

// table puts the strings and the lists of strings before the body.
func (e *encoder) table() ([]byte, error) {
	body := e.body
	e.body = nil
	e.number(len(e.listed))
	for _, list := range e.listed {
		e.number(len(list))
		for _, s := range list {
			e.string(s)
		}
	}
	lists := e.body
	head := binary.AppendUvarint([]byte(magic), uint64(len(e.order)))
	for _, s := range e.order {
		head = binary.AppendUvarint(head, uint64(len(s)))
	}
	for _, s := range e.order {
		head = append(head, s...)
	}
	return deflate(head, lists, body)
}
