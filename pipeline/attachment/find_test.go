package attachment

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/sinks"
)

func TestFind(t *testing.T) {
	for _, test := range []struct {
		name, typ, line string
		want            []Found
	}{
		{"document", "DocumentReference", `{"resourceType":"DocumentReference","id":"d","content":[{"attachment":{"contentType":"text/plain","url":"Binary/1","size":7,"hash":"aGk="}},{"attachment":{"data":"aGk="}},{"attachment":{"url":"https://x.example.org/a?sig=1"}}]}`, []Found{
			{sinks.Attachment{Type: "DocumentReference", ID: "d", Path: "content[0].attachment", ContentType: "text/plain", Size: 7}, "Binary/1", "aGk="},
			{sinks.Attachment{Type: "DocumentReference", ID: "d", Path: "content[2].attachment"}, "https://x.example.org/a?sig=1", ""},
		}},
		{"report", "DiagnosticReport", `{"id":"r","presentedForm":[{"url":"Binary/2","size":"12"},{"title":"x"}],"content":[{"attachment":{"url":"no"}}]}`, []Found{
			{sinks.Attachment{Type: "DiagnosticReport", ID: "r", Path: "presentedForm[0]", Size: 12}, "Binary/2", ""},
		}},
		{"wrong kinds", "DocumentReference", `{"id":5,"content":[{"attachment":{"url":"Binary/3","size":-1,"contentType":7}},{"attachment":"x"},{"attachment":{"url":["a"]}}]}`, []Found{
			{sinks.Attachment{Type: "DocumentReference", Path: "content[0].attachment"}, "Binary/3", ""},
		}},
		{"none", "DocumentReference", `{"id":"d"}`, nil},
		{"another type", "Patient", `{"id":"p","content":[{"attachment":{"url":"Binary/1"}}]}`, nil},
	} {
		got, err := Find(test.typ, []byte(test.line))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, d)
		}
	}
	// I7: what the line is may not be told.
	if _, err := Find("DocumentReference", []byte(`{"id":"secret"`)); err == nil || err.Error() != "find attachments: the line is no JSON" {
		t.Errorf("broken line: %v", err)
	}
}
