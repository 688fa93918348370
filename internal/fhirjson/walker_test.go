package fhirjson

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// walkEvents walks one line against a tree that grows and returns its events.
func walkEvents(t *testing.T, line string) []string {
	t.Helper()
	var w Walker
	r := &rebuilder{t: t}
	r.begin("")
	out, err := w.Walk([]byte(line), r)
	if err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	(*r.stack[0].(*object))["resourceType"] = `"` + out.Type + `"`
	events := slices.Clone(r.events)
	if got := r.json(); !sameJSON(t, got, []byte(line)) {
		t.Errorf("rebuilt %s of %s", got, line)
	}
	checkColumns(t, &w, line)
	return events
}

// checkColumns walks the line again against the frozen columns: every node of
// them is needed, and nothing is lost.
func checkColumns(t *testing.T, landed *Walker, line string) {
	t.Helper()
	var w Walker
	for _, tree := range landed.Trees() {
		w.Use(tree.Columns())
	}
	r := &rebuilder{t: t}
	out, err := w.Walk([]byte(line), nil)
	if err != nil {
		t.Fatal(err)
	}
	tree := w.Tree(out.Type)
	nodes := len(tree.Nodes)
	r.begin(out.Type)
	if _, err := w.Walk([]byte(line), r); err != nil {
		t.Fatal(err)
	}
	if got := r.json(); !sameJSON(t, got, []byte(line)) {
		t.Errorf("rebuilt from columns %s of %s", got, line)
	}
	if len(tree.Nodes) != nodes {
		t.Errorf("a frozen tree grew from %d to %d nodes", nodes, len(tree.Nodes))
	}
	for i, n := range tree.Nodes {
		if n.ID != i || i > 0 && n.Parent.ID >= i || i > 0 && len(n.Children) == 0 && !n.Leaf() {
			t.Errorf("node %d %s: parent %v, %d children", i, n.Name(), n.Parent, len(n.Children))
		}
	}
}

