package fhirjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/flue-fhir/flue/internal/definition"
)

// generator draws resources.
type generator struct {
	t     *rapid.T
	wrong bool // now and then a value of the wrong kind, an unknown member, a null
	out   strings.Builder
	left  int // members that may still come
}

func (g *generator) int(low, high int, label string) int {
	return rapid.IntRange(low, high).Draw(g.t, label)
}

func (g *generator) space() {
	if g.wrong {
		g.out.WriteString(rapid.SampledFrom([]string{"", "", "", " ", "\t", " \r\n "}).Draw(g.t, "space"))
	}
}

// resource writes a resource of the type.
func (g *generator) resource(typ string) {
	late := g.int(0, 4, "resourceType late") == 0
	g.out.WriteString("{")
	if !late {
		g.space()
		g.out.WriteString(`"resourceType"`)
		g.space()
		g.out.WriteString(`:`)
		g.space()
		fmt.Fprintf(&g.out, `%q`, typ)
		g.space()
		g.out.WriteString(`,`)
	}
	g.members(definition.Type(typ), 0)
	if late {
		fmt.Fprintf(&g.out, `,"resourceType":%q`, typ)
	}
	g.space()
	g.out.WriteString("}")
}

// members writes at least one member of s.
func (g *generator) members(s *definition.Struct, depth int) {
	order := rapid.Permutation(fieldsOf(s)).Draw(g.t, "order")
	n := 0
	for _, i := range order[:min(len(order), g.int(1, 4, "members"))] {
		e := &s.Fields[i]
		if depth > 5 && e.Kind == definition.Complex {
			continue
		}
		if g.left--; g.left < 0 && n > 0 {
			break
		}
		if n++; n > 1 {
			g.out.WriteString(",")
		}
		companion := depth < 5 && e.Companion() && g.int(0, 5, "companion") == 0
		g.space()
		if companion {
			fmt.Fprintf(&g.out, `"_%s":`, e.Name)
		} else {
			fmt.Fprintf(&g.out, `"%s":`, e.Name)
		}
		g.space()
		g.element(e, companion, depth)
		g.space()
	}
	if g.wrong && g.int(0, 4, "unknown") == 0 || n == 0 {
		if n > 0 {
			g.out.WriteString(",")
		}
		fmt.Fprintf(&g.out, `%s:%s`, rapid.SampledFrom([]string{`"x/~y"`, `"\u0078"`, `""`, `"ü😀"`}).Draw(g.t, "name"), g.any())
	}
}

func fieldsOf(s *definition.Struct) []int {
	all := make([]int, len(s.Fields))
	for i := range all {
		all[i] = i
	}
	return all
}

func (g *generator) element(e *definition.Element, companion bool, depth int) {
	if g.wrong && g.int(0, 7, "wrong kind") == 0 {
		g.out.WriteString(g.any())
		return
	}
	if !e.List {
		g.value(e, companion, depth)
		return
	}
	g.out.WriteString("[")
	for i := range g.int(1, 3, "items") {
		if i > 0 {
			g.out.WriteString(",")
		}
		g.space()
		switch {
		case e.Kind.Primitive() && g.int(0, 4, "null") == 0:
			g.out.WriteString("null")
		case g.wrong && g.int(0, 7, "wrong item") == 0:
			g.out.WriteString(g.any())
		default:
			g.value(e, companion, depth)
		}
		g.space()
	}
	g.out.WriteString("]")
}

func (g *generator) value(e *definition.Element, companion bool, depth int) {
	switch {
	case companion:
		g.out.WriteString("{")
		g.members(definition.PrimitiveCompanion(), depth+1)
		g.out.WriteString("}")
		return
	case e.Kind == definition.Complex:
		g.out.WriteString("{")
		g.members(e.Struct, depth+1)
		g.out.WriteString("}")
		return
	}
	var values []string
	switch e.Kind {
	case definition.Boolean:
		values = []string{"true", "false"}
	case definition.Integer:
		values = []string{"0", "1", "-7", "2147483647"}
	case definition.Decimal:
		values = []string{"0", "1.50", "-0.0", "1E2", "1e999999999", "12345678901234567890.12345678901234567890"}
	case definition.Resource:
		values = []string{"{}", `{"resourceType":"Patient","id":"x"}`, `{ "a" : [ { "b" : 1.0 } ] }`}
	default:
		values = []string{`""`, `"x"`, `"2020-01-01"`, `"\u0000\n\"\ud83d\ude00"`, `"ä€😀 and some more text"`, `"{[,:]}"`}
	}
	g.out.WriteString(rapid.SampledFrom(values).Draw(g.t, "value"))
}

// any is a JSON value of whatever kind.
func (g *generator) any() string {
	return rapid.SampledFrom([]string{
		`null`, `{}`, `[]`, `true`, `"s"`, `1.0`, `-0`, `99999999999`, `[null]`, `[[]]`, `[{}]`, `{"id":"x"}`, `{"id":1}`,
		`[{"id":"x"},null]`, `["s",null]`, `"\ud800"`, `["\udc00"]`, `{"extension":[{"url":5}]}`, `[1,"2"]`, `{"x":null}`,
	}).Draw(g.t, "any")
}

