package parquet

import "sync/atomic"

// rowGroup is the rows that workers have shredded side by side, one after the
// other: those of the first worker, then those of the second. The workers encode
// it together, each taking the next column that nobody has taken.
type rowGroup struct {
	parts []*shredder // of the workers; the first has the places of all rows
	pool  *segments
	taken []atomic.Bool // columns that are not derived, by leaf
}

func newRowGroup(l *layout) *rowGroup {
	return &rowGroup{pool: &segments{}, taken: make([]atomic.Bool, l.leaves)}
}

// close ends the rows of all parts and joins them; then the columns may be taken.
func (g *rowGroup) close() {
	for i, p := range g.parts {
		p.close()
		if i > 0 {
			g.parts[0].join(p)
		}
	}
	for i := range g.taken {
		g.taken[i].Store(false)
	}
}

func (g *rowGroup) rows() uint32 { return g.parts[0].rows() }

// take reports whether the leaf was free.
func (g *rowGroup) take(leaf int) bool { return g.taken[leaf].CompareAndSwap(false, true) }

// column returns the cell of a column, or of a group of columns. The values of a
// column are joined: only who has taken it may ask.
func (g *rowGroup) column(f *field) *cell {
	c := g.parts[0].cell(f)
	if f.content == contentGroup {
		return c
	}
	for _, p := range g.parts[1:] {
		c.values.join(&p.cell(f).values, g.pool)
	}
	return c
}
