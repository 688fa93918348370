package spool

import (
	"context"
	"fmt"
)

// ID is the name of a resource: a hash of its type and id.
type ID [16]byte

// NewID names a resource by its type and id.
func NewID(typ, id string) ID {
	sum, _ := hashID(nil, typ, []byte(id))
	return sum
}

// Delivered sets to true those of the ids of which the parts have a resource.
func Delivered(ctx context.Context, parts []*Part, ids map[ID]bool) error {
	if len(ids) == 0 {
		return nil
	}
	for _, p := range parts {
		err := p.EachID(ctx, func(id ID) {
			if _, asked := ids[id]; asked {
				ids[id] = true
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// EachID yields the names of the part's resources that have an id, in the order of
// lines, some perhaps more than once.
func (p *Part) EachID(ctx context.Context, yield func(ID)) error {
	err := p.eachRecord(ctx, func(r *record) bool {
		if r.kind == resourceLine && r.flags&flagNoID == 0 {
			yield(r.id)
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("look for ids: %w", err)
	}
	return nil
}
