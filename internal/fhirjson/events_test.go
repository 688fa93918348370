package fhirjson

import (
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
