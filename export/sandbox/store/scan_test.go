package store

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestMembersOfObjects(t *testing.T) {
	for _, tt := range []struct{ in, name, value, want string }{
		{`{}`, "a", `1`, `{"a":1}`},
		{`{"a":1}`, "a", `[2]`, `{"a":[2]}`},
		{` { "x" : {"a":5} , "a" : "q\"}" } `, "a", `2`, ` { "x" : {"a":5} , "a" : 2 } `},
		{`{"b":true}`, "a", `null`, `{"b":true,"a":null}`},
	} {
		got, err := SetMember([]byte(tt.in), tt.name, []byte(tt.value))
		if err != nil || string(got) != tt.want {
			t.Errorf("SetMember(%s) = %s, %v; want %s", tt.in, got, err, tt.want)
		}
		if back, err := Member(got, tt.name); err != nil || string(back) != tt.value {
			t.Errorf("Member(%s) = %s, %v", got, back, err)
		}
	}
	for _, bad := range []string{``, `[]`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{a:1}`, `{"a":}`, `{"a":"x`} {
		if err := Members([]byte(bad), func(_, _ []byte, _, _ int) bool { return true }); err == nil {
			t.Errorf("Members(%s): no error", bad)
		}
	}
}

// FuzzScan: whatever the bytes, the scan ends, and on JSON it finds what
// encoding/json finds.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{alice, bob, obs1, obs2, `{"id":"\u0061\"b"}`, `{"id":["x"]}`, `[{"id":1}]`, `{"meta":{"lastUpdated":null}}`, "{", `{"id":"`, `{"a":}`, `"\\\\"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		got := IDOf(line)
		resourceType(line)
		_ = Members(line, func(_, value []byte, _, _ int) bool { return len(value) > 0 })
		if out, err := SetMember(line, "id", []byte(`"x"`)); err == nil && json.Valid(line) && !json.Valid(out) {
			t.Errorf("SetMember(%q) = %q", line, out)
		}
		var want struct {
			ID any `json:"id"`
		}
		names := map[string]json.RawMessage{}
		if json.Unmarshal(line, &names) != nil || json.Unmarshal(line, &want) != nil || bytes.Count(bytes.ToLower(line), []byte("id")) > 1 || bytes.Contains(line, []byte(`\u`)) || !utf8Valid(line) {
			return // not an object, or names that the two readers take apart
		}
		if id, ok := want.ID.(string); ok && got != id {
			t.Errorf("IDOf(%q) = %q, want %q", line, got, id)
		}
	})
}

func utf8Valid(b []byte) bool { return strings.ToValidUTF8(string(b), "") == string(b) }