// What each value becomes: the heart of the losslessness.
func TestEvents(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{
			"single values",
			`{"resourceType":"Patient","id":"a","active":true,"multipleBirthInteger":-2,"birthDate":"1970"}`,
			`id=a · active=true · multipleBirthInteger=-2 · birthDate=1970`,
		},
		{
			"objects and lists",
			`{"resourceType":"Patient","name":[{"given":["A","B"]},{"family":"C"}],"maritalStatus":{"text":"x"}}`,
			`[ name · { name · [ given · given=A · given=B · ] given · } name · { name · family=C · } name · ] name · { maritalStatus · text=x · } maritalStatus`,
		},
		{
			"decimals keep their text",
			`{"resourceType":"Observation","valueQuantity":{"value":1.50},"component":[{"valueQuantity":{"value":-1E999999999}},{"valueQuantity":{"value":0}}]}`,
			`{ valueQuantity · value=1.50 · } valueQuantity · [ component · { component · { valueQuantity · value=-1E999999999 · } valueQuantity · } component · { component · { valueQuantity · value=0 · } valueQuantity · } component · ] component`,
		},
		{
			"integers that are none",
			`{"resourceType":"Observation","valueInteger":1.0,"component":[{"valueInteger":1e2},{"valueInteger":2147483648},{"valueInteger":-2147483649},{"valueInteger":-0},{"valueInteger":12345678901234567890}]}`,
			`? /valueInteger 1.0 · [ component` +
				` · { component · ? /component/0/valueInteger 1e2 · } component` +
				` · { component · ? /component/1/valueInteger 2147483648 · } component` +
				` · { component · ? /component/2/valueInteger -2147483649 · } component` +
				` · { component · ? /component/3/valueInteger -0 · } component` +
				` · { component · ? /component/4/valueInteger 12345678901234567890 · } component · ] component`,
		},
		{
			"integers at the edge",
			`{"resourceType":"Observation","component":[{"valueInteger":2147483647},{"valueInteger":-2147483648},{"valueInteger":0}]}`,
			`[ component · { component · valueInteger=2147483647 · } component · { component · valueInteger=-2147483648 · } component · { component · valueInteger=0 · } component · ] component`,
		},
		{
			"unknown members",
			`{"resourceType":"Patient","a/b~c":{"x":[1,{}]},"_name":[{"id":"x"}],"value[x]":"y","name":[{"Family":"z"}],"":0}`,
			`? /a~1b~0c {"x":[1,{}]} · ? /_name [{"id":"x"}] · ? /value[x] "y" · [ name · { name · ? /name/0/Family "z" · } name · ] name · ? / 0`,
		},
		{
			"wrong kinds",
			`{"resourceType":"Patient","id":5,"active":"true","birthDate":{"x":1},"maritalStatus":"M","deceasedBoolean":[true],"contained":[]}`,
			`? /id 5 · ? /active "true" · ? /birthDate {"x":1} · ? /maritalStatus "M" · ? /deceasedBoolean [true] · ? /contained []`,
		},
		{
			"one where a list is defined, and the other way",
			`{"resourceType":"Patient","name":{"family":"x"},"maritalStatus":[{"text":"y"}],"gender":["male"]}`,
			`? /name {"family":"x"} · ? /maritalStatus [{"text":"y"}] · ? /gender ["male"]`,
		},
		{
			"empty and null",
			`{"resourceType":"Patient","id":null,"name":[],"maritalStatus":{},"contact":[{}],"_birthDate":{ },"active":null}`,
			`? /id null · ? /name [] · ? /maritalStatus {} · [ contact · contact null · ? /contact/0 {} · ] contact · ? /_birthDate { } · ? /active null`,
		},
		{
			"wrong items keep the positions",
			`{"resourceType":"Patient","name":[{"given":["A",5,"B",null,["C"]]},7,{"family":"x"},null,[]]}`,
			`[ name · { name · [ given · given=A · given null · ? /name/0/given/1 5 · given=B · given null · given null · ? /name/0/given/4 ["C"] · ] given · } name` +
				` · name null · ? /name/1 7 · { name · family=x · } name · name null · ? /name/3 null · name null · ? /name/4 [] · ] name`,
		},
		{
			"companions",
			`{"resourceType":"Patient","_birthDate":{"id":"i","extension":[{"url":"u","valueDateTime":"2000"}]},"name":[{"given":[null,"B"],"_given":[{"id":"j"},null]}]}`,
			`{ _birthDate · id=i · [ extension · { extension · url=u · valueDateTime=2000 · } extension · ] extension · } _birthDate` +
				` · [ name · { name · [ given · given null · given=B · ] given · [ _given · { _given · id=j · } _given · _given null · ] _given · } name · ] name`,
		},
		{
			"companion of the wrong kind",
			`{"resourceType":"Patient","_birthDate":[{"id":"i"}],"name":[{"_given":{"id":"j"}}],"_active":{"value":1},"_id":{"id":"k"}}`,
			`? /_birthDate [{"id":"i"}] · [ name · { name · ? /name/0/_given {"id":"j"} · } name · ] name · { _active · ? /_active/value 1 · } _active · ? /_id {"id":"k"}`,
		},
		{
			"contained resources are one value",
			`{"resourceType":"Patient","contained":[{"resourceType":"X","a":[1.0]}, {},5,null]}`,
			`[ contained · contained={"resourceType":"X","a":[1.0]} · contained={} · contained null · ? /contained/2 5 · contained null · ? /contained/3 null · ] contained`,
		},
		{
			"a resource that is no list",
			`{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient"}},{"resource":[1]}]}`,
			`[ entry · { entry · resource={"resourceType":"Patient"} · } entry · { entry · ? /entry/1/resource [1] · } entry · ] entry`,
		},
		{
			"escapes",
			`{"resourceType":"Patient","id":"a\u0062","name":[{"f\u0061mily":"x\n\"\\\/\uD83D\uDE00","text":"\u0000"}]}`,
			`id=a\u0062 · [ name · { name · family=x\n\"\\\/\uD83D\uDE00 · text=\u0000 · } name · ] name`,
		},
		{
			"lone surrogates",
			`{"resourceType":"Patient","id":"\ud800","name":[{"given":["\udc00x","\ud800\ud800","\ud800\u0041","ok"]}]}`,
			`? /id "\ud800" · [ name · { name · [ given · given null · ? /name/0/given/0 "\udc00x" · given null · ? /name/0/given/1 "\ud800\ud800" · given null · ? /name/0/given/2 "\ud800\u0041" · given=ok · ] given · } name · ] name`,
		},
		{
			"resourceType that is not first",
			`{"id":"a","contained":[{"resourceType":"X","id":"}"}],"resourceType":"Patient","active":false}`,
			`id=a · [ contained · contained={"resourceType":"X","id":"}"} · ] contained · active=false`,
		},
		{
			"white space anywhere",
			" { \"resourceType\" : \"Patient\" ,\r\n \"id\"\t:\n\"a\" , \"name\" : [ { \"given\" : [ \"x\" , null ] } , 5 ] , \"active\" : true } \n",
			`id=a · [ name · { name · [ given · given=x · given null · ] given · } name · name null · ? /name/1 5 · ] name · active=true`,
		},
		{
			"recursive content",
			`{"resourceType":"Questionnaire","item":[{"linkId":"1","item":[{"linkId":"2","item":[{"linkId":"3"}]}]}]}`,
			`[ item · { item · linkId=1 · [ item · { item · linkId=2 · [ item · { item · linkId=3 · } item · ] item · } item · ] item · } item · ] item`,
		},
		{"nothing but the type", `{"resourceType":"Patient"}`, ``},
		{"resourceType inside", `{"resourceType":"Patient","maritalStatus":{"resourceType":"x","text":"y"}}`, `{ maritalStatus · ? /maritalStatus/resourceType "x" · text=y · } maritalStatus`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, strings.Join(walkEvents(t, test.line), " · ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

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

func TestSyntaxErrors(t *testing.T) {
	const patient = `{"resourceType":"Patient",`
	tests := []struct {
		line, reason string
		offset       int64
	}{
		{``, reasonEnd, 0},
		{`  `, reasonEnd, 2},
		{`[]`, reasonObject, 0},
		{`"x"`, reasonObject, 0},
		{`<html>`, reasonObject, 0},
		{`{`, reasonEnd, 1},
		{`{"resourceType":"Patient"`, reasonEnd, 25},
		{`{"resourceType":"Patient"x`, reasonComma, 25},
		{`{"resourceType":"Patient"]`, reasonComma, 25},
		{`{"resourceType":"Patient"} x`, reasonTrailing, 27},
		{`{"resourceType":"Patient"}{}`, reasonTrailing, 26},
		{`{"resourceType":"Patient",}`, reasonName, 26},
		{`{,"resourceType":"Patient"}`, reasonName, 1},
		{patient + `"active":}`, reasonValue, 35},
		{patient + `"active":tru}`, reasonValue, 35},
		{patient + `"active":truest}`, reasonComma, 39},
		{patient + `"active":true`, reasonEnd, 39},
		{patient + `"active"true}`, reasonColon, 34},
		{patient + `active:true}`, reasonName, 26},
		{patient + `'active':true}`, reasonName, 26},
		{patient + `"x":01}`, reasonComma, 31},
		{patient + `"multipleBirthInteger":01}`, reasonComma, 50},
		{patient + `"multipleBirthInteger":+1}`, reasonValue, 49},
		{patient + `"multipleBirthInteger":-}`, reasonNumber, 50},
		{patient + `"multipleBirthInteger":1.}`, reasonNumber, 51},
		{patient + `"multipleBirthInteger":1.e5}`, reasonNumber, 51},
		{patient + `"multipleBirthInteger":1e+}`, reasonNumber, 52},
		{patient + `"multipleBirthInteger":.5}`, reasonValue, 49},
		{patient + `"multipleBirthInteger":NaN}`, reasonValue, 49},
		{patient + `"multipleBirthInteger":1`, reasonEnd, 50},
		{patient + "\"id\":\"a\tb\"}", reasonControl, 33},
		{patient + "\"id\":\"a\x00b\"}", reasonControl, 33},
		{patient + "\"id\":\"a\nbcdefghijklmnopqrstuvwxyz\"}", reasonControl, 33},
		{patient + `"id":"a\x"}`, reasonEscape, 33},
		{patient + `"id":"a\u12g4"}`, reasonEscape, 33},
		{patient + `"id":"a\u12`, reasonEscape, 33},
		{patient + `"id":"a\`, reasonEscape, 33},
		{patient + `"id":"a`, reasonEnd, 33},
		{patient + "\"id\":\"a\xff\"}", reasonUTF8, 33},
		{patient + "\"id\":\"\xed\xa0\x80 surrogate\"}", reasonUTF8, 32},
		{patient + "\"id\":\"\xc0\x80 overlong\"}", reasonUTF8, 32},
		{patient + "\"x\xff\":1}", reasonUTF8, 28},
		{patient + `"name":[{"family":"x"},]}`, reasonValue, 49},
		{patient + `"name":[{"family":"x"}}`, reasonComma, 48},
		{patient + `"name":[{"family":"x"]]}`, reasonComma, 47},
		{patient + `"x":[1,]}`, reasonValue, 33},
		{patient + `"x":{"a":1,}}`, reasonName, 37},
		{patient + `"x":{"\ud800":1}}`, reasonSurrogate, 32},
		{patient + `"\udc00":1}`, reasonSurrogate, 27},
		{patient + "\"x\":1}\xef\xbb\xbf", reasonTrailing, 32},
		{"\xef\xbb\xbf{}", reasonObject, 0},
	}
	for _, test := range tests {
		for _, h := range []Handler{nil, &counter{}} {
			var w Walker
			_, err := w.Walk([]byte(test.line), h)
			syntax, ok := errors.AsType[*SyntaxError](err)
			if !ok {
				t.Errorf("%s: got %v", test.line, err)
				continue
			}
			if syntax.Reason != test.reason || syntax.Offset != test.offset {
				t.Errorf("%s: got %q at %d, want %q at %d", test.line, syntax.Reason, syntax.Offset, test.reason, test.offset)
			}
		}
	}
}

// A duplicate is found at every level, whether the member has a node or not, by
// whichever way its name was recognized, and whatever its values are.
func TestDuplicateMembers(t *testing.T) {
	many := func(last string) string {
		var s strings.Builder
		for i := range 200 {
			fmt.Fprintf(&s, `"m%d":%d,`, i, i)
		}
		return s.String() + last
	}
	wide := func(last string) string { // more than 64 nodes in one object
		var s strings.Builder
		for i := range ofType("ElementDefinition").Fields {
			e := &ofType("ElementDefinition").Fields[i]
			if value := valueOf(e); value != "" {
				fmt.Fprintf(&s, `"%s":%s,`, e.Name, value)
			}
		}
		return `"snapshot":{"element":[{` + s.String() + last + `}]}`
	}
	tests := []struct {
		name, members string
		typ           string
	}{
		{"known", `"id":"a","active":true,"id":"b"`, ""},
		{"next to each other", `"id":"a","id":"a"`, ""},
		{"escaped", `"id":"a","\u0069d":"b"`, ""},
		{"both escaped", `"\u0069d":"a","i\u0064":"b"`, ""},
		{"good and wrong kind", `"id":"a","id":5`, ""},
		{"wrong kind and good", `"id":5,"id":"a"`, ""},
		{"both wrong", `"id":5,"id":6`, ""},
		{"unknown", `"x":1,"y":2,"x":3`, ""},
		{"unknown escaped", `"x":1,"\u0078":3`, ""},
		{"unknown inside", `"x":{"a":1,"b":[{"c":1,"c":2}]}`, ""},
		{"empty names", `"":1,"":2`, ""},
		{"long names", `"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx1":1,"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx2":1,"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx1":3`, ""},
		{"contained", `"contained":[{"id":"a","id":"b"}]`, ""},
		{"companion", `"_birthDate":{"id":"a"},"birthDate":"2000","_birthDate":{"id":"b"}`, ""},
		{"in a companion", `"_birthDate":{"id":"a","id":"b"}`, ""},
		{"in a list", `"name":[{"family":"a"},{"family":"b","use":"c","family":"d"}]`, ""},
		{"many unknown", many(`"m77":0`), ""},
		{"many unknown inside", `"x":{` + many(`"m199":0`) + `}`, ""},
		{"resourceType", `"resourceType":"Patient"`, ""},
		{"another resourceType", `"id":"a","resourceType":"Observation"`, ""},
		{"many members with nodes", wide(`"fixedCode":"y"`), "StructureDefinition"},
		{"many members with nodes, one of the first", wide(`"path":"y"`), "StructureDefinition"},
		{"many members with nodes, one of the last", wide(`"maxValueInstant":"y"`), "StructureDefinition"},
		{"many members with nodes, one of the last, escaped", wide(`"maxValueInstan\u0074":"y"`), "StructureDefinition"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			typ := "Patient"
			if test.typ != "" {
				typ = test.typ
			}
			line := []byte(`{"resourceType":"` + typ + `",` + test.members + `}`)
			var w Walker
			for range 3 { // the first finds a fresh tree
				for _, h := range []Handler{nil, &counter{}} {
					_, err := w.Walk(line, h)
					if syntax, ok := errors.AsType[*SyntaxError](err); !ok || syntax.Reason != reasonDuplicate {
						t.Errorf("got %v", err)
					}
				}
				warm := bytes.Replace(line, []byte(test.members), []byte(`"id":"a","_birthDate":{"id":"c"},"name":[{"family":"b"}]`), 1)
				if typ != "Patient" {
					warm = []byte(`{"resourceType":"` + typ + `",` + strings.Replace(wide(`"id":"y"`), `"id":"x",`, ``, 1) + `}`)
				}
				if _, err := w.Walk(warm, nil); err != nil {
					t.Fatal(err)
				}
				if typ != "Patient" && w.Tree(typ).Lookup("snapshot.element.maxValueInstant").bit != 0 {
					t.Fatal("maxValueInstant is not among the many")
				}
			}
		})
	}
}

// The same name in different objects is no duplicate.
func TestNoDuplicates(t *testing.T) {
	walkEvents(t, `{"resourceType":"Patient","id":"a","x":{"id":1,"x":{"id":2}},"y":[{"id":1},{"id":1}],"contained":[{"id":1},{"id":1}],`+
		`"name":[{"id":"a","q":1},{"id":"a","q":1}],"_birthDate":{"id":"a"},"maxName":1,"maxNamf":1}`)
}

func TestNestingIsBounded(t *testing.T) {
	nest := func(depth int) []byte { // depth containers, with the resource
		return []byte(`{"resourceType":"Patient","x":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + `}`)
	}
	var w Walker
	if _, err := w.Walk(nest(maxNesting), nil); err != nil {
		t.Errorf("%d containers: %v", maxNesting, err)
	}
	// Where there are nodes around the value, too, the limit is that of all
	// containers, as jsontext counts them.
	for depth := maxNesting - 8; depth < maxNesting+2; depth++ {
		inner := strings.Repeat(`{"a":`, depth) + `1` + strings.Repeat("}", depth)
		compareVerdicts(t, []byte(`{"resourceType":"Patient","contained":[`+inner+`]}`))
		compareVerdicts(t, []byte(`{"resourceType":"Bundle","entry":[{"resource":`+inner+`}]}`))
		compareVerdicts(t, []byte(`{"resourceType":"Patient","name":[{"given":[`+inner+`]}]}`))
		compareVerdicts(t, []byte(`{"resourceType":"Patient","name":[{"given":`+inner+`}]}`))
		compareVerdicts(t, []byte(`{"resourceType":"Patient","name":[{"x":`+inner+`}]}`))
		compareVerdicts(t, []byte(`{"x":`+inner+`}`))
	}
	_, err := w.Walk(nest(maxNesting+1), nil)
	if syntax, ok := errors.AsType[*SyntaxError](err); !ok || syntax.Reason != reasonNesting {
		t.Errorf("%d containers: %v", maxNesting+1, err)
	}
	// Ten million brackets are no stack of ten million calls.
	if _, err := w.Walk(nest(10_000_000), nil); err == nil {
		t.Error("ten million containers passed")
	}
	contained := `{"resourceType":"Patient","contained":[` + strings.Repeat(`{"a":`, maxNesting-1) + `1` + strings.Repeat("}", maxNesting-1) + `]}`
	if _, err := w.Walk([]byte(contained), nil); err == nil {
		t.Error("contained resources do not count the containers around them")
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
