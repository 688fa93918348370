package fhirjson

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLine(t *testing.T) {
	tests := []struct {
		name, line string
		want       Line
	}{
		{
			"all there is",
			`{"resourceType":"Patient","id":"a","meta":{"versionId":"2","lastUpdated":"2020-01-01T00:00:00Z","tag":[{"code":"x"},{"code":"SUBSETTED"},{"code":"y"}]}}`,
			Line{Type: "Patient", Known: true, ID: []byte("a"), VersionID: []byte("2"), LastUpdated: []byte("2020-01-01T00:00:00Z"), Subsetted: true},
		},
		{
			"decoded",
			`{"resourceType":"\u0050atient","id":"a\u0062\/","meta":{"versionId":"\u0032","lastUpdated":"\u0033","tag":[{"code":"SUBSET\u0054ED"}]}}`,
			Line{Type: "Patient", Known: true, ID: []byte("ab/"), VersionID: []byte("2"), LastUpdated: []byte("3"), Subsetted: true},
		},
		{
			"other ids, other tags, other updates",
			`{"resourceType":"Patient","contained":[{"id":"x"}],"name":[{"id":"y"}],"extension":[{"url":"lastUpdated","valueCode":"SUBSETTED"}],"meta":{"id":"z","security":[{"code":"SUBSETTED"}],"tag":[{"code":"no"}]}}`,
			Line{Type: "Patient", Known: true},
		},
		{
			"wrong kinds",
			`{"resourceType":"Patient","id":1,"meta":{"versionId":2,"lastUpdated":["3"],"tag":{"code":"SUBSETTED"}}}`,
			Line{Type: "Patient", Known: true},
		},
		{"empty id", `{"resourceType":"Patient","id":""}`, Line{Type: "Patient", Known: true, ID: []byte{}}},
		{"id first", `{"id":"a","resourceType":"Patient"}`, Line{Type: "Patient", Known: true, ID: []byte("a")}},
		{
			"unknown type",
			`{"resourceType":"Zebra","id":"a","meta":{"lastUpdated":"2020"},"name":{"stripes":[1,2]}}`,
			Line{Type: "Zebra", ID: []byte("a"), LastUpdated: []byte("2020")},
		},
		{"no type", `{"id":"a"}`, Line{ID: []byte("a")}},
		{"type that is no string", `{"resourceType":{"a":"Patient"},"id":"a"}`, Line{ID: []byte("a")}},
		{"type of a contained resource only", `{"contained":[{"resourceType":"Patient"}],"x":"resourceType"}`, Line{}},
		{"type of R4B", `{"resourceType":"SubscriptionStatus"}`, Line{Type: "SubscriptionStatus"}},
		{"data type", `{"resourceType":"HumanName","family":"x"}`, Line{Type: "HumanName"}},
		{"empty object", `{}`, Line{}},
	}
	var shared Walker
	r := &rebuilder{t: t}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, w := range []*Walker{{}, &shared} {
				r.begin("")
				got, err := w.Walk([]byte(test.line), r)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error(diff)
				}
				if !got.Known && len(r.events) > 0 {
					t.Errorf("events %q of an unknown type", r.events)
				}
				if (w.Tree(got.Type) != nil) != got.Known {
					t.Errorf("tree %v", w.Tree(got.Type))
				}
			}
		})
	}
}

func TestWalkType(t *testing.T) {
	var w Walker
	patient, observation := []byte(`{"resourceType":"Patient","id":"a"}`), []byte(`{"resourceType":"Observation","id":"b"}`)
	c := &counter{}
	for _, line := range [][]byte{patient, observation, observation, patient} {
		if _, err := w.WalkType(line, "Patient", c); err != nil {
			t.Fatal(err)
		}
	}
	if c.scalars != 2 {
		t.Errorf("%d scalars, want 2", c.scalars)
	}
	var types []string
	for _, tree := range w.Trees() {
		types = append(types, tree.Type)
	}
	if !slices.Equal(types, []string{"Observation", "Patient"}) {
		t.Errorf("trees %v", types)
	}
	w.Reset()
	if w.Tree("Patient") != nil || len(w.Trees()) != 0 {
		t.Error("trees after Reset")
	}
	if _, err := w.Walk(patient, nil); err != nil || w.Tree("Patient") == nil {
		t.Error("no walk after Reset")
	}
}

