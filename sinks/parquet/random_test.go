package parquet

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flue-fhir/flue/internal/definition"
)

// author draws resources from the definitions, with what servers get wrong
// among it: unknown members, wrong kinds, empty objects, nulls.
type author struct {
	t     *rapid.T
	wrong bool
}

func (a author) chance(n int) bool { return rapid.IntRange(1, n).Draw(a.t, "chance") == 1 }

func (a author) resource(typ string) string {
	return `{"resourceType":` + strconv.Quote(typ) + a.members(definition.Type(typ), 0, true) + `}`
}

// members draws some members of a struct, each with a comma before it.
func (a author) members(s *definition.Struct, depth int, top bool) string {
	var b strings.Builder
	count := min(len(s.Fields), rapid.IntRange(0, max(1, 5-depth)).Draw(a.t, "members"))
	seen := map[int]bool{}
	for range count {
		i := rapid.IntRange(0, len(s.Fields)-1).Draw(a.t, "field")
		f := &s.Fields[i]
		if seen[i] || f.Name == "resourceType" && top {
			continue
		}
		seen[i] = true
		if a.wrong && a.chance(8) {
			fmt.Fprintf(&b, ",%q:%s", f.Name, a.anything())
			continue
		}
		if f.Companion() && a.chance(3) {
			if v := a.value(f, definition.PrimitiveCompanion(), depth); v != "" {
				fmt.Fprintf(&b, `,"_%s":%s`, f.Name, v)
			}
			if a.chance(2) {
				continue
			}
		}
		if v := a.value(f, f.Struct, depth); v != "" {
			fmt.Fprintf(&b, ",%q:%s", f.Name, v)
		}
	}
	if a.wrong && a.chance(6) {
		fmt.Fprintf(&b, `,"unknown~/%d":%s`, depth, a.anything())
	}
	return b.String()
}

// value draws a member's value: an item, or a list of them. It is empty when
// nothing valid came out.
func (a author) value(f *definition.Element, s *definition.Struct, depth int) string {
	if !f.List {
		return a.item(f, s, depth)
	}
	var items []string
	valid := false
	for range rapid.IntRange(1, 3).Draw(a.t, "items") {
		if s == nil && f.Kind != definition.Resource && a.chance(4) || s != nil && f.Struct == nil && a.chance(3) {
			items = append(items, "null") // aligned with a companion
			continue
		}
		if a.wrong && a.chance(10) {
			items = append(items, a.anything())
			continue
		}
		if v := a.item(f, s, depth); v != "" {
			items, valid = append(items, v), true
		}
	}
	if len(items) == 0 || !valid && !a.wrong {
		return ""
	}
	return "[" + strings.Join(items, ",") + "]"
}

func (a author) item(f *definition.Element, s *definition.Struct, depth int) string {
	if s != nil {
		if depth > 4 {
			return ""
		}
		m := strings.TrimPrefix(a.members(s, depth+1, false), ",")
		if m == "" && !a.wrong {
			return ""
		}
		return "{" + m + "}"
	}
	pick := func(from ...string) string { return rapid.SampledFrom(from).Draw(a.t, "value") }
	switch f.Kind {
	case definition.Boolean:
		return pick("true", "false")
	case definition.Integer:
		return strconv.Itoa(int(rapid.Int32().Draw(a.t, "integer")))
	case definition.Decimal:
		return rapid.StringMatching(`-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,3})?`).Draw(a.t, "decimal")
	case definition.Date, definition.DateTime, definition.Instant:
		return strconv.Quote(pick("2020", "2020-02", "2020-02-29", "2020-02-30", "2016-12-31T23:59:60Z", "2020-01-01T00:00:00.5+10:00", "soon"))
	case definition.Resource:
		return a.resource(pick("Patient", "Basic"))
	}
	if f.Name == "reference" {
		return strconv.Quote(pick("Patient/1", "urn:uuid:2", "#c", "https://h/Group/3/_history/4"))
	}
	return pick(`"a"`, `"b"`, `""`, `"é\u00e9"`, `"\u0000"`, `"\ud83d\ude00"`, `"<div>\n\t\"x\"</div>"`, `"\/"`)
}

// anything draws JSON that may fit nowhere.
func (a author) anything() string {
	return rapid.SampledFrom([]string{
		`null`, `true`, `0`, `-0`, `1.0`, `1e3`, `12345678901234567890`, `"text"`, `"\ud800"`, `{}`, `[]`, `[null]`, `[[1]]`, `[{}]`, `["a",null]`,
		`{"a":1}`, `{"resourceType":"Patient"}`, `{"id":"x","extension":[{}]}`, `[{"id":"x"},null,{"url":"u"}]`, `{"a/b":{"~":[]}}`, `[1,"a",{}]`,
	}).Draw(a.t, "anything")
}

// TestEveryType: resources of each type, valid ones and others, rebuild exactly,
// also when they are sorted.
func TestEveryType(t *testing.T) {
	const each = 8
	types := definition.Resources()
	if len(types) != 146 {
		t.Errorf("%d types, want 146", len(types))
	}
	for i, typ := range types {
		var valid, wrong []string
		for k := range each {
			draw := func(wrong bool) string {
				return rapid.Custom(func(r *rapid.T) string { return author{t: r, wrong: wrong}.resource(typ) }).Example(i*each + k)
			}
			valid, wrong = append(valid, draw(false)), append(wrong, draw(true))
		}
		s := &Sink{Sort: []string{Delivery, Patient}[i%2]}
		out, _ := roundTrip(t, s, newInput(t, typ, text(valid...)))
		if out.Losses.Unmapped > 0 {
			t.Errorf("%s: %d values of valid resources are unmapped", typ, out.Losses.Unmapped)
		}
		roundTrip(t, s, newInput(t, typ, text(append(valid, wrong...)...)))
	}
}

// TestRandomResources: whatever the definitions allow, and much that they do
// not, rebuilds exactly.
func TestRandomResources(t *testing.T) {
	types := definition.Resources()
	rapid.Check(t, func(r *rapid.T) {
		typ := rapid.SampledFrom(types).Draw(r, "type")
		a := author{t: r, wrong: rapid.Bool().Draw(r, "wrong")}
		var lines []string
		for range rapid.IntRange(1, 4).Draw(r, "lines") {
			lines = append(lines, a.resource(typ))
		}
		in := newInput(t, typ, text(lines...))
		out, _ := roundTrip(t, &Sink{Workers: 2, block: 256, RowGroup: 400}, in)
		if !a.wrong && out.Losses.Unmapped > 0 {
			r.Fatalf("%d values of valid resources are unmapped", out.Losses.Unmapped)
		}
	})
}
