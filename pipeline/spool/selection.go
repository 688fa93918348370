package spool

import (
	"context"
	"fmt"
	"slices"

	"github.com/flue-fhir/flue/internal/fhirjson"
)

const defaultMemory = 64 << 20

// Selection says which lines of a type are published. Its methods may be called
// by several goroutines at once.
type Selection struct {
	Type       string
	Views      []*View        // the parts that publish lines of the type, in order
	Tree       *fhirjson.Tree // what occurs in the parts; nil for a type that R4 has not, and for no lines
	Delivered  int64          // lines of the type: Published + Superseded (I3)
	Published  int64
	Superseded int64
	Left       int // leaves that had no room in Tree
	// Repeated counts the published lines that have the id of another one, with
	// nothing to tell which is newer; see SelectOptions.KeepUndated.
	Repeated int64

	losers *losers
}

// Close frees what the selection holds.
func (s *Selection) Close() error { return s.losers.close() }

// SelectOptions say how lines of the same id are taken.
type SelectOptions struct {
	Memory int64 // bytes of the tables (I8); 0 means 64 MiB
	// KeepUndated publishes every full line without a lastUpdated: where nothing
	// tells which of two lines is newer, none may be dropped (I3). Without it they
	// are older than any that has one, and the one delivered last wins.
	KeepUndated bool
}

// Select decides which lines of a type are published: of the lines with the
// same id the one with the newest lastUpdated, among equals the one delivered
// last, and a SUBSETTED line only where no full one came (F48, F53). Lines
// without an id are all published, and of a body that was delivered twice none
// but once (F27). parts are in the order of delivery. The result depends on
// nothing but the parts, and so is the same after a crash (I5). The caller
// closes it after the last use of its views.
func (r *Run) Select(ctx context.Context, typ string, parts []*Part, o SelectOptions) (*Selection, error) {
	memory := o.Memory
	if memory <= 0 {
		memory = defaultMemory
	}
	if len(parts) > maxParts {
		return nil, fmt.Errorf("select %s: more than %d parts", typ, maxParts)
	}
	s := &Selection{Type: typ, losers: &losers{dir: r.dir.Path, limit: int(max(memory/4/8, 64))}}
	c := chooser{run: r, typ: typ, parts: parts, memory: memory / 2, keep: o.KeepUndated, losers: s.losers, lost: make([]int64, len(parts))}
	err := c.choose(ctx)
	if err == nil {
		s.Repeated = c.repeated
		err = s.describe(ctx, parts, c.lost)
	}
	if err != nil {
		_ = s.Close()
		return nil, r.spool.full(fmt.Errorf("select %s: %w", typ, err))
	}
	return s, nil
}

// describe makes the views and the tree.
func (s *Selection) describe(ctx context.Context, parts []*Part, lost []int64) error {
	s.losers.seal()
	for i, p := range parts {
		t := p.foot.Info.Of(s.Type)
		if t.Lines == 0 {
			continue
		}
		s.Delivered += t.Lines
		s.Superseded += lost[i]
		if t.Lines > lost[i] {
			s.Views = append(s.Views, &View{
				sel: s, part: p, number: i, lines: t.Lines - lost[i], lost: lost[i],
				other: p.foot.Info.Lines - t.Lines, ordinal: slices.Index(p.foot.Names, s.Type),
			})
		}
		if t.Known {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := s.merge(p); err != nil {
				return err
			}
		}
	}
	s.Published = s.Delivered - s.Superseded
	return nil
}

// merge adds the columns of a part.
func (s *Selection) merge(p *Part) error {
	trees, err := p.trees()
	if err != nil {
		return err
	}
	t := fhirjson.NewTree(s.Type, p.spool.Limits)
	if t == nil {
		return nil
	}
	if err := t.UnmarshalText([]byte(trees[s.Type])); err != nil {
		return fmt.Errorf("read columns of part %s: %w", p.Key(), err)
	}
	if s.Tree == nil {
		s.Tree = t
		return nil
	}
	s.Left += s.Tree.Merge(t)
	return nil
}

