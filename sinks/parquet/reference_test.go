package parquet

import "testing"

func TestSplitReference(t *testing.T) {
	for _, c := range []struct{ text, typ, id string }{
		{"Patient/1", "Patient", "1"},
		{"Patient/a-B.9_x", "Patient", "a-B.9_x"},
		{"Patient/1/_history/2", "Patient", "1"},
		{"https://example.org/fhir/Patient/1", "Patient", "1"},
		{"http://example.org/a/b/Patient/1/_history/7", "Patient", "1"},
		{"urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "", "c757873d-ec9a-4326-a141-556f43239520"},
		{"urn:uuid:", "", ""},
		{"urn:uuid:a b", "", ""},
		{"urn:oid:1.2.3", "", ""},
		{"#p1", "", ""},
		{"#", "", ""},
		{"", "", ""},
		{"Patient", "", ""},
		{"Patient/", "", ""},
		{"/Patient/1", "", ""},
		{"x/Patient/1", "", ""},
		{"ftp://example.org/Patient/1", "", ""},
		{"https:///Patient/1", "", ""},
		{"Patient?identifier=a|1", "", ""},
		{"Patient/1?x=y", "", ""},
		{"Nothing/1", "", ""},
		{"https://example.org/fhir/Nothing/1", "", ""},
		{"Patient/1/_history/", "", ""},
		{"Patient/1/_history/a b", "", ""},
		{"Patient/1#part", "", ""},
		{"patient/1", "", ""},
	} {
		typ, id := splitReference([]byte(c.text))
		if string(typ) != c.typ || string(id) != c.id {
			t.Errorf("splitReference(%q) = %q, %q; want %q, %q", c.text, typ, id, c.typ, c.id)
		}
	}
}

func FuzzSplitReference(f *testing.F) {
	for _, s := range []string{"Patient/1", "urn:uuid:1", "https://h/Patient/1/_history/2", "/_history/", "//"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		typ, id := splitReference(text)
		if len(typ) > 0 && len(id) == 0 {
			t.Fatalf("%q has a type and no id", text)
		}
	})
}
