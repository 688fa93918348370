package store

import (
	"math"
	"slices"
	"time"
)

// View is the state of a Store at one moment. It is immutable: changes make a
// new one.
type View struct {
	store   *Store
	types   map[string]*layer
	deleted []Deletion // in the order of time
}

// Deletion is a resource that was deleted.
type Deletion struct {
	Type string
	ID   string
	At   time.Time

	patients []uint64 // hashes of the ids of those whose compartments it was in
}

// Of reports whether the resource was in the compartment of one of the
// patients; of any patient when ids is nil.
func (d Deletion) Of(ids []string) bool {
	if ids == nil {
		return len(d.patients) > 0
	}
	return slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(d.patients, hash(id)) })
}

// layer is a type's base index and what has changed above it.
type layer struct {
	base  *table // nil when the folder has no resource of the type
	gone  map[uint32]struct{}
	added []version
}

// version is a resource that a change wrote. Its row number follows those of
// the base.
type version struct {
	line     []byte
	id       string
	updated  int64
	patients []uint64 // hashes of ids that its references name
}

// inMemory is the segment number of versions.
const inMemory = math.MaxUint32

func (l *layer) baseRows() int {
	if l.base == nil {
		return 0
	}
	return l.base.rows.n
}

// rows is the number of rows, those that are gone included.
func (l *layer) rows() int { return l.baseRows() + len(l.added) }

func (l *layer) live() int { return l.rows() - len(l.gone) }

// Count returns how many resources of the type there are.
func (v *View) Count(typ string) int {
	if l := v.types[typ]; l != nil {
		return l.live()
	}
	return 0
}

// Pristine reports whether the type's resources are those of the folder, so
// that Pieces can give its files out as they are.
func (v *View) Pristine(typ string) bool {
	l := v.types[typ]
	return l != nil && l.base != nil && len(l.gone) == 0 && len(l.added) == 0
}

// Deleted returns the resources that were deleted after since and are still
// deleted.
func (v *View) Deleted(since time.Time) []Deletion {
	var out []Deletion
	for _, d := range v.deleted {
		if d.At.After(since) {
			out = append(out, d)
		}
	}
	return out
}

// Find returns the row of a resource.
func (v *View) Find(typ, id string) (row Row, ok bool, err error) {
	r := v.Reader(typ)
	defer r.Close()
	if r.layer == nil {
		return row, false, nil
	}
	for i := range slices.Backward(r.layer.added) {
		n := uint32(r.layer.baseRows() + i)
		if _, gone := r.layer.gone[n]; !gone && r.layer.added[i].id == id {
			return r.layer.version(i), true, nil
		}
	}
	if r.layer.base == nil {
		return row, false, nil
	}
	candidates, err := r.layer.base.ids.search(hash(id))
	if err != nil {
		return row, false, err
	}
	for _, n := range candidates {
		if _, gone := r.layer.gone[n]; gone {
			continue
		}
		row, err := r.row(n)
		if err != nil {
			return row, false, err
		}
		line, err := r.Line(row)
		if err != nil {
			return row, false, err
		}
		if IDOf(line) == id {
			return row, true, nil
		}
	}
	return row, false, nil
}

func (l *layer) version(i int) Row {
	return Row{N: uint32(l.baseRows() + i), Updated: l.added[i].updated, segment: inMemory}
}

// Members returns the rows of the type that are in the compartment of any
// patient; nil when all are.
func (v *View) Members(typ string) *Rows {
	l := v.types[typ]
	if l == nil {
		return new(Rows)
	}
	var base *Rows
	if l.base != nil {
		base = l.base.members
	}
	if len(l.added) == 0 && (l.base != nil || typ == "Patient") {
		return base
	}
	out := new(Rows)
	for n := range uint32(l.baseRows()) {
		if base.Has(n) {
			out.Add(n)
		}
	}
	for i, a := range l.added {
		if typ == "Patient" || v.anyPatient(a.patients) {
			out.Add(uint32(l.baseRows() + i))
		}
	}
	return out
}

// anyPatient reports whether one of the hashes is that of a patient's id.
func (v *View) anyPatient(hashes []uint64) bool {
	l := v.types["Patient"]
	if l == nil {
		return false
	}
	for _, h := range hashes {
		for i, a := range l.added {
			if _, gone := l.gone[uint32(l.baseRows()+i)]; !gone && hash(a.id) == h {
				return true
			}
		}
		if l.base == nil {
			continue
		}
		rows, err := l.base.ids.search(h)
		if err != nil {
			continue
		}
		for _, n := range rows {
			if _, gone := l.gone[n]; !gone {
				return true
			}
		}
	}
	return false
}

// fewPatients is how many are looked up one by one; for more the index is read
// from end to end.
const fewPatients = 512

// OfPatients returns the rows of the type that are in the compartments of the
// patients with these ids.
func (v *View) OfPatients(typ string, ids []string) (*Rows, error) {
	out := new(Rows)
	l := v.types[typ]
	if l == nil {
		return out, nil
	}
	hashes := make([]uint64, len(ids))
	for i, id := range ids {
		hashes[i] = hash(id)
	}
	slices.Sort(hashes)
	hashes = slices.Compact(hashes)
	for i, a := range l.added {
		for _, h := range a.patients {
			if _, ok := slices.BinarySearch(hashes, h); ok {
				out.Add(uint32(l.baseRows() + i))
			}
		}
	}
	if l.base == nil {
		return out, nil
	}
	if len(hashes) <= fewPatients {
		for _, h := range hashes {
			rows, err := l.base.refs.search(h)
			if err != nil {
				return nil, err
			}
			for _, n := range rows {
				out.Add(n)
			}
		}
		return out, nil
	}
	at := 0
	err := l.base.refs.each(func(k key) {
		for at < len(hashes) && hashes[at] < k.hash {
			at++
		}
		if at < len(hashes) && hashes[at] == k.hash {
			out.Add(k.row)
		}
	})
	return out, err
}

// First returns the first n resources of the type that have an id.
func (v *View) First(typ string, n int) ([]Reference, error) {
	var out []Reference
	r := v.Reader(typ)
	defer r.Close()
	for next := uint32(0); len(out) < n; {
		row, ok, err := r.Next(next, nil)
		if err != nil || !ok {
			return out, err
		}
		line, err := r.Line(row)
		if err != nil {
			return out, err
		}
		if id := IDOf(line); id != "" {
			out = append(out, Reference{typ, id})
		}
		next = row.N + 1
	}
	return out, nil
}
