package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// ErrNotFound is returned for a change of a resource that is not there.
var ErrNotFound = errors.New("no such resource")

// Reference names a resource.
type Reference struct{ Type, ID string }

// Touch gives the resources a new lastUpdated and versionId, all at one
// instant, which it returns. Where one is missing nothing changes. New versions
// are kept in memory.
func (s *Store) Touch(refs ...Reference) (time.Time, error) {
	return s.change(func(v *View, at time.Time) error {
		for _, ref := range refs {
			row, ok, err := v.Find(ref.Type, ref.ID)
			if err != nil {
				return err
			}
			if !ok {
				return ErrNotFound
			}
			r := v.Reader(ref.Type)
			line, err := r.Line(row)
			if err == nil {
				line, err = restamp(line, at)
			}
			if err := errors.Join(err, r.Close()); err != nil {
				return err
			}
			v.replace(ref, &row, line, at)
		}
		return nil
	})
}

// Delete deletes the resources, all at one instant, which it returns. Where one
// is missing nothing changes.
func (s *Store) Delete(refs ...Reference) (time.Time, error) {
	return s.change(func(v *View, at time.Time) error {
		for _, ref := range refs {
			row, ok, err := v.Find(ref.Type, ref.ID)
			if err != nil {
				return err
			}
			if !ok {
				return ErrNotFound
			}
			r := v.Reader(ref.Type)
			line, err := r.Line(row)
			if err == nil {
				v.deleted = append(v.deleted, Deletion{ref.Type, ref.ID, at, patientsOf(ref, line)})
			}
			if err := errors.Join(err, r.Close()); err != nil {
				return err
			}
			v.types[ref.Type].gone[row.N] = struct{}{}
		}
		return nil
	})
}

// Put creates or replaces a resource, with a new lastUpdated and versionId.
func (s *Store) Put(resource []byte) (time.Time, error) {
	ref := Reference{resourceType(resource), IDOf(resource)}
	if ref.Type == "" || ref.ID == "" || !json.Valid(resource) {
		return time.Time{}, errors.New("the resource has no type or no id, or is not JSON")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, resource); err != nil {
		return time.Time{}, err
	}
	return s.change(func(v *View, at time.Time) error {
		line, err := restamp(compact.Bytes(), at)
		if err != nil {
			return err
		}
		row, ok, err := v.Find(ref.Type, ref.ID)
		if err != nil {
			return err
		}
		if !ok {
			v.replace(ref, nil, line, at)
			return nil
		}
		v.replace(ref, &row, line, at)
		return nil
	})
}

// change runs edit on a copy of the view, which becomes the view unless edit
// fails.
func (s *Store) change(edit func(*View, time.Time) error) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.tick()
	next := &View{store: s, types: make(map[string]*layer, len(s.view.types)), deleted: slices.Clone(s.view.deleted)}
	for name, l := range s.view.types {
		gone := maps.Clone(l.gone)
		if gone == nil {
			gone = map[uint32]struct{}{}
		}
		next.types[name] = &layer{base: l.base, gone: gone, added: slices.Clip(l.added)}
	}
	if err := edit(next, at); err != nil {
		return time.Time{}, fmt.Errorf("change resources: %w", err)
	}
	s.view = next
	return at, nil
}

// replace puts the line in the place of row, or adds it when row is nil. A
// deletion of the resource is forgotten: it is there again.
func (v *View) replace(ref Reference, row *Row, line []byte, at time.Time) {
	l := v.types[ref.Type]
	if l == nil {
		l = &layer{gone: map[uint32]struct{}{}}
		v.types[ref.Type] = l
	}
	if row != nil {
		l.gone[row.N] = struct{}{}
	}
	l.added = append(l.added, version{line: line, id: ref.ID, updated: at.UnixMicro(), patients: patientsOf(ref, line)})
	v.deleted = slices.DeleteFunc(v.deleted, func(d Deletion) bool { return d.Type == ref.Type && d.ID == ref.ID })
}

// patientsOf returns the hashes of the patients' ids that the resource's
// references name.
func patientsOf(ref Reference, line []byte) []uint64 {
	var out []uint64
	if ref.Type == "Patient" {
		out = append(out, hash(ref.ID))
	}
	scan(line, members(ref.Type), func(l leaf, text []byte) {
		if l != leafReference {
			return
		}
		if id, ok := patientOf(string(text)); ok {
			out = append(out, hash(id))
		}
	})
	return out
}

// restamp returns the line with the instant and the next version in its meta;
// every other member keeps its bytes and its place.
func restamp(line []byte, at time.Time) ([]byte, error) {
	meta, err := Member(line, "meta")
	if err != nil {
		return nil, err
	}
	if meta == nil {
		meta = []byte("{}")
	}
	number := 1
	version, err := Member(meta, "versionId")
	if err != nil {
		return nil, err
	}
	if n, err := strconv.Atoi(string(bytes.Trim(version, `"`))); err == nil {
		number = n + 1
	}
	if meta, err = SetMember(meta, "versionId", []byte(strconv.Quote(strconv.Itoa(number)))); err != nil {
		return nil, err
	}
	if meta, err = SetMember(meta, "lastUpdated", []byte(at.UTC().Format(`"2006-01-02T15:04:05.000Z"`))); err != nil {
		return nil, err
	}
	return SetMember(line, "meta", meta)
}
