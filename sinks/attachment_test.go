package sinks

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func sumOf(i int) string {
	sum := sha256.Sum256(fmt.Append(nil, i))
	return hex.EncodeToString(sum[:])
}

// I8: the sets of a large index hold its contents once, and each of them few.
func TestI8EachContents(t *testing.T) {
	const held = 1000
	for _, n := range []int{0, 1, 10, held*5/2 + 7} {
		var b strings.Builder
		enc := json.NewEncoder(&b)
		for i := range n {
			a := Attachment{Type: "DocumentReference", ID: fmt.Sprint(i), Status: Fetched, Size: int64(i % 5 * 100), SHA256: sumOf(i / 2 * 2)}
			a.Size = int64(i / 2 * 2)
			if i%7 == 3 {
				a.Status, a.SHA256 = Failed, ""
			}
			if err := enc.Encode(a); err != nil {
				t.Fatal(err)
			}
		}
		want := map[string]bool{}
		for i := range n {
			if i%7 != 3 {
				want[sumOf(i/2*2)] = true
			}
		}
		sets, got := 0, 0
		err := eachContents(int64(n), held, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(b.String())), nil }, func(c Contents) error {
			if c.First() != (sets == 0) {
				t.Errorf("%d: set %d is the first: %v", n, sets, c.First())
			}
			sets++
			if len(c.Sizes) > held {
				t.Errorf("%d: a set holds %d", n, len(c.Sizes))
			}
			for name := range c.Sizes {
				if !want[name] || !c.Covers(name) {
					t.Fatalf("%d: %s in a set", n, name)
				}
				delete(want, name)
				got++
			}
			return nil
		})
		if err != nil || len(want) > 0 || sets != n/held+1 {
			t.Errorf("%d rows: %v, %d sets with %d contents, %d missing", n, err, sets, got, len(want))
		}
	}
}

func TestBadIndex(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":       `{"type":"DocumentReference","id":"secret`,
		"no sum":        `{"status":"fetched","id":"secret"}`,
		"a path as sum": `{"status":"fetched","id":"secret","sha256":"../../secret"}`,
		"upper case":    `{"status":"fetched","id":"secret","sha256":"` + strings.ToUpper(sumOf(1)) + `"}`,
		"two sizes":     `{"status":"fetched","size":1,"sha256":"` + sumOf(1) + `"}` + "\n" + `{"status":"fetched","size":2,"sha256":"` + sumOf(1) + `"}`,
	} {
		err := EachContents(1, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }, func(Contents) error { return nil })
		if err == nil || strings.Contains(err.Error(), "secret") { // I7
			t.Errorf("%s: %v", name, err)
		}
	}
	gone := errors.New("gone")
	if err := EachContents(1, func() (io.ReadCloser, error) { return nil, gone }, nil); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	if (Contents{parts: 1}).Covers("index.ndjson") || IsContent("g"+sumOf(1)[1:]) {
		t.Error("a name that is no sum is a content")
	}
}