// chooser finds the versions that lose.
type chooser struct {
	run    *Run
	typ    string
	parts  []*Part
	memory int64
	keep   bool // SelectOptions.KeepUndated
	losers *losers
	lost   []int64 // by part

	again    []bool // by part: its body is that of an earlier one
	repeated int64
}

// choose fills losers: with one table when it fits the memory, otherwise with
// one for each bucket of ids.
func (c *chooser) choose(ctx context.Context) error {
	var versions int64
	var repeats bool
	seen := make(map[string]bool, len(c.parts))
	c.again = make([]bool, len(c.parts))
	for i, p := range c.parts {
		t := p.foot.Info.Of(c.typ)
		versions += t.Lines - t.WithoutID
		if sum := p.foot.Info.SHA256; t.Lines > 0 && sum != "" {
			c.again[i] = seen[sum]
			repeats = repeats || c.again[i]
			seen[sum] = true
		}
	}
	if versions < 2 && !repeats {
		return nil
	}
	if tableBytes(versions) <= c.memory {
		table := newWinners(versions)
		return c.each(ctx, func(v *version) error { return c.put(table, v) }, c.lose)
	}
	room := max(c.memory-maxBuckets*bucketBuffer, c.memory/4, 1)
	n := int(max(min(tableBytes(versions)*5/4/room+1, versions), 1))
	for from := 0; from < n; from += maxBuckets {
		if err := c.chooseBuckets(ctx, from, min(from+maxBuckets, n), n); err != nil {
			return err
		}
	}
	return nil
}

// chooseBuckets does the buckets from up to to of n.
func (c *chooser) chooseBuckets(ctx context.Context, from, to, n int) error {
	b, err := newBuckets(c.run.dir.Path, to-from)
	if err != nil {
		return err
	}
	defer b.close()
	err = c.each(ctx, func(v *version) error {
		if i := bucketOf(&v.id, n); i >= from && i < to {
			return b.add(i-from, v)
		}
		return nil
	}, func(place uint64) error {
		if from > 0 {
			return nil // lost with the first buckets
		}
		return c.lose(place)
	})
	if err != nil {
		return err
	}
	for i := range to - from {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// Versions may be many and resources few: the table grows as it must.
		table := newWinners(min(b.counts[i], c.memory/versionLen/2))
		if err := b.each(i, func(v *version) error { return c.put(table, v) }); err != nil {
			return err
		}
	}
	return nil
}

func (c *chooser) put(table *winners, v *version) error {
	loser, lost := table.add(v)
	if !lost {
		return nil
	}
	if c.keep && v.undated() {
		c.repeated++
		return nil
	}
	return c.lose(loser)
}

func (c *chooser) lose(loser uint64) error {
	c.lost[loser>>placeLine]++
	return c.losers.add(loser)
}

// each calls yield with all versions of the type in the order of delivery, but
// again with the places of the lines of bodies that came before.
func (c *chooser) each(ctx context.Context, yield func(*version) error, again func(place uint64) error) error {
	var v version
	for i, p := range c.parts {
		t := p.foot.Info.Of(c.typ)
		if t.Lines == 0 || t.Lines == t.WithoutID && !c.again[i] {
			continue
		}
		ordinal := slices.Index(p.foot.Names, c.typ)
		var failed error
		err := p.eachRecord(ctx, func(r *record) bool {
			if r.kind != resourceLine || r.typ != ordinal {
				return true
			}
			if c.again[i] {
				failed = again(place(i, r.line))
				return failed == nil
			}
			if r.flags&flagNoID != 0 {
				return true
			}
			v = version{id: r.id, updated: r.updated, place: place(i, r.line)}
			if r.flags&flagSubsetted != 0 {
				v.place |= placeSubset
			}
			if c.keep && v.undated() {
				v.apart()
			}
			failed = yield(&v)
			return failed == nil
		})
		if err != nil {
			return err
		}
		if failed != nil {
			return failed
		}
	}
	return nil
}
