package fhirjson

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

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
		{`{ "resourceType" : "Patient"`, reasonEnd, 28},
		{`{ "resourceType" : "Patient" ]`, reasonComma, 29},
		{`{ "resourceType" "Patient" }`, reasonColon, 17},
		{`{ "resourceType" : "Patient" , }`, reasonName, 31},
		{`{"resourceType":"Patient" "id":"a"}`, reasonComma, 26},
		{`{"resourceType" :`, reasonEnd, 17},
		{`{"resourceType"`, reasonEnd, 15},
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
		{"resourceType after a space", `"id":"a", "resourceType" : "Patient"`, ""},
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
			spaced := bytes.Replace(line, []byte(`":"`), []byte(`" : "`), 1)
			if _, err := w.Walk(spaced, nil); err == nil || !strings.Contains(err.Error(), reasonDuplicate) {
				t.Errorf("with space got %v", err)
			}
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
