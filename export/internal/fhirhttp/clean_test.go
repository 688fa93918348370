package fhirhttp

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestI7OutcomeTextsHoldNoPHI feeds what servers write into diagnostics and looks
// for it in what is left.
func TestI7OutcomeTextsHoldNoPHI(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"Unknown search parameter _foo for resource type Patient", "Unknown search parameter … for resource type Patient"},
		{"The parameter _typeFilter is not supported", "The parameter _typeFilter is not supported"},
		{"Patient/12345 John Smith (born 1970-01-01, SSN 123-45-6789) not found", "Patient … not found"},
		{"https://ehr.example.org/fhir/Patient?name=Smith&token=eyJhbGciOi failed", "… Patient name … token … failed"},
		{"Jane Doe", ""},
		{"MRN 00123 exists", ""},
		{"timeout", ""},
		{"Too many requests, please retry later", "Too many requests please retry later"},
		{"", ""},
	} {
		if got := Clean(tc.in); got != tc.want {
			t.Errorf("Clean(%q) = %q, want %q", tc.in, got, tc.want)
		}
	}
	if got := Clean("parameter category is not supported", "category"); got != "parameter category is not supported" {
		t.Errorf("the request's own words are lost: %q", got)
	}
	if got := Clean(strings.Repeat("the server is busy ", 500)); len(got) > 170 || !strings.HasSuffix(got, "…") {
		t.Errorf("a long text is not cut: %d bytes", len(got))
	}
}

func FuzzClean(f *testing.F) {
	f.Add("Patient/1 not found at https://x/y?z=1")
	f.Add("\xff\xfe the \x00 server's 'quote")
	digits := regexp.MustCompile(`[0-9@:/?&=]`)
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if digits.MatchString(got) || !utf8.ValidString(got) || len(got) > 200 {
			t.Errorf("Clean(%q) = %q", s, got)
		}
	})
}

func FuzzParseOutcome(f *testing.F) {
	f.Add([]byte(`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"processing","diagnostics":"x"}]}`))
	f.Add([]byte(`{"resourceType":"OperationOutcome","issue":[{"severity":7,"code":["a"],"details":{"text":{}}}]}`))
	f.Add([]byte(`{"resourceType":"OperationOutcome","issue":{}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		issues, ok := ParseOutcome(body)
		if !ok && issues != nil || len(issues) > maxIssues {
			t.Fatalf("%d issues, %v", len(issues), ok)
		}
		for _, i := range issues {
			if i.Severity == "" || i.Code == "" || len(i.Text) > 200 {
				t.Errorf("issue %+v", i)
			}
		}
		Transient(issues)
	})
}

func TestParseOutcomeIsLenient(t *testing.T) {
	got, ok := ParseOutcome([]byte(`{"resourceType":"OperationOutcome","issue":[
		{"severity":"error","code":"throttled","details":{"text":"too many requests"}},
		{"severity":"Smith","code":"patient-7","diagnostics":7},
		{"severity":"warning","code":"not-supported","details":{"coding":[{"display":"parameter not supported"}]}}]}`))
	want := []Issue{
		{"error", "throttled", "too many requests"},
		{"unknown", "unknown", ""},
		{"warning", "not-supported", "parameter not supported"},
	}
	if !ok || len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("got %v, %v; want %v", got, ok, want)
	}
	if _, ok := ParseOutcome([]byte(`{"resourceType":"Patient"}`)); ok {
		t.Error("a Patient is taken for an outcome")
	}
}

func TestP25TransientIssues(t *testing.T) {
	for _, tc := range []struct {
		codes string
		want  bool
	}{
		{"", false},
		{"transient", true},
		{"lock-error no-store exception timeout incomplete throttled", true},
		{"transient processing", false},
		{"unknown", false},
	} {
		var issues []Issue
		for _, c := range strings.Fields(tc.codes) {
			issues = append(issues, Issue{Severity: "error", Code: c})
		}
		if got := Transient(issues); got != tc.want {
			t.Errorf("Transient(%q) = %v", tc.codes, got)
		}
	}
}
