package parquet

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestFarRepeats: ids that come again with another beginning, far behind, are
// found and make a file smaller than ids of which each is new.
func TestFarRepeats(t *testing.T) {
	const ids = 16_000
	made := func(copies int) (lines []string) {
		r := rand.New(rand.NewPCG(1, 2))
		tails := make([]string, 4*ids/copies)
		for i := range tails {
			tails[i] = fmt.Sprintf("%04x-%04x-%012x", r.Uint32N(1<<16), r.Uint32N(1<<16), r.Uint64N(1<<48))
		}
		for range copies {
			for _, tail := range tails {
				lines = append(lines, fmt.Sprintf(`{"resourceType":"Patient","id":"%08x-%s"}`, r.Uint32(), tail))
			}
		}
		return lines
	}
	sizes := map[int]int64{}
	for copies, want := range map[int]bool{1: false, 4: true} {
		lines := made(copies)
		var v values
		pool := &segments{}
		v.reset(pool)
		for _, line := range lines {
			if id := []byte(line[32:][:31]); v.add(id, pool) {
				v.settle(pool)
			}
		}
		if got := new(tails).repeat(v.cursor()); got != want {
			t.Errorf("%d copies: %t", copies, got)
		}
		out, _ := roundTrip(t, &Sink{Workers: 1}, newInput(t, "Patient", text(lines...)))
		sizes[copies] = out.Files[0].Bytes
	}
	if sizes[4] > sizes[1]*2/3 {
		t.Errorf("sizes: %v", sizes)
	}
}

// TestFarIsOfOneColumn: which columns an encoder had before plays no part in how
// it compresses the next.
func TestFarIsOfOneColumn(t *testing.T) {
	var lines []string
	for i := range 4000 {
		lines = append(lines, fmt.Sprintf(`{"resourceType":"Patient","active":%t}`, i*i%7 < 3))
	}
	p := text(lines...)
	in := newInput(t, "Patient", p)
	s := &Sink{}
	tree, err := s.columns(in)
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLayout(tree)
	if err != nil {
		t.Fatal(err)
	}
	team, err := s.newTeam(1, defaultBudget, in, l, nil)
	if err != nil {
		t.Fatal(err)
	}
	k := team.workers[0]
	k.feeder = &feeder{maxLine: mostLine}
	b := block{data: p.data}
	if err := b.each(k.line); err != nil {
		t.Fatal(err)
	}
	team.group.close()
	k.encoder.far = true           // as the column before was
	k.encoder.compressor.far = nil // whoever uses it fails
	if err := k.encoder.encode(team.group); err != nil {
		t.Fatal(err)
	}
}
