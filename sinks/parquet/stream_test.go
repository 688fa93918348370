package parquet

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A naive record model to compare streams with: a tree of nodes as a person
// would write the levels, entry by entry.
type naiveNode struct {
	list     bool
	children []*naiveNode
	c        *cell   // of the worker that has the row
	parts    []*cell // of all workers
	defs     []uint32
	reps     []uint32
}

func drawNode(t *rapid.T, depth int) *naiveNode {
	n := &naiveNode{list: rapid.Bool().Draw(t, "list")}
	if depth < 3 {
		for range rapid.IntRange(0, 2).Draw(t, "children") {
			n.children = append(n.children, drawNode(t, depth+1))
		}
	}
	return n
}

// bind gives the rows that follow to another worker.
func (n *naiveNode) bind(parent *cell) {
	n.c = &cell{parent: parent, list: n.list}
	n.parts = append(n.parts, n.c)
	for _, c := range n.children {
		c.bind(n.c)
	}
}

// join puts the rows of all workers together, the children first.
func (n *naiveNode) join(part int) {
	for _, c := range n.children {
		c.join(part)
	}
	n.parts[part].close()
	if part > 0 {
		n.parts[0].join(n.parts[part])
	}
	n.c = n.parts[0]
}

// record draws one value of the node, tells the cells about it as the shredder
// does, and writes the levels of all leaves below.
func (n *naiveNode) record(t *rapid.T, def, rep, maxRep uint32) {
	if !rapid.Bool().Draw(t, "present") {
		n.absent(def, rep)
		return
	}
	if !n.list {
		n.c.slot()
		n.value(t, def+1, rep, maxRep)
		return
	}
	n.c.pres.mark(n.c.parent.instances - 1)
	n.c.begun = n.c.items
	for i := range rapid.IntRange(1, 3).Draw(t, "items") {
		if i > 0 {
			rep = maxRep + 1
		}
		if rapid.IntRange(0, 3).Draw(t, "null") == 0 {
			n.c.items++
			n.absent(def+2, rep)
			continue
		}
		n.c.slot()
		n.value(t, def+3, rep, maxRep+1)
	}
	n.c.lengths.add(n.c.items - n.c.begun)
}

func (n *naiveNode) value(t *rapid.T, def, rep, maxRep uint32) {
	n.c.instances++
	n.defs, n.reps = append(n.defs, def), append(n.reps, rep)
	for _, c := range n.children {
		c.record(t, def, rep, maxRep)
	}
}

func (n *naiveNode) absent(def, rep uint32) {
	n.defs, n.reps = append(n.defs, def), append(n.reps, rep)
	for _, c := range n.children {
		c.absent(def, rep)
	}
}

func expand(runs []run) []uint32 {
	var out []uint32
	for _, r := range runs {
		out = append(out, slices.Repeat([]uint32{r.level}, int(r.n))...)
	}
	return out
}

func (n *naiveNode) check(t *rapid.T, parent *stream) {
	var st stream
	var reps repetition
	if n.list {
		parent.list(&n.c.pres, &n.c.lengths, &n.c.itemPres, &st, &reps)
	} else {
		parent.single(&n.c.pres, &st)
	}
	if got := expand(st.defs); !slices.Equal(got, n.defs) {
		t.Fatalf("definition levels: got %v, want %v", got, n.defs)
	}
	if got := expand(st.reps.runs); !slices.Equal(got, n.reps) {
		t.Fatalf("repetition levels: got %v, want %v", got, n.reps)
	}
	if st.instances != n.c.instances || int(st.reps.entries) != len(n.reps) {
		t.Fatalf("%d instances and %d entries, want %d and %d", st.instances, st.reps.entries, n.c.instances, len(n.reps))
	}
	checkCuts(t, &st)
	for _, c := range n.children {
		c.check(t, &st)
	}
}

// checkCuts cuts the stream into pages and puts the levels together again.
func checkCuts(t *rapid.T, st *stream) {
	want := rapid.Uint32Range(1, 5).Draw(t, "page")
	defs, reps := expand(st.defs), expand(st.reps.runs)
	at := 0
	for cut := newCutter(st); !cut.done(); {
		from := cut
		entries, values := cut.next(want)
		if entries == 0 {
			t.Fatalf("empty page")
		}
		page := defs[at : at+int(entries)]
		if reps[at] != 0 {
			t.Fatalf("page begins within a row")
		}
		have := uint32(0)
		for _, d := range page {
			if d == st.max {
				have++
			}
		}
		if have != values {
			t.Fatalf("page has %d values, told %d", have, values)
		}
		var h hybrid
		b := from.appendLevels(nil, entries, &h)
		if st.reps.max > 0 {
			got, rest := decodeLevels(t, b, int(st.reps.max), int(entries))
			if !slices.Equal(got, reps[at:at+int(entries)]) {
				t.Fatalf("encoded repetition levels: got %v, want %v", got, reps[at:at+int(entries)])
			}
			b = rest
		}
		if got, _ := decodeLevels(t, b, int(st.max), int(entries)); !slices.Equal(got, page) {
			t.Fatalf("encoded definition levels: got %v, want %v", got, page)
		}
		at += int(entries)
	}
	if at != len(defs) {
		t.Fatalf("pages have %d entries of %d", at, len(defs))
	}
}

func decodeLevels(t *rapid.T, b []byte, most, n int) (levels []uint32, rest []byte) {
	size := int(b[0]) | int(b[1])<<8
	return decodeHybrid(t, b[4:4+size], widthOf(most), n), b[4+size:]
}

func TestStreamAgainstRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		top := drawNode(t, 0)
		var roots []*cell
		rows := 0
		for range rapid.IntRange(1, 3).Draw(t, "workers") {
			root := &cell{}
			roots = append(roots, root)
			top.bind(root)
			for range rapid.IntRange(0, 8).Draw(t, "rows") {
				root.instances++
				rows++
				top.record(t, 0, 0, 0)
			}
		}
		for i, root := range roots {
			top.join(i)
			if i > 0 {
				roots[0].instances += root.instances
			}
		}
		st := &stream{
			defs:      appendRun(nil, 0, uint32(rows)),
			instances: uint32(rows),
			reps:      &repetition{runs: appendRun(nil, 0, uint32(rows)), entries: uint32(rows)},
		}
		top.check(t, st)
	})
}

func TestStreamWithout(t *testing.T) {
	st := stream{defs: []run{{n: 2, level: 1}, {n: 1, level: 0}, {n: 2, level: 1}}, max: 1, instances: 4, reps: &repetition{entries: 5}}
	var got stream
	st.without([]bool{true, false, false, true}, &got)
	if want := []uint32{1, 0, 0, 0, 1}; !slices.Equal(expand(got.defs), want) || got.instances != 2 {
		t.Errorf("got %v with %d instances, want %v with 2", expand(got.defs), got.instances, want)
	}
}
