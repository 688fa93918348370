package rebuild

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/flue-fhir/flue/internal/definition"
)

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"b":1,"a":[ true , null ]}`, `{"a":[true,null],"b":1}`},
		{`{"n":1.50,"m":1E2,"k":-0}`, `{"k":-0,"m":1E2,"n":1.50}`},
		{`"\u0041\/\n\u00e9\ud83d\ude00"`, `"A/\u000aé😀"`},
		{`"\ud800x\udc00"`, `"\ud800x\udc00"`},
		{`"\uD800\u0041"`, `"\ud800A"`},
		{`"�"`, `"�"`},
		{`{}`, `{}`},
		{`[]`, `[]`},
		{` 0 `, `0`},
		{`{"a/b":{"~":""}}`, `{"a/b":{"~":""}}`},
	} {
		got, err := Canonical(nil, []byte(c.text))
		if err != nil || string(got) != c.want {
			t.Errorf("Canonical(%s) = %s, %v; want %s", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{``, `{`, `[`, `"`, `{"a"}`, `{"a":}`, `[1,]`, `{,}`, `1 2`, `"\x"`, `"\u12"`, "\"\n\"", `{a:1}`, `["a"`, `{"a":1`, `"\`} {
		if got, err := Canonical(nil, []byte(text)); err == nil {
			t.Errorf("Canonical(%q) = %s", text, got)
		}
	}
}

// TestCanonicalTellsApart: what differs as data differs in canonical form.
func TestCanonicalTellsApart(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{`1`, `1.0`, `1e0`, `"1"`, `null`, `[null]`, `[]`, `{}`, `{"a":null}`, `"\ud800"`, `"\ud801"`, `"�"`, `true`, `"true"`} {
		got, err := Canonical(nil, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[string(got)]; ok {
			t.Errorf("%s and %s are the same", text, other)
		}
		seen[string(got)] = text
	}
}

// FuzzCanonical: the canonical form means the same to another parser, and is its
// own canonical form.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.50,"x\u0000\ud800"],"b":{}}`, `"\ud83d\ude00"`, `[[[]]]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Canonical(nil, text)
		if !json.Valid(text) || !utf8.Valid(text) {
			return
		}
		if err != nil {
			t.Fatalf("valid JSON is refused: %v", err)
		}
		var a, b any
		if json.Unmarshal(text, &a) != nil {
			return // numbers out of range
		}
		if err := json.Unmarshal(got, &b); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("%q became %q", text, got)
		}
		again, err := Canonical(nil, got)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%q is not stable: %q", got, again)
		}
	})
}

func TestPlace(t *testing.T) {
	for _, c := range []struct{ row, unmapped, want string }{
		{`{"id":"a"}`, `{"/x":"1"}`, `{"id":"a","x":1}`},
		{`{"name":[{"family":"f"},null]}`, `{"/name/1":"{}"}`, `{"name":[{"family":"f"},{}]}`},
		{`{"name":[{"family":"f"},{}]}`, `{"/name/1/a~1b~0":"[1]"}`, `{"name":[{"family":"f"},{"a/b~":[1]}]}`},
		{`{}`, `{"/name/1/foo":"true"}`, `{"name":[null,{"foo":true}]}`},
		{`{}`, `{"/name/0/given/1":"5"}`, `{"name":[{"given":[null,5]}]}`},
		{`{}`, `{"/_birthDate/x":"5","/maritalStatus/y":"6"}`, `{"_birthDate":{"x":5},"maritalStatus":{"y":6}}`},
		{`{}`, `{"/":"1"}`, `{"":1}`},
	} {
		v, err := parse([]byte(c.row))
		if err != nil {
			t.Fatal(err)
		}
		if err := place(v, definition.Type("Patient"), []byte(c.unmapped)); err != nil {
			t.Errorf("%s: %v", c.unmapped, err)
			continue
		}
		got, err := Canonical(nil, v.append(nil))
		if err != nil || string(got) != c.want {
			t.Errorf("%s with %s: got %s, want %s", c.row, c.unmapped, got, c.want)
		}
	}
	for _, unmapped := range []string{`[]`, `{"x":"1"}`, `{"/a":1}`, `{"/id/x":"1"}`, `{"/name/-1":"1"}`, `{"/name/x":"1"}`, `{"/name/99999999":"1"}`, `nonsense`} {
		v, err := parse([]byte(`{"id":"a","name":[{}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := place(v, definition.Type("Patient"), []byte(unmapped)); err == nil {
			t.Errorf("%s is accepted: %s", unmapped, v.append(nil))
		}
	}
}

// TestBrokenFiles: no file makes the reader panic.
func TestBrokenFiles(t *testing.T) {
	for _, text := range []string{"", "PAR1", "PAR1PAR1", "PAR1\x00\x00\x00\x00PAR1", "PAR1xxxxxxxx\x08\x00\x00\x00PAR1", string(make([]byte, 100))} {
		err := Rebuild(bytes.NewReader([]byte(text)), int64(len(text)), func([]byte) error { return nil })
		if err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestDigest(t *testing.T) {
	digest := func(texts ...string) *Digest {
		var d Digest
		for _, text := range texts {
			if err := d.Add([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		return &d
	}
	a := digest(`{"id":"a","n":1.50}`, `{"id":"b"}`, `{"id":"b"}`)
	if !a.Equal(digest(`{"id":"b"}`, `{ "n":1.50, "id":"\u0061"}`, `{"id":"b"}`)) {
		t.Error("another order is another set")
	}
	for _, other := range []*Digest{
		digest(), digest(`{"id":"a","n":1.5}`, `{"id":"b"}`, `{"id":"b"}`),
		digest(`{"id":"a","n":1.50}`, `{"id":"b"}`), digest(`{"id":"a","n":1.50}`, `{"id":"a","n":1.50}`, `{"id":"b"}`),
	} {
		if a.Equal(other) {
			t.Errorf("%d other resources are the same set", other.Count)
		}
	}
	b := digest(`{"id":"b"}`)
	b.Merge(*digest(`{"id":"b"}`, `{"id":"a","n":1.50}`))
	if !a.Equal(b) {
		t.Error("merged digests differ")
	}
	if err := b.Add([]byte(`{`)); err == nil {
		t.Error("what is no JSON is added")
	}
}
