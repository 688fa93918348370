package definition

import (
	"compress/flate"
	_ "embed"
	"encoding/binary"
	"io"
	"strings"
	"sync"
)

// The embedded table, as written by generate, a deflate stream. All numbers are unsigned varints,
// strings, lists and structs are named by their index:
//
//	magic
//	strings      count, lengths, bytes
//	lists        count, of each: count, strings
//	structs      count, of each: name, field count, of each: name, type, flags,
//	             choice (flagChoice), struct (kind Complex)
//	resources    count, structs; then the structs Resource, Extension, Element
//	compartment  count, of each: type, list of codes
//	parameters   count, of each: base, code, kind, expression, list of targets
//
// Flags are the Kind in the low four bits and the bits below.
const (
	magic        = "flue-r4\x01"
	kindMask     = 1<<4 - 1
	flagList     = 1 << 4
	flagRequired = 1 << 5
	flagChoice   = 1 << 6
	flagSystem   = 1 << 7
)

//go:embed r4.bin
var embedded string

// table is the decoded table.
type table struct {
	types       map[string]*Struct
	resources   []*Struct // sorted by name
	base        *Struct
	extension   *Struct
	companion   *Struct
	compartment map[string][]string
	params      map[string][]SearchParam // by base type, sorted by code
}

// r4 is the table, decoded at its first use.
var r4 = sync.OnceValue(func() *table { return decode(embedded) })

// decoder reads the table. The table is part of the program: a fault in it is a
// fault of the build, which an index out of range tells well enough.
type decoder struct {
	rest    string
	strings []string
	lists   [][]string
}

func decode(compressed string) *table {
	data := inflate(compressed)
	if len(data) < len(magic) || data[:len(magic)] != magic {
		panic("definition: the embedded table has another format; run go generate")
	}
	d := &decoder{rest: data[len(magic):]}
	d.readStrings()
	d.readLists()
	t := &table{}
	structs := d.readStructs()
	t.resources = make([]*Struct, d.number())
	t.types = make(map[string]*Struct, len(t.resources))
	for i := range t.resources {
		s := &structs[d.number()]
		t.resources[i] = s
		t.types[s.Name] = s
	}
	t.base, t.extension, t.companion = &structs[d.number()], &structs[d.number()], &structs[d.number()]
	t.compartment = map[string][]string{}
	for range d.number() {
		t.compartment[d.string()] = d.list()
	}
	t.params = map[string][]SearchParam{}
	for range d.number() {
		base := d.string()
		t.params[base] = append(t.params[base], SearchParam{
			Code: d.string(), Kind: d.string(), Expression: d.string(), Targets: d.list(),
		})
	}
	return t
}

func inflate(data string) string {
	var text strings.Builder
	if _, err := io.Copy(&text, flate.NewReader(strings.NewReader(data))); err != nil {
		panic("definition: an embedded file is damaged; run go generate")
	}
	return text.String()
}

func (d *decoder) number() int {
	if b := d.rest[0]; b < 0x80 {
		d.rest = d.rest[1:]
		return int(b)
	}
	n, size := binary.Uvarint([]byte(d.rest[:min(len(d.rest), binary.MaxVarintLen64)]))
	d.rest = d.rest[size:]
	return int(n)
}

func (d *decoder) string() string { return d.strings[d.number()] }

func (d *decoder) list() []string { return d.lists[d.number()] }

func (d *decoder) readStrings() {
	lengths := make([]int, d.number())
	for i := range lengths {
		lengths[i] = d.number()
	}
	d.strings = make([]string, len(lengths))
	for i, n := range lengths {
		d.strings[i] = d.rest[:n]
		d.rest = d.rest[n:]
	}
}

func (d *decoder) readLists() {
	d.lists = make([][]string, d.number())
	for i := range d.lists {
		n := d.number()
		if n == 0 {
			continue
		}
		d.lists[i] = make([]string, n)
		for j := range n {
			d.lists[i][j] = d.string()
		}
	}
}

func (d *decoder) readStructs() []Struct {
	structs := make([]Struct, d.number())
	index := 0
	for i := range structs {
		s := &structs[i]
		s.Name = d.string()
		s.Fields = make([]Element, d.number())
		s.byName = make(map[string]*Element, len(s.Fields))
		for j := range s.Fields {
			e := &s.Fields[j]
			e.Name, e.Type, e.Order, e.index = d.string(), d.string(), j, index
			index++
			flags := d.number()
			e.Kind = Kind(flags & kindMask)
			e.List, e.Required = flags&flagList != 0, flags&flagRequired != 0
			e.System = flags&flagSystem != 0
			if flags&flagChoice != 0 {
				e.Choice = d.string()
			}
			if e.Kind == Complex {
				e.Struct = &structs[d.number()]
			}
			s.byName[e.Name] = e
		}
	}
	return structs
}
