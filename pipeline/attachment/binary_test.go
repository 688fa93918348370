package attachment

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func TestUnwrap(t *testing.T) {
	long := strings.Repeat("A long content. ", 3000)
	for _, test := range []struct {
		name, body, typ, want string
		err                   error
	}{
		{"plain", `{"resourceType":"Binary","contentType":"text/plain","data":"aGVsbG8="}`, "text/plain", "hello", nil},
		{"type last", ` { "data" : "aGVsbG8=" , "id":"x", "contentType":"a/b" ,"resourceType" : "Binary" } `, "a/b", "hello", nil},
		{"nested", `{"resourceType":"Binary","meta":{"tag":[{"data":"no","a":"}\"{"}],"n":[1,[true,null]]} ,"v":1.5e3,"w":null,"data":"aGk="}`, "", "hi", nil},
		{"escapes", `{"resourceType":"Bin\u0061ry","data":"\u0061GVs\r\nbG8\/"}`, "", "hello?", nil},
		{"long", `{"resourceType":"Binary","data":"` + base64.StdEncoding.EncodeToString([]byte(long)) + `"}`, "", long, nil},
		{"no data", `{"resourceType":"Binary","contentType":"text/plain"}`, "", "", errNoData},
		{"two data", `{"resourceType":"Binary","data":"aGk=","data":"aGk="}`, "", "", errNoData},
		{"data of another kind", `{"resourceType":"Binary","data":["aGk="]}`, "", "", errNoData},
		{"bad base64", `{"resourceType":"Binary","data":"a*b="}`, "", "", errNoData},
		{"short base64", `{"resourceType":"Binary","data":"aGVsbG8"}`, "", "", errNoData},
		{"cut", `{"resourceType":"Binary","data":"aGVs`, "", "", errNoData},
		{"behind padding", `{"resourceType":"Binary","data":"aGk=aGk="}`, "", "", errNoData},
		{"outcome", `{"resourceType":"OperationOutcome","issue":[]}`, "", "", errNotBinary},
		{"list", `[1]`, "", "", errNotBinary},
		{"nothing", ``, "", "", errNotBinary},
		{"text", `hello`, "", "", errNotBinary},
		{"cut in a name", `{"resourceType":"Binary","da`, "", "", errNotBinary},
		{"no value", `{"resourceType":}`, "", "", errNotBinary},
		{"no comma", `{"a":"b" "c":"d"}`, "", "", errNotBinary},
	} {
		var out bytes.Buffer
		typ, err := unwrap(iotest.OneByteReader(strings.NewReader(test.body)), &out)
		if !errors.Is(err, test.err) || err == nil && (typ != test.typ || out.String() != test.want) {
			t.Errorf("%s: %q of %q, %v", test.name, out.String(), typ, err)
		}
	}
	full := errors.New("disk full")
	if _, err := unwrap(strings.NewReader(`{"data":"aGk="}`), failing{full}); !errors.Is(err, full) {
		t.Errorf("writer: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// What encoding/json writes, unwrap reads: the same bytes.
func TestUnwrapReadsWhatIsWrapped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 10_000).Draw(t, "data")
		doc := map[string]any{
			"resourceType": "Binary", "contentType": rapid.StringN(0, 20, 200).Draw(t, "type"), "data": base64.StdEncoding.EncodeToString(data),
			"a": rapid.String().Draw(t, "a"), "z": []any{rapid.String().Draw(t, "z"), map[string]any{"data": "x", "n": rapid.Float64().Draw(t, "n")}},
		}
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := unwrap(bytes.NewReader(text), &out); err != nil || !bytes.Equal(out.Bytes(), data) {
			t.Fatalf("%v, %d bytes, want %d", err, out.Len(), len(data))
		}
	})
}

func FuzzUnwrap(f *testing.F) {
	f.Add([]byte(`{"resourceType":"Binary","data":"aGVsbG8=","meta":{"a":["}",1]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var out bytes.Buffer
		_, err := unwrap(bytes.NewReader(body), &out)
		if err != nil && !errors.Is(err, errNotBinary) && !errors.Is(err, errNoData) {
			t.Fatalf("%v", err)
		}
		var doc struct {
			ResourceType string `json:"resourceType"`
			Data         []byte `json:"data"`
		}
		// Where a strict reader finds a Binary, it is this one.
		if err == nil && json.Unmarshal(body, &doc) == nil && doc.ResourceType == "Binary" &&
			bytes.Count(bytes.ToLower(body), []byte(`"data"`)) == 1 && bytes.Count(bytes.ToLower(body), []byte(`u00`)) == 0 && !bytes.Equal(doc.Data, out.Bytes()) {
			t.Fatalf("%q, want %q", out.Bytes(), doc.Data)
		}
	})
}
