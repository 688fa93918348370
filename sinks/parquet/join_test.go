package parquet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// columnTexts are the values of columns: those that repeat, those that do not, a few
// long ones, and those whose dictionary is given up on the way.
func columnTexts() map[string][]string {
	out := map[string][]string{"none": nil}
	for i := range 9000 {
		out["few"] = append(out["few"], fmt.Sprint(i%17))
		out["distinct"] = append(out["distinct"], fmt.Sprintf("%040d", i))
	}
	pad := strings.Repeat("x", 20_000)
	for i := range 3000 {
		out["long"] = append(out["long"], fmt.Sprintf("%d%s", i%3, pad))
		out["given up"] = append(out["given up"], fmt.Sprintf("%d%s", i%1500, pad[:5000]))
	}
	return out
}

// TestJoinedValues: the values of several workers are those of each, one after
// the other, whatever has become of their dictionaries; and the workers go on.
func TestJoinedValues(t *testing.T) {
	texts := columnTexts()
	kinds := slices.Sorted(maps.Keys(texts))
	rapid.Check(t, func(t *rapid.T) {
		pool := &segments{}
		columns := make([]values, rapid.IntRange(2, 4).Draw(t, "workers"))
		for range 2 {
			var want []string
			for i := range columns {
				v := &columns[i]
				v.reset(pool)
				drawn := texts[rapid.SampledFrom(kinds).Draw(t, "kind")]
				for _, text := range drawn[:rapid.IntRange(0, len(drawn)).Draw(t, "count")] {
					if v.add([]byte(text), pool) {
						v.settle(pool)
					}
					want = append(want, text)
				}
			}
			v := &columns[0]
			bytes := v.plainBytes
			for i := range columns[1:] {
				u := &columns[i+1]
				bytes += u.plainBytes + maxDictBytes
				v.join(u, pool)
			}
			if v.plainBytes > bytes {
				t.Fatalf("%d bytes are PLAIN, want %d or fewer", v.plainBytes, bytes)
			}
			if got := int(v.count()); got != len(want) {
				t.Fatalf("%d values, want %d", got, len(want))
			}
			check := func(got []byte) {
				if string(got) != want[0] {
					t.Fatalf("got %.50s, want %.50s", got, want[0])
				}
				want = want[1:]
			}
			indexes := v.indexed()
			for p := indexes.take(100); p != nil; p = indexes.take(100) {
				for _, i := range p {
					check(v.dict.value(i))
				}
			}
			rest := v.cursor()
			for b := rest.next(); b != nil; b = rest.next() {
				check(b)
			}
			if len(want) > 0 {
				t.Fatalf("%d values are missing", len(want))
			}
			for i := range columns {
				columns[i].reset(pool)
			}
		}
	})
}

func TestIndexWidth(t *testing.T) {
	for values, want := range map[int]int{1: 1, 2: 1, 3: 2, 16: 4, 17: 8, 256: 8, 257: 16, 1 << 16: 16, 1<<16 + 1: 24} {
		if got := indexWidth(values); got != want {
			t.Errorf("%d values: %d bits, want %d", values, got, want)
		}
	}
}
