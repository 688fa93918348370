package parquet

import (
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// decodeHybrid reads n values as the format's specification says.
func decodeHybrid(t interface{ Fatalf(string, ...any) }, b []byte, width, n int) []uint32 {
	var out []uint32
	for len(out) < n {
		header, k := binary.Uvarint(b)
		if k <= 0 {
			t.Fatalf("no header after %d of %d values", len(out), n)
		}
		b = b[k:]
		if header&1 == 0 {
			var v uint32
			for i := range (width + 7) / 8 {
				v |= uint32(b[i]) << (8 * i)
			}
			b = b[(width+7)/8:]
			for range header >> 1 {
				out = append(out, v)
			}
			continue
		}
		count := int(header>>1) * 8
		for i := range count {
			var v uint32
			for j := range width {
				bit := i*width + j
				v |= uint32(b[bit/8]>>(bit%8)&1) << j
			}
			out = append(out, v)
		}
		b = b[count*width/8:]
	}
	if len(b) > 0 {
		t.Fatalf("%d bytes are left", len(b))
	}
	if len(out)-n >= 8 {
		t.Fatalf("%d values for %d", len(out), n)
	}
	return out[:n]
}

// drawRuns draws values in stretches of all lengths.
func drawRuns(t *rapid.T, width int) []run {
	most := uint32(1)<<width - 1
	var runs []run
	for range rapid.IntRange(1, 40).Draw(t, "stretches") {
		n := rapid.OneOf(rapid.Uint32Range(1, 3), rapid.Uint32Range(5, 20), rapid.Uint32Range(500, 1100)).Draw(t, "length")
		runs = append(runs, run{n: n, level: rapid.Uint32Range(0, most).Draw(t, "value")})
	}
	return runs
}

func TestHybrid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 24).Draw(t, "width")
		runs := drawRuns(t, width)
		var want []uint32
		var h hybrid
		h.reset(nil, width)
		for _, r := range runs {
			h.add(r.level, r.n)
			want = append(want, slices.Repeat([]uint32{r.level}, int(r.n))...)
		}
		if got := decodeHybrid(t, h.finish(), width, len(want)); !slices.Equal(got, want) {
			t.Fatalf("runs differ")
		}
		h.reset(nil, width)
		h.addAll(want)
		if got := decodeHybrid(t, h.finish(), width, len(want)); !slices.Equal(got, want) {
			t.Fatalf("values differ")
		}
	})
}

func TestHybridIsSmall(t *testing.T) {
	var h hybrid
	h.reset(nil, 1)
	h.add(1, 1_000_000)
	if got := len(h.finish()); got != 4 {
		t.Errorf("a run takes %d bytes, want 4", got)
	}
}
