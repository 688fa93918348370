package parquet

// presence records in which slots of a stream something stands, as alternating
// lengths of absent and present stretches. It costs when something occurs, not
// when it is missing: the missing tail is not written.
type presence struct {
	next uint32 // the slot after the last present one
	gap  uint32 // absent slots before the open stretch
	run  uint32 // present slots of the open stretch
	runs []uint32
}

// mark notes that the slot, higher than any before, is present.
func (p *presence) mark(slot uint32) {
	if slot == p.next {
		p.next++
		p.run++
		return
	}
	if p.run > 0 || p.gap > 0 {
		p.runs = append(p.runs, p.gap, p.run)
	}
	p.gap = slot - p.next
	p.run = 1
	p.next = slot + 1
}

// close ends the open stretch; runs is then complete.
func (p *presence) close() {
	if p.run > 0 {
		p.runs = append(p.runs, p.gap, p.run)
	}
	p.gap, p.run = 0, 0
}

// join appends the stretches of other, whose slots begin at base here. Both are
// closed.
func (p *presence) join(other *presence, base uint32) {
	if len(other.runs) == 0 {
		return
	}
	gap, run, rest := base-p.next+other.runs[0], other.runs[1], other.runs[2:]
	if n := len(p.runs); gap == 0 && n > 0 {
		p.runs[n-1] += run
	} else {
		p.runs = append(p.runs, gap, run)
	}
	p.runs = append(p.runs, rest...)
	p.next = base + other.next
}

func (p *presence) reset() {
	*p = presence{runs: p.runs[:0]}
}

// presenceCursor reads a closed presence.
type presenceCursor struct {
	runs        []uint32
	absent, has uint32
}

func (p *presence) cursor() presenceCursor { return presenceCursor{runs: p.runs} }

// take returns the next stretch of at most n slots: how many, and whether they
// are present. Past the end everything is absent.
func (c *presenceCursor) take(n uint32) (uint32, bool) {
	for {
		if c.absent > 0 {
			k := min(n, c.absent)
			c.absent -= k
			return k, false
		}
		if c.has > 0 {
			k := min(n, c.has)
			c.has -= k
			return k, true
		}
		if len(c.runs) == 0 {
			return n, false
		}
		c.absent, c.has, c.runs = c.runs[0], c.runs[1], c.runs[2:]
	}
}

// counter records the lengths of lists, equal neighbours together.
type counter struct {
	count  uint32
	repeat uint32
	runs   []uint32 // count, repeat
}

func (c *counter) add(count uint32) {
	if count == c.count {
		c.repeat++
		return
	}
	if c.repeat > 0 {
		c.runs = append(c.runs, c.count, c.repeat)
	}
	c.count, c.repeat = count, 1
}

// close ends the open stretch; runs is then complete.
func (c *counter) close() {
	if c.repeat > 0 {
		c.runs = append(c.runs, c.count, c.repeat)
	}
	c.count, c.repeat = 0, 0
}

func (c *counter) reset() {
	*c = counter{runs: c.runs[:0]}
}
