package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/internal/definition"
)

// counts checks that the numbers of each type add up (I3), and that every
// format holds what was published.
func (c *checker) counts(context.Context) error {
	m := c.report.Manifest
	var problems []string
	fault := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	held := map[string]map[string]int64{} // rows by format, by type
	for _, name := range m.Sinks {
		if isFormat(name) {
			held[name] = map[string]int64{}
		}
	}
	var rejected, outcomes int64  // rows beside the formats
	deleted := map[string]int64{} // rows of deletions by format
	for _, s := range c.seen {
		format, rest, _ := strings.Cut(s.Path, "/")
		switch {
		case format == "quarantine":
			rejected += s.Rows
		case format == "outcomes":
			outcomes += s.Rows
		case format == "deleted":
			deleted[formatOf(s.Path)] += s.Rows
		case isFormat(format):
			if folder, _, _ := strings.Cut(rest, "/"); folder != s.Type {
				fault("%s: is listed as of type %s", printable(s.Path), printable(s.Type))
			}
			if held[format] == nil {
				held[format] = map[string]int64{}
			}
			held[format][s.Type] += s.Rows
		}
	}
	types := map[string]bool{}
	var delivered, published, quarantined, answers int64
	for _, t := range m.Types {
		name := printable(t.Type)
		if types[t.Type] {
			fault("%s: is counted twice", name)
		}
		types[t.Type] = true
		delivered += t.Delivered
		published += t.Published
		quarantined += t.Quarantined
		answers += t.Outcomes
		for _, n := range []int64{t.Delivered, t.Published, t.Quarantined, t.Superseded, t.Outcomes, t.Headers, t.Filtered} {
			if n < 0 {
				fault("%s: a count is negative", name)
				break
			}
		}
		if into := t.Published + t.Quarantined + t.Superseded + t.Outcomes + t.Headers + t.Filtered; into != t.Delivered {
			fault("%s: %d lines were delivered, %d are accounted for (I3)", name, t.Delivered, into)
		}
		holders := 0
		for _, format := range slices.Sorted(maps.Keys(held)) {
			rows, ok := held[format][t.Type]
			switch {
			case ok && rows != t.Published:
				fault("%s: %s holds %d rows, %d were published", name, format, rows, t.Published)
			case !ok && t.Published > 0 && takes(format, t.Type):
				fault("%s: %s has no file of it, %d rows were published", name, format, t.Published)
			}
			if ok {
				holders++
			}
		}
		if holders == 0 && t.Published > 0 && len(held) == 0 {
			fault("%s: no file holds the %d rows that were published", name, t.Published)
		}
	}
	for _, format := range slices.Sorted(maps.Keys(held)) {
		for _, typ := range slices.Sorted(maps.Keys(held[format])) {
			if !types[typ] {
				fault("%s: %s has files of it, and nothing is counted", printable(typ), format)
			}
		}
	}
	var bundles int64
	for _, l := range m.Lists {
		name := "the list of files " + printable(l.List)
		bundles += l.Bundles
		quarantined += l.Quarantined
		answers += l.Outcomes
		if min(l.Delivered, l.Bundles, l.Quarantined, l.Outcomes, l.Headers, l.Left) < 0 {
			fault("%s: a count is negative", name)
		}
		if into := l.Bundles + l.Quarantined + l.Outcomes + l.Headers + l.Left; into != l.Delivered {
			fault("%s: %d lines were delivered, %d are accounted for (I3)", name, l.Delivered, into)
		}
	}
	if rejected != quarantined {
		fault("quarantine holds %d lines, %d are counted", rejected, quarantined)
	}
	if outcomes != answers {
		fault("outcomes holds %d lines, %d are counted", outcomes, answers)
	}
	var listed int64
	if m.Deletions != nil {
		listed = m.Deletions.Published
	}
	for _, format := range slices.Sorted(maps.Keys(deleted)) {
		if deleted[format] != listed {
			fault("deleted: %s holds %d deletions, %d were published", format, deleted[format], listed)
		}
	}
	if listed > 0 && len(deleted) == 0 {
		fault("deleted: no file holds the %d deletions that were published", listed)
	}
	if listed > 0 && bundles == 0 {
		fault("deleted: %d deletions were published, and no line of them is counted", listed)
	}
	formats := strings.Join(slices.Sorted(maps.Keys(held)), ", ")
	text := fmt.Sprintf("%d lines delivered, %d published of %s, in %s (I3)", delivered, published, plural(int64(len(m.Types)), "type"), formats)
	c.tell(finish("counts", text, problems))
	return nil
}

// isFormat reports whether a folder of the snapshot is that of a format, with a
// folder for each type in it.
func isFormat(folder string) bool { return folder == ndjsonFormat || folder == parquetFormat }

// takes reports whether a format can hold a type (F29).
func takes(format, typ string) bool { return format != parquetFormat || definition.Type(typ) != nil }
