package export

import (
	"fmt"
	"strings"
	"testing"
)

func transaction(requests ...string) string {
	var entries []string
	for _, r := range requests {
		entries = append(entries, `{"request":`+r+`}`)
	}
	return `{"resourceType":"Bundle","type":"transaction","entry":[` + strings.Join(entries, ",") + `]}`
}

func TestP31F46DeletedBundles(t *testing.T) {
	del := func(u string) string { return `{"method":"DELETE","url":"` + u + `"}` }
	long := strings.Repeat("x", 100)
	for _, tc := range []struct{ line, want string }{
		{transaction(del("Patient/1")), "[{Patient 1}]"},
		{transaction(del("Patient/1"), del("https://ehr.example.org/fhir/Basic/a-b.c")), "[{Patient 1} {Basic a-b.c}]"},
		{transaction(del("Patient/" + long)), "[{Patient " + long + "}]"},
		{transaction(), "[]"},
	} {
		got, err := ParseDeleted([]byte(tc.line))
		if err != nil || fmt.Sprint(got) != tc.want {
			t.Errorf("%s: %v %v", tc.line, got, err)
		}
	}
	for _, line := range []string{
		``, `[]`, `{}`, `{"resourceType":"Patient"}`,
		strings.Replace(transaction(del("Patient/1")), "transaction", "batch", 1),
		transaction(`{"method":"PUT","url":"Patient/1"}`), transaction(del("Patient/1"), `{"method":"delete","url":"Patient/2"}`),
		transaction(del("Patient?name=Smith")), transaction(del("Patient/1?")), transaction(del("Patient")), transaction(del("/Patient/1")),
		transaction(del("Patient/1/_history/2")), transaction(del("Patient/..")), transaction(del("patient/1")), transaction(del("Patient/")),
		transaction(del("urn:uuid:Patient/1")), transaction(del("//evil/Patient/1")), transaction(del("ftp://a/Patient/1")), transaction(del("https:///Patient/1")),
		transaction(del("Patient/1#x")), transaction(del("Patient/a%2Fb")), transaction(`{"method":"DELETE"}`),
		`{"resourceType":"Bundle","type":"transaction","entry":[{}]}`,
		`{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Patient/1","url":"Patient/2"}}]}`,
		transaction(del("Patient/1")) + "x",
	} {
		got, err := ParseDeleted([]byte(line))
		if err == nil || got != nil || strings.Contains(err.Error(), "Smith") {
			t.Errorf("%s: %v %v", line, got, err)
		}
	}
}

func FuzzParseDeleted(f *testing.F) {
	f.Add([]byte(transaction(`{"method":"DELETE","url":"Patient/1"}`, `{"method":"DELETE","url":"https://a.b/c/Group/2"}`)))
	f.Fuzz(func(t *testing.T, line []byte) {
		got, err := ParseDeleted(line)
		for _, d := range got {
			if err != nil || strings.ContainsAny(d.Type+d.ID, "/?#% ") || d.Type == "" || d.ID == "" {
				t.Errorf("%+v, %v", d, err)
			}
		}
	})
}
