package parquet

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// drawValues fills a column of one worker: with values that repeat, with values
// that do not, or with a dictionary that is given up on the way.
func drawValues(t *rapid.T, v *values, pool *segments, want [][]byte) [][]byte {
	v.reset(pool)
	put := func(text string) {
		if v.add([]byte(text), pool) {
			v.settle(pool)
		}
		want = append(want, []byte(text))
	}
	switch rapid.SampledFrom([]string{"none", "few", "distinct", "given up"}).Draw(t, "values") {
	case "few":
		for i := range rapid.IntRange(1, 3000).Draw(t, "count") {
			put(fmt.Sprint(i % 17))
		}
	case "distinct":
		for i := range rapid.IntRange(1, 9000).Draw(t, "count") {
			put(fmt.Sprintf("%040d", i))
		}
	case "given up":
		for i := range 20_000 {
			put(fmt.Sprintf("%0600d", i%8000))
		}
	}
	return want
}

// TestJoinedValues: the values of several workers are those of each, one after
// the other, whatever has become of their dictionaries; and the workers go on.
func TestJoinedValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := &segments{}
		columns := make([]values, rapid.IntRange(2, 4).Draw(t, "workers"))
		for range 2 {
			var want [][]byte
			for i := range columns {
				want = drawValues(t, &columns[i], pool, want)
			}
			v := &columns[0]
			for i := range columns[1:] {
				v.join(&columns[i+1], pool)
			}
			if got := int(v.count()); got != len(want) {
				t.Fatalf("%d values, want %d", got, len(want))
			}
			check := func(got []byte) {
				if !bytes.Equal(got, want[0]) {
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
