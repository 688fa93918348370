package search

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

func decode(body string) (b bundle, lines []string, modes []string, err error) {
	b, err = readBundle(strings.NewReader(body), func(e entry) error {
		lines = append(lines, string(e.resource))
		modes = append(modes, e.mode)
		return nil
	})
	return b, lines, modes, err
}

// TestResourcesKeepTheirBytes has what generic JSON code changes: number texts,
// escapes, duplicate members, invalid UTF-8, the order of members.
func TestResourcesKeepTheirBytes(t *testing.T) {
	want := `{"resourceType":"Observation","z":1.50,"a":[1E2,-0.0,12345678901234567890],"s":"\u00e9\/\" \\ é\ud800","s":"{ }","e":{},"t":true,"n":null,"u":"` + "\xff" + `"}`
	pretty := `{ "resourceType" : "Observation" ,` + "\r\n\t" + `"z": 1.50, "a": [ 1E2 , -0.0,` + "\n" + `12345678901234567890 ],
		"s": "\u00e9\/\" \\ é\ud800", "s" : "{ }", "e": { }, "t": true , "n": null, "u": "` + "\xff" + `" }`
	_, lines, _, err := decode(`{"entry":[{"resource":` + want + `},{ "resource" :
		` + pretty + `
	}],"resourceType":"Bundle"}`)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range lines {
		if got != want {
			t.Errorf("entry %d\n got %s\nwant %s", i, got, want)
		}
	}
	// White space on one line is the server's own and stays.
	spaced := `{"resourceType": "Patient", "id": "1"}`
	if _, lines, _, _ = decode(`{"resourceType":"Bundle","entry":[{"resource":` + spaced + `}]}`); lines[0] != spaced {
		t.Errorf("got %s", lines[0])
	}
}

func TestBundleMembersInAnyOrder(t *testing.T) {
	b, lines, modes, err := decode(`{"total":7,"entry":[
		{"search":{"mode":"include","score":1},"resource":{"resourceType":"Organization"},"fullUrl":"x"},
		{"resource":{"resourceType":"Patient"},"search":{"mode":"match"}},{"fullUrl":"x"},{"r\u0065source":null},{"r\u0065source":{"resourceType":"Basic"},"search":null}],
		"extra":{"entry":[1]},"\u0065xtra":0,"link":[{"url":"n","relation":"next","x":[]},{"relation":"self","url":"s"}],"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Group"}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if b.total != 7 || b.next != "n" || b.self != "s" || b.empty != 2 || b.resourceType != "Bundle" || len(lines) != 4 || strings.Join(modes, " ") != "include match  " {
		t.Errorf("%+v, %q, %q", b, lines, modes)
	}
}

func TestBrokenBundles(t *testing.T) {
	whole := searchset("n", match("Patient", "1"), match("Patient", "2"))
	for n := range len(whole) {
		if _, _, _, err := decode(whole[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	for _, body := range []string{
		`[]`, `7`, `{"entry":7}`, `{"entry":[7]}`, `{"entry":[{"resource":{},"resource":{}}]}`, `{"link":{}}`, `{} {}`, `{}x`,
		`{"entry":[{"resource":{"a":"` + "\n" + `"}}]}`, `{"entry":[{"resource":{"a":01}}]}`,
	} {
		if _, _, _, err := decode(body); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func FuzzBundle(f *testing.F) {
	f.Add([]byte(searchset("n", match("Patient", "1"))))
	f.Add([]byte(`{"entry":[{"resource": { "a" : "\"\\" , "b":[ 1 ] } , "search":{"mode":"include"}}],"link":[{"relation":"next","url":"x"}],"total":1}`))
	f.Add([]byte(`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"x"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var n int
		_, err := readBundle(bytes.NewReader(body), func(e entry) error {
			n++
			if bytes.ContainsAny(e.resource, "\n\r") {
				t.Errorf("a line end within a line: %q", e.resource)
			}
			if !jsontext.Value(e.resource).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
				t.Errorf("not JSON: %q", e.resource)
			}
			return nil
		})
		var want struct {
			Entry []struct {
				Resource jsontext.Value `json:"resource"`
			} `json:"entry"`
		}
		if err != nil || jsonv2.Unmarshal(body, &want) != nil { // stricter: no duplicate members
			return
		}
		objects := 0
		for _, e := range want.Entry {
			if e.Resource.Kind() == '{' {
				objects++
			}
		}
		if n != objects {
			t.Errorf("%d resources of %d", n, objects)
		}
	})
}

func FuzzAppendCompact(f *testing.F) {
	f.Add([]byte("{ \"a\" :\n [ 1.50 , \"x \\\" y\" ] }"))
	f.Fuzz(func(t *testing.T, v []byte) {
		in := jsontext.Value(v)
		if !in.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
			return
		}
		got := appendCompact(nil, append([]byte("\n"), v...))
		want := in.Clone()
		if err := want.Compact(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%q became %q, want %q", v, got, want)
		}
	})
}

func BenchmarkReadBundle(b *testing.B) {
	resource := `{"resourceType":"Observation","id":"1","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8302-2","display":"Body Height"}]},"valueQuantity":{"value":170.50,"unit":"cm"}}`
	var entries []string
	for range 1000 {
		entries = append(entries, `{"fullUrl":"https://x.y/Observation/1","resource":`+resource+`,"search":{"mode":"match"}}`)
	}
	for name, body := range map[string]string{"compact": searchset("", entries...), "pretty": indent(searchset("", entries...))} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := readBundle(strings.NewReader(body), func(entry) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func indent(s string) string {
	v := jsontext.Value(s)
	_ = v.Indent(jsontext.WithIndent("  "))
	return string(v)
}
