package verify

import (
	"context"
	"encoding/binary"

	"github.com/flue-fhir/flue/sinks/parquet/rebuild"
)

// buckets is into how many parts a set of resources is divided, by their ids:
// only those that differ are looked at resource by resource.
const buckets = 1024

// tally stands for the resources that one side of a pair holds.
type tally struct{ digests [buckets]rebuild.Digest }

func bucket(i rebuild.Identity) int { return int(binary.LittleEndian.Uint16(i.ID[:])) % buckets }

func (t *tally) add(i rebuild.Identity) { t.digests[bucket(i)].AddIdentity(i) }

func (t *tally) merge(o *tally) {
	for i := range t.digests {
		t.digests[i].Merge(o.digests[i])
	}
}

func (t *tally) count() (n int64) {
	for i := range t.digests {
		n += t.digests[i].Count
	}
	return n
}

// mostHeld bounds how many resources are held against each other at a time
// (I8), at some hundred bytes each.
const mostHeld = 500_000

// compare tells how the two sides of a pair differ. It reads the files again,
// as often as memory demands, when they do.
func (c *checker) compare(ctx context.Context, p *pair) (Comparison, error) {
	a, b := &p.sides[lines].tally, &p.sides[rows].tally
	cmp := Comparison{Type: p.typ, Lines: a.count(), Rows: b.count()}
	most := int64(mostHeld)
	if c.most > 0 {
		most = int64(c.most)
	}
	wanted, held := map[int]bool{}, int64(0)
	for i := range buckets {
		if a.digests[i].Equal(&b.digests[i]) {
			continue
		}
		n := a.digests[i].Count + b.digests[i].Count
		if held > 0 && held+n > most {
			if err := c.differ(ctx, p, wanted, &cmp); err != nil {
				return cmp, err
			}
			wanted, held = map[int]bool{}, 0
		}
		wanted[i] = true
		held += n
	}
	if held == 0 {
		return cmp, nil
	}
	return cmp, c.differ(ctx, p, wanted, &cmp)
}

// short is enough of a hash to tell the resources of a bucket apart.
type short [16]byte

type version struct{ id, content short }

// differ counts the differences within the buckets.
func (c *checker) differ(ctx context.Context, p *pair, wanted map[int]bool, cmp *Comparison) error {
	balance := map[version]int64{} // lines less rows
	for side, sign := range []int64{lines: 1, rows: -1} {
		for _, f := range p.sides[side].files {
			// A file that cannot be read to its end is told of already.
			_ = c.each(ctx, f, func(i rebuild.Identity) {
				if !wanted[bucket(i)] {
					return
				}
				v := version{short(i.ID[:16]), short(i.Content[:16])}
				if balance[v] += sign; balance[v] == 0 {
					delete(balance, v)
				}
			})
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
	}
	type surplus struct{ lines, rows int64 }
	byID := map[short]surplus{}
	for v, n := range balance {
		s := byID[v.id]
		if n > 0 {
			s.lines += n
		} else {
			s.rows -= n
		}
		byID[v.id] = s
	}
	for _, s := range byID {
		changed := min(s.lines, s.rows)
		cmp.Changed += changed
		cmp.Missing += s.lines - changed
		cmp.Extra += s.rows - changed
	}
	return nil
}
