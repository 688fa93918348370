package cli

import (
	"net/url"
	"strings"
	"testing"
)

func TestP15RequestURL(t *testing.T) {
	base := must(url.Parse("https://ehr.example.org/tenant/fhir"))
	for path, want := range map[string]string{
		"Patient":                     "https://ehr.example.org/tenant/fhir/Patient",
		"/Patient/1":                  "https://ehr.example.org/tenant/fhir/Patient/1",
		"Patient?name=a%20b&_count=1": "https://ehr.example.org/tenant/fhir/Patient?name=a%20b&_count=1",
		"Patient?_since=a+b#fragment": "https://ehr.example.org/tenant/fhir/Patient?_since=a+b",
		"Patient/a%2Fb":               "https://ehr.example.org/tenant/fhir/Patient/a%2Fb",
		"Patient/$export":             "https://ehr.example.org/tenant/fhir/Patient/$export",
		"":                            "https://ehr.example.org/tenant/fhir",
		"?_type=Patient":              "https://ehr.example.org/tenant/fhir?_type=Patient",
		"https://ehr.example.org/tenant/fhir/Patient?x=1": "https://ehr.example.org/tenant/fhir/Patient?x=1",
		"HTTPS://EHR.example.org:443/other/1":             "https://EHR.example.org:443/other/1",
		"//ehr.example.org/other/1":                       "https://ehr.example.org/other/1",
		"https://files.example.org/1.ndjson?sig=x":        "https://files.example.org/1.ndjson?sig=x",

		"../Patient":                           "",
		"a/../../../auth":                      "",
		"%2e%2e/%2e%2e/auth":                   "",
		"http://ehr.example.org/tenant/fhir/x": "", // another origin: not TLS
		"https://ehr.example.org:8443/x":       "",
		"https://ehr.example.org.evil.test/x":  "",
		"https://ehr.example.org@evil.test/x":  "",
		"//evil.test/x":                        "",
		"https://a:b@ehr.example.org/x":        "",
		"file:///etc/passwd":                   "",
		"mailto:a@b":                           "",
		"Patient/%zz":                          "",
		"Patient\n":                            "",
	} {
		u, err := requestURL(base, []string{"https://files.example.org"}, path)
		switch {
		case want == "" && (err == nil || classOf(err) != "usage"):
			t.Errorf("%q: got %v, %v; want a usage error", path, u, err)
		case want != "" && err != nil:
			t.Errorf("%q: %v", path, err)
		case want != "" && u.String() != want:
			t.Errorf("%q: got %s, want %s", path, u, want)
		}
	}
}

// A base URL without a path is that of the host's root (real servers have it).
func TestP15RequestURLBelowTheRoot(t *testing.T) {
	for _, base := range []string{"https://ehr.example.org", "https://ehr.example.org/"} {
		for path, want := range map[string]string{
			"metadata":                "https://ehr.example.org/metadata",
			"/Patient/1":              "https://ehr.example.org/Patient/1",
			"Patient?_count=1":        "https://ehr.example.org/Patient?_count=1",
			"":                        "https://ehr.example.org/",
			"a/../metadata":           "https://ehr.example.org/metadata",
			"https://evil.test/x":     "",
			"//evil.test/x":           "",
			"https://a@evil.test/x":   "",
			"http://ehr.example.org/": "",
		} {
			u, err := requestURL(must(url.Parse(base)), nil, path)
			switch {
			case want == "" && (err == nil || classOf(err) != "usage"):
				t.Errorf("%s, %q: got %v, %v; want a usage error", base, path, u, err)
			case want != "" && err != nil:
				t.Errorf("%s, %q: %v", base, path, err)
			case want != "" && u.String() != want:
				t.Errorf("%s, %q: got %s, want %s", base, path, u, want)
			}
		}
	}
}

func FuzzRequestURL(f *testing.F) {
	for _, path := range []string{"Patient?x=1", "/a/../b", "//h/x", "https://ehr.example.org/x", "%2e%2e/x", "a:b", "?q", "\\evil"} {
		f.Add(path)
	}
	base := must(url.Parse("https://ehr.example.org/fhir"))
	f.Fuzz(func(t *testing.T, path string) {
		u, err := requestURL(base, nil, path)
		if err != nil {
			return
		}
		sent := must(url.Parse(u.String())) // as net/http will read it
		if sent.Scheme != "https" || u.User != nil {
			t.Errorf("%q: %s", path, u)
		}
		if host := sent.Hostname(); !strings.EqualFold(host, "ehr.example.org") {
			t.Errorf("%q leads to %s", path, host)
		}
	})
}