// Any resource, with whatever in it, comes back from its events, and from those
// against the columns of the resources landed with it.
func TestRandomResources(t *testing.T) {
	types := definition.Resources()
	for _, wrong := range []bool{false, true} {
		t.Run(fmt.Sprintf("wrong=%v", wrong), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				typ := rapid.SampledFrom(types).Draw(rt, "type")
				var lines [][]byte
				for range rapid.IntRange(1, 3).Draw(rt, "lines") {
					g := &generator{t: rt, wrong: wrong, left: 30}
					g.resource(typ)
					lines = append(lines, []byte(g.out.String()))
				}
				checkRandom(t, rt, typ, lines, wrong)
			})
		})
	}
}

func checkRandom(t *testing.T, rt *rapid.T, typ string, lines [][]byte, wrong bool) {
	var landing, growing, converting Walker
	for _, line := range lines {
		if _, err := landing.Walk(line, nil); err != nil {
			rt.Fatalf("%v in %s", err, line)
		}
	}
	converting.Use(landing.Tree(typ).Columns())
	stored := unmarshal(t, marshal(t, landing.Tree(typ)))
	if got, want := marshal(t, stored.Columns()), marshal(t, landing.Tree(typ)); got != want {
		rt.Fatalf("columns %s, want %s", got, want)
	}
	r := &rebuilder{t: t}
	for _, line := range lines {
		for _, w := range []*Walker{&growing, &converting} {
			r.begin(typ)
			if _, err := w.Walk(line, r); err != nil {
				rt.Fatalf("%v in %s", err, line)
			}
			if got := r.json(); !sameJSON(t, got, line) {
				rt.Fatalf("rebuilt %s of %s", got, line)
			}
			for _, e := range r.events {
				if w == &growing && !wrong && e[0] == '?' && !strings.Contains(e, "x/~y") && !strings.Contains(e, `x~1~0y`) && !isFiller(e) {
					rt.Fatalf("%s in %s", e, line)
				}
			}
			if t.Failed() {
				rt.Fatalf("of %s", line)
			}
		}
	}
	if got, want := marshal(t, growing.Tree(typ)), marshal(t, landing.Tree(typ)); got != want {
		rt.Fatalf("landing found %s, the handler's walk %s", want, got)
	}
	if got, want := marshal(t, converting.Tree(typ)), marshal(t, landing.Tree(typ)); got != want {
		rt.Fatalf("converting changed %s to %s", want, got)
	}
}

// isFiller tells the unknown members that stand where no known one was drawn.
func isFiller(event string) bool {
	for _, name := range []string{"/x ", "/ ", "/ü😀 "} {
		if strings.Contains(event, name) {
			return true
		}
	}
	return false
}

// Merged trees of parts are the tree of the whole, in any order.
func TestMergeIsLandingTogether(t *testing.T) {
	types := definition.Resources()
	rapid.Check(t, func(rt *rapid.T) {
		typ := rapid.SampledFrom(types).Draw(rt, "type")
		var whole Walker
		forth, back := NewTree(typ, Limits{}), NewTree(typ, Limits{})
		var parts []*Tree
		for range rapid.IntRange(1, 4).Draw(rt, "parts") {
			g := &generator{t: rt, wrong: true, left: 30}
			g.resource(typ)
			line := []byte(g.out.String())
			var part Walker
			for _, w := range []*Walker{&whole, &part} {
				if _, err := w.Walk(line, nil); err != nil {
					rt.Fatal(err)
				}
			}
			parts = append(parts, part.Tree(typ))
		}
		for i := range parts {
			forth.Merge(parts[i])
			back.Merge(parts[len(parts)-1-i])
		}
		want := marshal(t, whole.Tree(typ))
		if got := marshal(t, forth); got != want {
			rt.Fatalf("got %s, want %s", got, want)
		}
		if got := marshal(t, back); got != want {
			rt.Fatalf("backwards %s, want %s", got, want)
		}
	})
}

// strictVerdict is jsontext's: it refuses what flue refuses, and lone
// surrogates too.
func strictVerdict(line []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(line))
	if d.PeekKind() != '{' {
		return errors.New("not an object")
	}
	if err := d.SkipValue(); err != nil {
		return err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return errors.New("text after the value")
	}
	return nil
}

// compareVerdicts holds the walker against jsontext. They agree, but for an
// escaped lone surrogate in a value: it is valid JSON text (RFC 8259 section
// 8.2) that jsontext refuses and the walker takes, as unmapped. Of such a line
// only the rest is compared, with the surrogates put out.
func compareVerdicts(t *testing.T, line []byte) {
	t.Helper()
	strict := strictVerdict(line)
	c := &counter{}
	var w, again Walker
	out, err := w.Walk(line, nil)
	for _, h := range []Handler{c, nil, &rebuilder{t: t, stack: []any{&object{}}, nodes: []*Node{nil}}} {
		if out2, err2 := again.Walk(line, h); (err2 == nil) != (err == nil) || out2.Type != out.Type || !bytes.Equal(out2.ID, out.ID) {
			t.Fatalf("landing says %v, a handler's walk %v: %.500q", err, err2, line)
		}
	}
	if err != nil {
		if syntax, ok := errors.AsType[*SyntaxError](err); !ok || syntax.Offset < 0 || syntax.Offset > int64(len(line)) || syntax.Reason == "" {
			t.Fatalf("error %#v", err)
		}
	}
	if (err == nil) == (strict == nil) {
		return
	}
	if err == nil && strict != nil {
		clean := withoutLoneSurrogates(line)
		if !bytes.Equal(clean, line) && strictVerdict(clean) == nil {
			return
		}
	}
	t.Fatalf("the walker says %v, jsontext %v: %.500q", err, strict, line)
}

