package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// attached is the minimal file with types and attachments.
func attached(t *testing.T, types, attachments string) string {
	t.Helper()
	text := strings.Replace(edit(t, "    destination:", "    attachments: "+attachments+"\n    destination:"), "      types: [Patient]", "      types: "+types, 1)
	if types == "" {
		text = strings.Replace(text, "      types: ", "      since: last", 1)
	}
	return text
}

func TestAttachments(t *testing.T) {
	for _, test := range []struct {
		types, text string
		want        Attachments
	}{
		{"[Patient, DocumentReference]", "{}", Attachments{Types: []string{"DocumentReference"}, MaxSize: 1 << 30, OnUnavailable: "stop"}},
		{"", "{}", Attachments{Types: []string{"DiagnosticReport", "DocumentReference"}, MaxSize: 1 << 30, OnUnavailable: "stop"}},
		{
			"[DocumentReference, DiagnosticReport]", `{types: [DiagnosticReport], mime: ["text/*", application/pdf, "*/*"], max_size: 50MB, parallel: 8, on_unavailable: record}`,
			Attachments{Types: []string{"DiagnosticReport"}, MIME: []string{"text/*", "application/pdf", "*/*"}, MaxSize: 50_000_000, Parallel: 8, OnUnavailable: "record"},
		},
	} {
		got := parse(t, attached(t, test.types, test.text), noEnv).Jobs["nightly"].Attachments
		if d := cmp.Diff(&test.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.text, d)
		}
	}
	if got := parse(t, minimal, noEnv).Jobs["nightly"].Attachments; got != nil {
		t.Errorf("without the key: %+v", got)
	}
}

func TestAttachmentsRefused(t *testing.T) {
	for _, test := range []struct{ types, text, want, hint string }{
		{"[DocumentReference]", "", "14:5: jobs.nightly.attachments: has no value, want a mapping", "remove the key"},
		{"[DocumentReference]", "yes", "14:18: jobs.nightly.attachments: is text, want a mapping", ""},
		{"[DocumentReference]", "{types: [Patient]}", `14:27: jobs.nightly.attachments.types[0]: "Patient" is not one of DiagnosticReport, DocumentReference`, ""},
		{"[DocumentReference]", "{types: [DiagnosticReport]}", "14:27: jobs.nightly.attachments.types: DiagnosticReport is not among export.types", "add it there"},
		{"[Patient]", "{}", "14:18: jobs.nightly.attachments: the job asks for no type that has attachments", "DocumentReference"},
		{"[DocumentReference]", "{mime: [pdf]}", "14:26: jobs.nightly.attachments.mime[0]: is not a content type", "application/pdf"},
		{"[DocumentReference]", "{mime: [text/plain;charset=x]}", "14:26: jobs.nightly.attachments.mime[0]: is not a content type", "without parameters"},
		{"[DocumentReference]", "{max_size: 50}", "14:29: jobs.nightly.attachments.max_size: is not a size", "256MiB"},
		{"[DocumentReference]", "{max_size: 0B}", "14:29: jobs.nightly.attachments.max_size: is smaller than", ""},
		{"[DocumentReference]", "{parallel: 0}", "14:29: jobs.nightly.attachments.parallel: is 0, want 1 to 64", ""},
		{"[DocumentReference]", "{on_unavailable: fail}", `14:35: jobs.nightly.attachments.on_unavailable: "fail" is not one of stop, record`, ""},
		{"[DocumentReference]", "{maxsize: 50MB}", "14:19: jobs.nightly.attachments.maxsize: unknown key", "max_size"},
	} {
		_, err := Parse("jobs.yaml", []byte(attached(t, test.types, test.text)), noEnv)
		all, ok := err.(*Errors)
		if !ok || len(all.List) != 1 || !strings.HasPrefix(all.List[0].Error(), "jobs.yaml:"+test.want) || !strings.Contains(all.List[0].Hint(), test.hint) {
			t.Errorf("%s: %v", test.text, err)
			if ok {
				t.Log(all.List[0].Hint())
			}
		}
	}
}
