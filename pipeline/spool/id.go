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
		err := p.eachRecord(ctx, func(r *record) bool {
			if r.kind == resourceLine && r.flags&flagNoID == 0 {
				if _, asked := ids[r.id]; asked {
					ids[r.id] = true
				}
			}
			return true
		})
		if err != nil {
			return fmt.Errorf("look for ids: %w", err)
		}
	}
	return nil
}
