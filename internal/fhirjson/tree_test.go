package fhirjson

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/internal/definition"
)

func marshal(t testing.TB, tree *Tree) string {
	t.Helper()
	text, err := tree.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func unmarshal(t testing.TB, text string) *Tree {
	t.Helper()
	var tree Tree
	if err := tree.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return &tree
}

// ofType returns the struct of a data type.
func ofType(name string) *definition.Struct {
	var find func(s *definition.Struct, seen map[*definition.Struct]bool) *definition.Struct
	find = func(s *definition.Struct, seen map[*definition.Struct]bool) *definition.Struct {
		if s == nil || seen[s] {
			return nil
		}
		seen[s] = true
		if s.Name == name {
			return s
		}
		for i := range s.Fields {
			if f := find(s.Fields[i].Struct, seen); f != nil {
				return f
			}
		}
		return nil
	}
	return find(definition.Type("StructureDefinition"), map[*definition.Struct]bool{})
}

// valueOf returns a value for a single primitive element, nothing for another.
func valueOf(e *definition.Element) string {
	switch {
	case e.List || !e.Kind.Primitive():
		return ""
	case e.Kind == definition.Boolean:
		return "true"
	case e.Kind == definition.Integer || e.Kind == definition.Decimal:
		return "1"
	}
	return `"x"`
}

// The text is in definition order, a companion behind its element, whatever
// came first.
func TestMarshalTextOrder(t *testing.T) {
	lines := []string{
		`{"resourceType":"Patient","name":[{"_given":[{"id":"x"}],"given":["a"]}],"id":"a"}`,
		`{"resourceType":"Patient","_birthDate":{"extension":[{"valueString":"s","url":"u"}]},"birthDate":"2000"}`,
		`{"resourceType":"Patient","contained":[{}],"gender":"male","active":true}`,
	}
	want := "Patient{id,contained,active,name{given,_given{id}},gender,birthDate,_birthDate{extension{url,valueString}}}"
	var forth, back Walker
	for i := range lines {
		if _, err := forth.Walk([]byte(lines[i]), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := back.Walk([]byte(lines[len(lines)-1-i]), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range []*Walker{&forth, &back} {
		tree := w.Tree("Patient")
		if got := marshal(t, tree); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		columns := tree.Columns()
		if got := marshal(t, columns); got != want {
			t.Errorf("columns: got %s, want %s", got, want)
		}
		names := ""
		for _, n := range columns.Nodes[1:] {
			names += n.Name() + " "
		}
		if names != "id contained active name given _given id gender birthDate _birthDate extension url valueString " {
			t.Errorf("nodes %s", names)
		}
		if !columns.Frozen || tree.Frozen {
			t.Error("columns are frozen, what they are made of is not")
		}
	}
}

func TestUnmarshalTextBinds(t *testing.T) {
	text := "Patient{id,contained,name{family,_family{extension{url,valueCode}},given,_given{id}},deceasedBoolean}"
	tree := unmarshal(t, text)
	if got := marshal(t, tree); got != text {
		t.Errorf("got %s", got)
	}
	patient := definition.Type("Patient")
	tests := []struct {
		path      string
		element   *definition.Element
		s         *definition.Struct
		companion bool
		list      bool
	}{
		{"id", patient.Field("id"), nil, false, false},
		{"contained", patient.Field("contained"), nil, false, true},
		{"name", patient.Field("name"), patient.Field("name").Struct, false, true},
		{"name._given", patient.Field("name").Struct.Field("given"), definition.PrimitiveCompanion(), true, true},
		{"name._family.extension", definition.PrimitiveCompanion().Field("extension"), definition.Extension(), false, true},
		{"name._family.extension.valueCode", definition.Extension().Field("valueCode"), nil, false, false},
	}
	for _, test := range tests {
		n := tree.Lookup(test.path)
		if n == nil || n.Element != test.element || n.Struct != test.s || n.Companion != test.companion || n.IsList() != test.list ||
			n.Leaf() != (test.s == nil) || n.Depth != strings.Count(test.path, ".")+1 || tree.Nodes[n.ID] != n {
			t.Errorf("%s: %+v", test.path, n)
		}
	}
	if tree.Lookup("") != tree.Nodes[0] || tree.Lookup("name.nonsense") != nil || tree.Lookup("given") != nil || tree.Lookup("name.") != nil {
		t.Error("Lookup finds what is not there")
	}
	if tree.Nodes[0].Name() != "" || tree.Nodes[0].Leaf() || tree.Nodes[0].IsList() {
		t.Error("the root is no object")
	}
	// It serves a walker.
	var w Walker
	w.Use(tree)
	if _, err := w.Walk([]byte(`{"resourceType":"Patient","gender":"male","id":"a"}`), nil); err != nil {
		t.Fatal(err)
	}
	if got, want := marshal(t, tree), strings.Replace(text, "deceasedBoolean", "gender,deceasedBoolean", 1); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A tree is a string within JSON.
func TestTreeInJSON(t *testing.T) {
	in := map[string]*Tree{"Patient": unmarshal(t, "Patient{id}"), "Device": unmarshal(t, "Device")}
	text, err := json.Marshal(in)
	if err != nil || string(text) != `{"Device":"Device","Patient":"Patient{id}"}` {
		t.Fatalf("%s, %v", text, err)
	}
	var out map[string]*Tree
	if err := json.Unmarshal(text, &out); err != nil || out["Patient"].Lookup("id") == nil {
		t.Errorf("%v, %v", out, err)
	}
}

func TestUnmarshalTextRefuses(t *testing.T) {
	for _, text := range []string{
		"", "Nonsense", "Patient{", "Patient{id", "Patient{id}x", "Patient{id,}", "Patient{}", "Patient{nonsense}", "Patient{id,id}",
		"Patient{id{x}}", "Patient{contained{id}}", "Patient{name}", "Patient{name{}}", "Patient{_name{id}}", "Patient{_birthDate}",
		"Patient{id}}", "Patient,", "patient{id}", "Patient{__id{id}}", "Patient {id}",
		"Questionnaire{" + strings.Repeat("item{", maxTextDepth+5) + "linkId" + strings.Repeat("}", maxTextDepth+6),
	} {
		tree := NewTree("Patient", Limits{MaxDepth: 7})
		if err := tree.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q passed", text)
		}
		if tree.Type != "Patient" || len(tree.Nodes) != 1 {
			t.Errorf("%q changed the tree", text)
		}
	}
}

func TestMerge(t *testing.T) {
	tests := []struct {
		name, a, b, want string
		columns, left    int
	}{
		{"same", "Patient{id}", "Patient{id}", "Patient{id}", 0, 0},
		{"union", "Patient{id,name{given}}", "Patient{active,name{family,_given{id}}}", "Patient{id,active,name{family,given,_given{id}}}", 0, 0},
		{"into nothing", "Patient", "Patient{contained,name{given}}", "Patient{contained,name{given}}", 0, 0},
		{"of nothing", "Patient{id}", "Patient", "Patient{id}", 0, 0},
		{"no room", "Patient{id,gender}", "Patient{active,name{family,given},birthDate}", "Patient{id,active,gender}", 3, 3},
		{"no room for a part", "Patient{id}", "Patient{name{family,given,period{start}}}", "Patient{id,name{family,given}}", 3, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, b := unmarshal(t, test.a), unmarshal(t, test.b)
			a.Limits.MaxColumns = test.columns
			left := a.Merge(b)
			if got := marshal(t, a); got != test.want || left != test.left {
				t.Errorf("got %s and %d left, want %s and %d", got, left, test.want, test.left)
			}
			if got := marshal(t, b); got != test.b {
				t.Errorf("the other became %s", got)
			}
		})
	}
	// What was not seen is not merged.
	var w Walker
	if _, err := w.Walk([]byte(`{"resourceType":"Patient","name":[{"given":[null]}],"gender":"x"}`), nil); err != nil {
		t.Fatal(err)
	}
	to := NewTree("Patient", Limits{})
	to.Merge(w.Tree("Patient"))
	if got := marshal(t, to); got != "Patient{gender}" {
		t.Errorf("got %s", got)
	}
	if NewTree("Nonsense", Limits{}) != nil {
		t.Error("a tree of no type")
	}
}

func FuzzUnmarshalText(f *testing.F) {
	f.Add("Patient{id,name{given,_given{extension{url,valueString}}},contained}")
	f.Add("Questionnaire{item{linkId,item{linkId}}}")
	f.Fuzz(func(t *testing.T, text string) {
		var tree Tree
		if tree.UnmarshalText([]byte(text)) != nil {
			return
		}
		again := unmarshal(t, marshal(t, &tree))
		if got, want := marshal(t, again), marshal(t, &tree); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got, want := marshal(t, tree.Columns()), marshal(t, &tree); got != want {
			t.Errorf("columns %s, want %s", got, want)
		}
	})
}