// withoutLoneSurrogates puts an escaped replacement character in the place of
// every lone surrogate within strings.
func withoutLoneSurrogates(line []byte) []byte {
	clean := bytes.Clone(line)
	for i := 0; i < len(clean); i++ {
		if clean[i] != '\\' {
			continue
		}
		n, lone := escape(clean, i)
		if n < 0 {
			break
		}
		if lone {
			copy(clean[i:], `\ufffd`)
		}
		i += n - 1
	}
	return clean
}

// damaged draws a resource and does it some harm, which may be none.
func damaged(t *rapid.T, typ string) []byte {
	pieces := []string{
		``, ``, `"`, `{`, `}`, `[`, `]`, `,`, `:`, `\`, `\u`, `\ud800`, `0`, `01`, `-`, `.`, `e`, `null`, ` `,
		"\n", "\x00", "\xff", "\xc3", `"id":"x",`, `,"id":"x"`, `"x":1,`,
	}
	g := &generator{t: t, wrong: true, left: 10}
	g.resource(typ)
	line := g.out.String()
	for range rapid.IntRange(0, 2).Draw(t, "damages") {
		at := rapid.IntRange(0, len(line)).Draw(t, "at")
		end := min(len(line), at+rapid.IntRange(0, 3).Draw(t, "cut"))
		line = line[:at] + rapid.SampledFrom(pieces).Draw(t, "piece") + line[end:]
	}
	return []byte(line)
}

// Damaged resources get jsontext's verdict.
func TestDamagedResources(t *testing.T) {
	types := definition.Resources()
	rapid.Check(t, func(rt *rapid.T) {
		compareVerdicts(t, damaged(rt, rapid.SampledFrom(types).Draw(rt, "type")))
	})
}

// What a line is does not depend on the lines before it, and the tree holds the
// columns of the valid ones.
func TestLinesAreIndependent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var long Walker
		want := NewTree("Patient", Limits{})
		for range rapid.IntRange(1, 8).Draw(rt, "lines") {
			typ := rapid.SampledFrom([]string{"Patient", "Patient", "Observation"}).Draw(rt, "type")
			line := damaged(rt, typ)
			var fresh Walker
			wantLine, wantErr := fresh.Walk(line, nil)
			var h Handler
			if rapid.Bool().Draw(rt, "handler") {
				h = &counter{}
			}
			got, err := long.Walk(line, h)
			if !reflect.DeepEqual(got, wantLine) || !reflect.DeepEqual(err, wantErr) {
				rt.Fatalf("got %+v, %v, want %+v, %v for %s", got, err, wantLine, wantErr, line)
			}
			if tree := fresh.Tree("Patient"); tree != nil {
				want.Merge(tree)
			}
		}
		if tree := long.Tree("Patient"); tree != nil && marshal(t, tree) != marshal(t, want) {
			rt.Fatalf("columns %s, want %s", marshal(t, tree), marshal(t, want))
		}
	})
}

func FuzzWalk(f *testing.F) {
	for _, seed := range []string{
		`{"resourceType":"Patient","id":"a","meta":{"versionId":"2","lastUpdated":"2020","tag":[{"code":"SUBSETTED"}]},"name":[{"given":["a",null],"_given":[null,{"id":"x"}]}],"active":true}`,
		`{"id":"a","contained":[{"resourceType":"X","a":[1.0]},{}],"resourceType":"Observation","valueQuantity":{"value":-1.5e+10},"valueInteger":5}`,
		`{"resourceType":"Zebra","x":{"a":1,"b":{"c":[[],{}]}}}`,
		`{"resourceType":"Patient","id":"\u0041\ud83d\ude00\n","x\u0079":"ü€😀"}` + " \r\n",
		`{"resourceType":"Patient","birthDate":"2000","_birthDate":{"extension":[{"url":"u","valueString":"s"}]},"birthDate":"2001"}`,
		` { } `,
		`{"a":"\ud800"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(compareVerdicts)
}

func FuzzAppendUnescaped(f *testing.F) {
	f.Add(`a\n\u00e4\ud83d\ude00\ud800`)
	f.Fuzz(func(t *testing.T, raw string) {
		got := AppendUnescaped(nil, []byte(raw))
		var want string
		if json.Unmarshal([]byte(`"`+raw+`"`), &want) == nil && string(bytes.ToValidUTF8([]byte(raw), nil)) == raw && string(got) != want {
			t.Errorf("%s: got %q, want %q", raw, got, want)
		}
	})
}
