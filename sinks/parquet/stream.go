package parquet

// stream is the sequence of entries that a node contributes to every leaf below
// it: one definition and one repetition level an entry, as runs. An entry whose
// definition level is max stands for a present value of the node, its instance;
// the children refine the instances and copy the rest.
//
// A node that is no list has the repetition levels of its parent, so they are
// shared, and so is their encoding.
type stream struct {
	defs      []run
	max       uint32
	instances uint32 // entries at level max
	reps      *repetition
}

// repetition holds the repetition levels of a list and of all that lies below
// it up to the next list.
type repetition struct {
	runs    []run
	max     uint32
	entries uint32
	encoded []byte // the hybrid encoding of all entries; nil when not made yet
}

// single refines s by the presence of a child that is no list.
func (s *stream) single(p *presence, dst *stream) {
	dst.defs = dst.defs[:0]
	dst.max = s.max + 1
	dst.reps = s.reps
	dst.instances = 0
	cursor := p.cursor()
	for _, r := range s.defs {
		if r.level != s.max {
			dst.defs = appendRun(dst.defs, r.level, r.n)
			continue
		}
		for n := r.n; n > 0; {
			k, present := cursor.take(n)
			n -= k
			if present {
				dst.defs = appendRun(dst.defs, dst.max, k)
				dst.instances += k
			} else {
				dst.defs = appendRun(dst.defs, s.max, k)
			}
		}
	}
}

// list refines s by a child that is a list: where it stands, how many items
// each list has and which items are not null. The levels are those of the
// three-level form: one for the list, one for its slot, one for the item. dst
// and its repetition must not be those of s.
func (s *stream) list(p *presence, lengths *counter, items *presence, dst *stream, reps *repetition) {
	dst.defs = dst.defs[:0]
	dst.max = s.max + 3
	dst.instances = 0
	dst.reps = reps
	reps.runs = reps.runs[:0]
	reps.max = s.reps.max + 1
	reps.entries = 0
	reps.encoded = nil

	lists := p.cursor()
	item := items.cursor()
	parent := runCursor{runs: s.reps.runs}
	var length, repeat uint32
	rest := lengths.runs
	for _, r := range s.defs {
		if r.level != s.max {
			dst.defs = appendRun(dst.defs, r.level, r.n)
			reps.copyFrom(&parent, r.n)
			continue
		}
		for n := r.n; n > 0; {
			k, present := lists.take(n)
			n -= k
			if !present {
				dst.defs = appendRun(dst.defs, s.max, k)
				reps.copyFrom(&parent, k)
				continue
			}
			var total uint32
			for k > 0 {
				if repeat == 0 {
					length, repeat, rest = rest[0], rest[1], rest[2:]
				}
				same := min(k, repeat)
				k -= same
				repeat -= same
				total += same * length
				if length == 1 {
					reps.copyFrom(&parent, same)
					continue
				}
				for range same {
					reps.copyFrom(&parent, 1)
					reps.runs = appendRun(reps.runs, reps.max, length-1)
					reps.entries += length - 1
				}
			}
			for total > 0 {
				m, has := item.take(total)
				total -= m
				if has {
					dst.defs = appendRun(dst.defs, dst.max, m)
					dst.instances += m
				} else {
					dst.defs = appendRun(dst.defs, dst.max-1, m)
				}
			}
		}
	}
}

// without refines the stream of a leaf by values that turn out to be null:
// valid tells it for each instance. The entries stay.
func (s *stream) without(valid []bool, dst *stream) {
	dst.defs = dst.defs[:0]
	dst.max = s.max
	dst.reps = s.reps
	dst.instances = 0
	for _, r := range s.defs {
		if r.level != s.max {
			dst.defs = appendRun(dst.defs, r.level, r.n)
			continue
		}
		for _, ok := range valid[:r.n] {
			if ok {
				dst.defs = appendRun(dst.defs, s.max, 1)
				dst.instances++
			} else {
				dst.defs = appendRun(dst.defs, s.max-1, 1)
			}
		}
		valid = valid[r.n:]
	}
}

// copyFrom takes n levels over from the cursor.
func (r *repetition) copyFrom(c *runCursor, n uint32) {
	r.entries += n
	for n > 0 {
		level, k := c.take(n)
		r.runs = appendRun(r.runs, level, k)
		n -= k
	}
}

// runCursor reads runs piece by piece.
type runCursor struct {
	runs []run
	used uint32 // entries taken of runs[0]
}

// take returns the level of the next entries and how many of them, at most n,
// have it. It must not be called at the end.
func (c *runCursor) take(n uint32) (level, k uint32) {
	r := c.runs[0]
	k = min(n, r.n-c.used)
	c.used += k
	if c.used == r.n {
		c.runs, c.used = c.runs[1:], 0
	}
	return r.level, k
}

// left is how many entries of the current run are not taken; 0 at the end.
func (c *runCursor) left() (level, n uint32) {
	if len(c.runs) == 0 {
		return 0, 0
	}
	return c.runs[0].level, c.runs[0].n - c.used
}