// An invalid line leaves no column behind, and the walk goes on.
func TestInvalidLineLeavesNothing(t *testing.T) {
	var w Walker
	good := []byte(`{"resourceType":"Patient","name":[{"family":"x"}]}`)
	bad := []byte(`{"resourceType":"Patient","gender":"male","name":[{"given":["x"],"family":"y"}],"active":tru}`)
	for range 2 {
		if _, err := w.Walk(bad, nil); err == nil {
			t.Fatal("no error")
		}
		if got := marshal(t, w.Tree("Patient")); got != "Patient" {
			t.Fatalf("columns %s", got)
		}
	}
	for range 2 {
		if _, err := w.Walk(good, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Walk(bad, nil); err == nil {
			t.Fatal("no error")
		}
		if got := marshal(t, w.Tree("Patient")); got != "Patient{name{family}}" {
			t.Fatalf("columns %s", got)
		}
	}
	if _, err := w.Walk(bytes.Replace(bad, []byte("tru}"), []byte("true}"), 1), nil); err != nil {
		t.Fatal(err)
	}
	if got := marshal(t, w.Tree("Patient")); got != "Patient{active,name{family,given},gender}" {
		t.Errorf("columns %s", got)
	}
}

// The same for what an invalid line did to nodes that were there before.
func TestInvalidLineChangesNoNode(t *testing.T) {
	walk := func(w *Walker, valid bool, members string) {
		t.Helper()
		if _, err := w.Walk([]byte(`{"resourceType":"Patient",`+members+`}`), nil); (err == nil) != valid {
			t.Fatalf("%s: %v", members, err)
		}
	}
	t.Run("value", func(t *testing.T) {
		var w Walker
		walk(&w, true, `"name":[{"given":[null]}]`)
		walk(&w, false, `"name":[{"given":["x"]}],`)
		if got := marshal(t, w.Tree("Patient")); got != "Patient" {
			t.Errorf("columns %s", got)
		}
	})
	t.Run("guess", func(t *testing.T) {
		var w Walker
		walk(&w, true, `"id":"a"`)
		nodes := len(w.Tree("Patient").Nodes)
		walk(&w, false, `"id":"a","gender":"x","birthDate":"2000",`)
		if got := len(w.Tree("Patient").Nodes); got != nodes {
			t.Errorf("%d nodes, want %d", got, nodes)
		}
		walk(&w, true, `"id":"a","gender":"x","birthDate":"2000"`)
		if got := marshal(t, w.Tree("Patient")); got != "Patient{id,gender,birthDate}" {
			t.Errorf("columns %s", got)
		}
	})
	t.Run("room", func(t *testing.T) {
		w := Walker{Limits: Limits{MaxColumns: 6}}
		for range 10 {
			walk(&w, false, `"gender":"x",`)
		}
		walk(&w, true, `"gender":"x","active":true,"birthDate":"2000"`)
		if got := marshal(t, w.Tree("Patient")); got != "Patient{active,gender}" {
			t.Errorf("columns %s", got)
		}
	})
	t.Run("trees that were given", func(t *testing.T) {
		merged := NewTree("Patient", Limits{})
		merged.Merge(unmarshal(t, "Patient{gender,name{family}}"))
		for _, tree := range []*Tree{merged, merged.Columns(), unmarshal(t, "Patient{gender,name{family}}"), NewTree("Patient", Limits{})} {
			var w Walker
			w.Use(tree)
			before := marshal(t, tree)
			walk(&w, false, `"active":true,"gender":"x",`)
			if got := marshal(t, tree); got != before {
				t.Errorf("columns %s, want %s", got, before)
			}
		}
	})
	t.Run("names", func(t *testing.T) {
		var w Walker
		var many strings.Builder
		for i := range 2 * manyNames {
			fmt.Fprintf(&many, `"m%d":1,`, i)
		}
		walk(&w, false, `"x":{"y":{`+many.String()+`}}`)
		walk(&w, true, `"x":{"y":{`+many.String()+`"z":1}},`+many.String()+`"y":{`+many.String()+`"z":1}`)
	})
}

// Names that differ only where a glance does not look.
func TestSimilarNames(t *testing.T) {
	var w Walker
	line := `{"resourceType":"Patient","active":true,"multipleBirthInteger":1,"gender":"x"}`
	similar := []string{"multipleBirthXnteger", "MultipleBirthInteger", "multipleBirthIntegeR", "multipleBirthInteger ", "multipleXirthInteger"}
	for range 2 {
		for _, name := range similar {
			r := &rebuilder{t: t}
			r.begin("Patient")
			if _, err := w.Walk([]byte(line), nil); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Walk([]byte(strings.Replace(line, "multipleBirthInteger", name, 1)), r); err != nil {
				t.Fatal(err)
			}
			want := []string{"active=true", "? /" + name + " 1", "gender=x"}
			if !slices.Equal(r.events, want) {
				t.Errorf("got %q, want %q", r.events, want)
			}
		}
	}
}

// A leaf that never had a value it can hold is no column.
func TestNoColumnWithoutAValue(t *testing.T) {
	var w Walker
	for _, line := range []string{
		`{"resourceType":"Patient","multipleBirthInteger":1.0,"name":[{"given":[5],"_given":[null]}],"contact":[{"x":1}]}`,
		`{"resourceType":"Patient","_birthDate":{"extension":[{}]},"name":[{"given":[null]},{"given":["\ud800"]}],"contained":[5]}`,
	} {
		if _, err := w.Walk([]byte(line), nil); err != nil {
			t.Fatal(err)
		}
		checkColumns(t, &w, line)
	}
	if got := marshal(t, w.Tree("Patient")); got != "Patient" {
		t.Errorf("columns %s", got)
	}
}

func TestLimits(t *testing.T) {
	t.Run("depth", func(t *testing.T) {
		w := Walker{Limits: Limits{MaxDepth: 4}}
		line := []byte(`{"resourceType":"Questionnaire","item":[{"linkId":"1","item":[{"linkId":"2","item":[{"linkId":"3","item":[{"linkId":"4","item":[{"linkId":"5"}]}]}]}]}]}`)
		r := &rebuilder{t: t}
		r.begin("Questionnaire")
		if _, err := w.Walk(line, r); err != nil {
			t.Fatal(err)
		}
		if got := r.json(); !sameJSON(t, got, line) {
			t.Errorf("rebuilt %s", got)
		}
		if got, want := marshal(t, w.Tree("Questionnaire")), "Questionnaire{item{linkId,item{linkId,item{linkId}}}}"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got, want := r.events[len(r.events)-7], `? /item/0/item/0/item/0/item/0/linkId "4"`; !slices.Contains(r.events, want) {
			t.Errorf("got %s among %q, want %s", got, r.events, want)
		}
	})
	t.Run("columns", func(t *testing.T) {
		w := Walker{Limits: Limits{MaxColumns: 6}} // four are id, versionId, lastUpdated and the tag's code
		line := []byte(`{"resourceType":"Patient","active":true,"gender":"male","birthDate":"2000","name":[{"family":"x"}],"id":"a"}`)
		r := &rebuilder{t: t}
		r.begin("Patient")
		out, err := w.Walk(line, r)
		if err != nil || string(out.ID) != "a" {
			t.Fatalf("%+v, %v", out, err)
		}
		if got := r.json(); !sameJSON(t, got, line) {
			t.Errorf("rebuilt %s", got)
		}
		if got, want := marshal(t, w.Tree("Patient")), "Patient{id,active,gender}"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		checkColumns(t, &w, string(line))
	})
	t.Run("inner nodes", func(t *testing.T) {
		w := Walker{Limits: Limits{MaxColumns: 100}}
		// Objects without a leaf, ever more of them.
		var visit func(depth int) string
		visit = func(depth int) string {
			if depth == 0 {
				return `{"x":1}`
			}
			inner := visit(depth - 1)
			return `{"extension":[` + inner + `],"valueReference":` + inner + `,"valueIdentifier":` + inner + `,"valueCoding":` + inner + `}`
		}
		if _, err := w.Walk([]byte(`{"resourceType":"Patient","extension":[`+visit(6)+`]}`), nil); err != nil {
			t.Fatal(err)
		}
		if n := len(w.Tree("Patient").Nodes); n > 210 {
			t.Errorf("%d nodes", n)
		}
	})
}

// Nothing is allocated for a line like those before.
func TestNoAllocationPerLine(t *testing.T) {
	lines := [][]byte{
		[]byte(`{"resourceType":"Patient","id":"a","meta":{"lastUpdated":"2020","tag":[{"code":"x"}]},"name":[{"given":["a","b"]}],"x":{"y":[1,2]},"contained":[{"a":{"b":"c"}}]}`),
		[]byte(`{"id":"\u0041","resourceType":"Observation","valueInteger":1.0,"f\u006fo":"bar"}`),
		[]byte(`{"resourceType":"Zebra","id":"a"}`),
	}
	var w Walker
	c := &counter{}
	walk := func() {
		for _, line := range lines {
			if _, err := w.Walk(line, c); err != nil {
				t.Fatal(err)
			}
		}
	}
	walk()
	if n := testing.AllocsPerRun(100, walk); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAppendUnescaped(t *testing.T) {
	tests := []struct{ raw, want string }{
		{``, ""},
		{`plain ä`, "plain ä"},
		{`\"\\\/\b\f\n\r\t`, "\"\\/\b\f\n\r\t"},
		{`a\u00e4\u20ac\u0000z`, "aä€\x00z"},
		{`\ud83d\ude00!`, "😀!"},
		{`\uD83D\uDE00`, "😀"},
		{`\ud800x\udc00\ud800\ud83d\ude00`, "�x��😀"},
		{`\ud800\u0041`, "�A"},
	}
	for _, test := range tests {
		if got := string(AppendUnescaped([]byte("> "), []byte(test.raw))); got != "> "+test.want {
			t.Errorf("%s: got %q, want %q", test.raw, got, test.want)
		}
	}
}
