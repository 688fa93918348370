package fhirjson

import "encoding/binary"

// names finds duplicate member names in objects whose members are not Nodes. It
// is a stack: an object's names lie above those of the objects around it.
type names struct {
	all   []memberName
	arena []byte            // the text of names with escapes
	big   []map[string]bool // of objects with many names
	at    []int             // where the objects of big begin in all
	free  []map[string]bool // maps to use again
}

// memberName is a name in the line, or in the arena when at is negative.
type memberName struct {
	sum      uint64
	at, size int
}

// manyNames is from where on an object's names are kept in a map: below, they
// are compared one by one.
const manyNames = 24

// reset forgets the names of all objects, such as an invalid line leaves behind.
func (s *names) reset() {
	for len(s.big) > 0 {
		s.pop(s.at[len(s.at)-1])
	}
	s.all, s.arena = s.all[:0], s.arena[:0]
}

// add notes a name of the object whose names begin at base, and reports whether
// it is new. The name lies in the line at the offset, or in the arena when the
// offset is negative: arena[^at:].
func (s *names) add(line []byte, base, at, size int) bool {
	name := s.text(line, at, size)
	if len(s.at) > 0 && s.at[len(s.at)-1] == base {
		m := s.big[len(s.big)-1]
		if m[string(name)] {
			return false
		}
		m[string(name)] = true
		return true
	}
	sum := sumName(name)
	for _, other := range s.all[base:] {
		if other.sum == sum && other.size == size && string(s.text(line, other.at, size)) == string(name) {
			return false
		}
	}
	s.all = append(s.all, memberName{sum, at, size})
	if len(s.all)-base > manyNames {
		s.spread(line, base)
	}
	return true
}

// addName is add for a name that stands nowhere.
func (s *names) addName(line []byte, base int, name string) bool {
	start := len(s.arena)
	s.arena = append(s.arena, name...)
	return s.add(line, base, ^start, len(name))
}

// spread moves the names of an object into a map.
func (s *names) spread(line []byte, base int) {
	var m map[string]bool
	if n := len(s.free); n > 0 {
		m, s.free = s.free[n-1], s.free[:n-1]
	} else {
		m = map[string]bool{}
	}
	for _, n := range s.all[base:] {
		m[string(s.text(line, n.at, n.size))] = true
	}
	s.big, s.at = append(s.big, m), append(s.at, base)
}

// pop forgets the names of the object whose names begin at base.
func (s *names) pop(base int) {
	if n := len(s.at); n > 0 && s.at[n-1] == base {
		m := s.big[n-1]
		s.big, s.at = s.big[:n-1], s.at[:n-1]
		if len(m) <= 1<<10 { // a greater one would be memory for good
			clear(m)
			s.free = append(s.free, m)
		}
	}
	s.all = s.all[:base]
}

func (s *names) text(line []byte, at, size int) []byte {
	if at < 0 {
		return s.arena[^at : ^at+size]
	}
	return line[at : at+size]
}

// sumName tells most names apart.
func sumName(name []byte) uint64 {
	n := len(name)
	if n >= 8 {
		head, tail := binary.LittleEndian.Uint64(name), binary.LittleEndian.Uint64(name[n-8:])
		return head ^ tail*0x9e3779b97f4a7c15 + uint64(n)
	}
	sum := uint64(n) << 56
	for i, c := range name {
		sum |= uint64(c) << (8 * i)
	}
	return sum
}
