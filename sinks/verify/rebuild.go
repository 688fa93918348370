package verify

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/flue-fhir/flue/sinks/parquet/rebuild"
)

// rebuild compares the resources in Parquet with those in NDJSON, as sets: rows
// need not stand in the order of the lines.
func (c *checker) rebuild(ctx context.Context) error {
	if !c.Rebuild {
		return nil
	}
	types := map[string]*pair{}
	for _, s := range c.seen {
		format := formatOf(s.Path)
		if path.Dir(s.Path) != format+"/"+s.Type {
			continue
		}
		p := types[s.Type]
		if p == nil {
			p = &pair{typ: s.Type}
			types[s.Type] = p
		}
		switch format {
		case ndjsonFormat:
			p.sides[lines].files = append(p.sides[lines].files, s)
		case parquetFormat:
			p.sides[rows].files = append(p.sides[rows].files, s)
		}
	}
	var list []*pair
	var alone int64 // lines of types that Parquet cannot hold
	columnar := false
	for _, typ := range slices.Sorted(maps.Keys(types)) {
		p := types[typ]
		if len(p.sides[rows].files) == 0 && !takes(parquetFormat, typ) {
			for _, s := range p.sides[lines].files {
				alone += s.Rows
			}
			continue
		}
		columnar = columnar || len(p.sides[rows].files) > 0
		list = append(list, p)
	}
	if !columnar {
		c.tell(Finding{Check: "rebuild", Status: Skipped, Text: "the snapshot has no Parquet"})
		return nil
	}
	// A format of no rows may have no file.
	textual := slices.Contains(c.report.Manifest.Sinks, ndjsonFormat) || slices.ContainsFunc(list, func(p *pair) bool { return len(p.sides[lines].files) > 0 })
	if err := c.tallies(ctx, list); err != nil {
		return err
	}
	f := Finding{Check: "rebuild", Status: OK}
	var same int64
	for _, p := range list {
		for i := range p.sides {
			f.Problems = append(f.Problems, p.sides[i].faults...)
		}
		if !textual {
			same += p.sides[rows].tally.count()
			continue
		}
		cmp, err := c.compare(ctx, p)
		if err != nil {
			return err
		}
		f.Resources = append(f.Resources, cmp)
		if cmp.Same() {
			same += cmp.Lines
			continue
		}
		f.Problems = append(f.Problems, fmt.Sprintf("%s: of %d lines %d have no row, of %d rows %d have no line, %d resources differ",
			cmp.Type, cmp.Lines, cmp.Missing, cmp.Rows, cmp.Extra, cmp.Changed))
	}
	switch {
	case len(f.Problems) > 0:
		f.Status, f.Text = Failed, "Parquet and NDJSON do not hold the same"
	case !textual:
		f.Status, f.Text = Skipped, fmt.Sprintf("%d resources can be rebuilt, and there is no NDJSON to compare them with", same)
	default:
		f.Text = fmt.Sprintf("%d resources of %s rebuilt from Parquet are those of the NDJSON", same, plural(int64(len(list)), "type"))
		if alone > 0 {
			f.Text += fmt.Sprintf("; %s of types that R4 does not define are in NDJSON only", plural(alone, "resource"))
		}
	}
	c.tell(f)
	return nil
}

// The sides of a pair.
const (
	lines = iota // NDJSON
	rows         // Parquet
)

// pair is a type in both formats.
type pair struct {
	typ   string
	sides [2]side
}

// side is what one format holds of a type.
type side struct {
	files  []*seen
	mu     sync.Mutex
	tally  tally
	faults []string // of files that cannot be read
}

// tallies reads every file of the pairs and adds up what is in it.
func (c *checker) tallies(ctx context.Context, list []*pair) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.Workers)
	for _, p := range list {
		for i := range p.sides {
			s := &p.sides[i]
			for _, file := range s.files {
				group.Go(func() error {
					var sum tally
					err := c.each(ctx, file, sum.add)
					s.mu.Lock()
					defer s.mu.Unlock()
					s.tally.merge(&sum)
					if ctx.Err() != nil {
						return context.Cause(ctx)
					}
					if err != nil {
						s.faults = append(s.faults, printable(file.Path)+": "+cause(err).Error())
						slices.Sort(s.faults)
					}
					return nil
				})
			}
		}
	}
	return group.Wait()
}

// each yields the identity of every resource in a file.
func (c *checker) each(ctx context.Context, s *seen, yield func(rebuild.Identity)) error {
	f, err := c.root.Open(s.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	var i rebuild.Identifier
	add := func(json []byte) error {
		id, err := i.Identify(json)
		if err == nil {
			yield(id)
		}
		return err
	}
	if formatOf(s.Path) == ndjsonFormat {
		return eachLine(s.Path, reader{ctx, f}, add)
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return rebuild.Rebuild(f, info.Size(), func(json []byte) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return add(json)
	})
}
