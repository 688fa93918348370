package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/smart"
)

// P15, P34, F42: which of its hops get the token of an attachment, and the extra
// headers of the server: its own and the allowed origins, never another one, also
// not behind a redirect.
func TestP34AttachmentTokenByOrigin(t *testing.T) {
	var seen []string
	serve := func(name string, next func() string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen = append(seen, name+" "+r.Header.Get("Authorization")+r.Header.Get("Epic-Client-Id"))
			if strings.HasPrefix(r.URL.Path, "/fhir/Binary/moved") {
				http.Redirect(w, r, next(), http.StatusTemporaryRedirect)
				return
			}
			_, _ = io.WriteString(w, "content")
		}))
		t.Cleanup(s.Close)
		return s
	}
	other := serve("other", nil)
	files := serve("files", nil)
	fhir := serve("fhir", func() string { return other.URL + "/x?sig=1" })
	s := config.Server{
		Name: "s", URL: fhir.URL + "/fhir", Origins: []string{files.URL},
		Headers: map[string]string{"Epic-Client-ID": "env:EPIC"},
		Auth:    config.Auth{Type: config.Bearer, Token: "env:TOKEN"},
	}
	conn, err := testApp("TOKEN", "t0ken", "EPIC", "e1").connect(&config.File{StateDir: t.TempDir()}, s, scopePlan{}, discard())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	c := &export.Client{Base: conn.base, HTTP: conn.authenticated, Bare: conn.bare}
	for _, test := range []struct {
		url   string
		token bool // requiresAccessToken
		want  string
	}{
		{"Binary/x", true, "fhir Bearer t0kene1"},
		{"Binary/x", false, "fhir Bearer t0kene1"},
		{fhir.URL + "/fhir/Binary/x", false, "fhir Bearer t0kene1"},
		{fhir.URL + "/elsewhere", false, "fhir "},
		{files.URL + "/x", true, "files Bearer t0kene1"},
		{files.URL + "/x", false, "files "},
		{other.URL + "/x?sig=1", true, "other "},
		{other.URL + "/x?sig=1", false, "other "},
		{"Binary/moved", true, "fhir Bearer t0kene1, other "},
	} {
		seen = nil
		body, err := c.OpenAttachment(t.Context(), test.url, test.token, "text/plain")
		if err != nil {
			t.Errorf("%s: %v", test.url, err)
			continue
		}
		_ = body.Close()
		if got := strings.Join(seen, ", "); got != test.want {
			t.Errorf("%s, requiresAccessToken %v: %q, want %q", test.url, test.token, got, test.want)
		}
	}
}

// P11: the scope for Binary is asked for when a job fetches attachments, and not
// otherwise.
func TestP11ScopeOfAttachments(t *testing.T) {
	job := config.Job{Export: config.Export{Types: []string{"DocumentReference"}}}
	for _, attachments := range []*config.Attachments{nil, {}} {
		job.Attachments = attachments
		p := planScopes(job)
		got := smart.ForTypes(p.types, p.level, smart.ScopeOptions{V2: true, Also: p.also, Attachments: p.attachments})
		if asked := strings.Contains(strings.Join(got, " "), "system/Binary.rs"); asked != (attachments != nil) {
			t.Errorf("attachments %v: %v", attachments != nil, got)
		}
	}
}
