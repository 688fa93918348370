package fhirhttp

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
)

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

func TestF32HostileURLs(t *testing.T) {
	p := Policy{Base: mustURL("https://ehr.example.org/fhir")}
	from := mustURL("https://ehr.example.org/fhir/status/7?x=1")
	for _, tc := range []struct {
		ref, want string // want "" means refused
	}{
		{"https://files.example.net/a?sig=1#top", "https://files.example.net/a?sig=1"},
		{"/files/a", "https://ehr.example.org/files/a"},
		{"a.ndjson", "https://ehr.example.org/fhir/status/a.ndjson"},
		{"https://10.1.2.3/a", "https://10.1.2.3/a"},
		{"https://ehr.example.org/a b", "https://ehr.example.org/a%20b"},
		{"https://ehr.example.org/q?a=b|c&d=%2C", "https://ehr.example.org/q?a=b|c&d=%2C"}, // verbatim: F49
		{"http://ehr.example.org/a", "https://ehr.example.org/a"},                          // behind a TLS proxy
		{"http://ehr.example.org:80/a", "https://ehr.example.org/a"},
		{"", ""},
		{"http://ehr.example.org:8080/a", ""},
		{"http://files.example.net/a", ""},
		{"ftp://ehr.example.org/a", ""},
		{"file:///etc/passwd", ""},
		{"javascript:alert(1)", ""},
		{"https:///nohost", ""},
		{"https://user:secret@ehr.example.org/a", ""},
		{"https://ehr.example.org/a\r\nX: y", ""},
		{"https://ehr.example.org/\x00", ""},
		{"https://169.254.169.254/latest/meta-data", ""},
		{"http://127.0.0.1:9/a", ""},
		{"https://localhost/a", ""},
		{"https://[::1]/a", ""},
		{"https://[fe80::1%25eth0]/a", ""},
		{"https://0.0.0.0/a", ""},
		{"https://%zz/", ""},
	} {
		u, _, err := p.Resolve(from, tc.ref)
		got := ""
		if err == nil {
			got = u.String()
		} else {
			var pe *PolicyError
			if !errors.As(err, &pe) {
				t.Errorf("%q: error is %T", tc.ref, err)
			}
		}
		if got != tc.want {
			t.Errorf("Resolve(%q) = %q (%v), want %q", tc.ref, got, err, tc.want)
		}
	}
	loop := Policy{Base: mustURL("http://127.0.0.1:8080/fhir")}
	if _, _, err := loop.Resolve(nil, "http://localhost:8080/x"); err != nil {
		t.Errorf("a server on this machine may point at this machine: %v", err)
	}
	lan := Policy{Base: mustURL("http://ehr.lan/fhir"), AllowHTTP: true}
	if _, _, err := lan.Resolve(nil, "http://files.lan/x"); err != nil {
		t.Errorf("allow_http: %v", err)
	}
}

func TestF42Redirects(t *testing.T) {
	p := Policy{Base: mustURL("https://ehr.example.org/fhir")}
	request := func(u string) *http.Request {
		r, _ := http.NewRequest("GET", u, nil)
		r.Header.Set("Authorization", "Bearer secret")
		r.Header.Set("Referer", "https://ehr.example.org/fhir?name=Smith")
		return r
	}
	first := request("https://ehr.example.org/fhir/file")

	same := request("https://ehr.example.org/other")
	if err := p.Redirect(same, []*http.Request{first}); err != nil || same.Header.Get("Authorization") == "" {
		t.Errorf("same origin: %v, Authorization %q", err, same.Header.Get("Authorization"))
	}
	if same.Header.Get("Referer") != "" {
		t.Error("F44: the Referer goes along, with its query")
	}
	for _, to := range []string{"https://store.example.net/x", "https://sub.ehr.example.org/x", "https://ehr.example.org:8443/x"} {
		other := request(to)
		if err := p.Redirect(other, []*http.Request{first}); err != nil || other.Header.Get("Authorization") != "" {
			t.Errorf("%s: %v, Authorization %q", to, err, other.Header.Get("Authorization"))
		}
		back := request("https://ehr.example.org/again")
		if _ = p.Redirect(back, []*http.Request{first, other}); back.Header.Get("Authorization") != "" {
			t.Errorf("%s: back at the origin the Authorization returns", to)
		}
	}
	if err := p.Redirect(request("http://ehr.example.org/file"), []*http.Request{first}); err == nil {
		t.Error("https to http is followed")
	}
	via := make([]*http.Request, 10)
	for i := range via {
		via[i] = first
	}
	if err := p.Redirect(request("https://ehr.example.org/x"), via); err == nil {
		t.Error("an endless chain is followed")
	}
}
