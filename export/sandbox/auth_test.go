package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flue-fhir/flue/smart/authserver"
)

func TestTokensAreNeeded(t *testing.T) {
	auth := &authserver.Server{}
	c := serve(t, &Server{Auth: auth})
	for _, target := range []string{"/$export", "/Patient", "/Patient/1", "/_export/x", "/_export/x/Patient.000001.ndjson", "/_page/x.1"} {
		a := c.get(target, kickOffHeader...)
		if a.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s without a token: status %d, challenge %q", target, a.StatusCode, a.Header.Get("WWW-Authenticate"))
		}
	}
	if a := c.get("/metadata"); a.StatusCode != http.StatusOK {
		t.Errorf("metadata: status %d", a.StatusCode)
	}
	var conf struct {
		TokenEndpoint string `json:"token_endpoint"`
	}
	a := c.get("/.well-known/smart-configuration")
	if err := json.Unmarshal(a.body, &conf); err != nil || conf.TokenEndpoint != strings.TrimSuffix(c.base, "/fhir")+"/auth/token" {
		t.Errorf("smart-configuration: %s", a.body)
	}
	c.token = register(t, c, auth, "app", "system/*.rs")
	m := c.wait(c.kickOff("/$export?_type=Patient"))
	if !m.RequiresAccessToken {
		t.Error("requiresAccessToken is false")
	}
	auth.RevokeAll()
	if a := c.get(m.Output[0].URL); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a file with a revoked token: status %d", a.StatusCode)
	}
}

func TestScopesLimitTheExport(t *testing.T) {
	auth := &authserver.Server{}
	c := serve(t, &Server{Auth: auth})
	c.token = register(t, c, auth, "narrow", "system/Patient.rs system/Condition.read")
	// All types: those without a scope are left out.
	m, lines := c.export("/$export")
	if len(lines) != 2 || lines["Patient"] == nil || lines["Condition"] == nil {
		t.Errorf("types of the export: %d", len(lines))
	}
	// A type by name: refused.
	if a := c.get("/$export?_type=Patient,Observation", kickOffHeader...); a.StatusCode != http.StatusForbidden {
		t.Errorf("a type without scope: status %d", a.StatusCode)
	}
	// Lenient: left out, and said so.
	m = c.wait(c.kickOff("/$export?_type=Patient,Observation", "Prefer", "handling=lenient"))
	if len(m.Output) != 1 || !strings.Contains(strings.Join(c.lines(m.Error)["OperationOutcome"], ""), "no scope for Observation") {
		t.Errorf("lenient: %+v", m)
	}
	if a := c.get("/Group/small/$export", kickOffHeader...); a.StatusCode != http.StatusForbidden {
		t.Errorf("a group export without a scope for Group: status %d", a.StatusCode)
	}
	for target, want := range map[string]int{"/Observation": 403, "/Condition": 200, "/Organization/org.0": 403} {
		if a := c.get(target); a.StatusCode != want {
			t.Errorf("%s: status %d, want %d", target, a.StatusCode, want)
		}
	}
	// Read without search does not cover an export.
	c.token = register(t, c, auth, "reader", "system/Patient.r")
	if a := c.get("/$export?_type=Patient", kickOffHeader...); a.StatusCode != http.StatusForbidden {
		t.Errorf("an export with .r: status %d", a.StatusCode)
	}
}

func TestExportsBelongToTheirClient(t *testing.T) {
	auth := &authserver.Server{}
	c := serve(t, &Server{Auth: auth})
	c.token = register(t, c, auth, "one", "system/*.rs")
	location := c.kickOff("/$export?_type=Patient")
	file := c.wait(location).Output[0].URL
	c.token = register(t, c, auth, "two", "system/*.rs")
	for _, target := range []string{location, file} {
		if a := c.get(target); a.StatusCode != http.StatusNotFound {
			t.Errorf("another client's export: status %d", a.StatusCode)
		}
	}
	if a := c.do(http.MethodDelete, location, ""); a.StatusCode != http.StatusNotFound {
		t.Errorf("another client's DELETE: status %d", a.StatusCode)
	}
	// A narrower token of the same client cannot read the file.
	c.token = register(t, c, auth, "one", "system/Condition.rs")
	if a := c.get(file); a.StatusCode != http.StatusForbidden {
		t.Errorf("a file without its scope: status %d", a.StatusCode)
	}
}

// TestP32OpenFilesRefuseTokens: where requiresAccessToken is false a token must
// not be sent, and a link without its signature is nothing.
func TestP32OpenFilesRefuseTokens(t *testing.T) {
	auth := &authserver.Server{}
	now := time.Now()
	c := serve(t, &Server{Auth: auth, OpenFiles: true, FileExpiry: time.Minute, Now: func() time.Time { return now }})
	c.token = register(t, c, auth, "app", "system/*.rs")
	location := c.kickOff("/$export?_type=Patient")
	m := c.wait(location)
	if m.RequiresAccessToken {
		t.Error("requiresAccessToken is true")
	}
	file := m.Output[0].URL
	if a := c.get(file); a.StatusCode != http.StatusBadRequest {
		t.Errorf("with a token: status %d", a.StatusCode)
	}
	c.token = ""
	if a := c.get(file); a.StatusCode != http.StatusOK {
		t.Errorf("without a token: status %d", a.StatusCode)
	}
	if a := c.get(strings.Replace(file, "signature=", "signature=0", 1)); a.StatusCode != http.StatusForbidden {
		t.Errorf("with a wrong signature: status %d", a.StatusCode)
	}
	now = now.Add(2 * time.Minute)
	if a := c.get(file); a.StatusCode != http.StatusGone {
		t.Errorf("after its expiry: status %d", a.StatusCode)
	}
}

func TestCapabilityStatement(t *testing.T) {
	c := serve(t, &Server{Auth: &authserver.Server{}, Version: "1.2.3"})
	a := c.get("/metadata", "Accept", "application/fhir+json")
	var cs struct {
		ResourceType, FhirVersion string
		Instantiates              []string
		Software                  struct{ Name, Version string }
		Rest                      []struct {
			Security struct {
				Extension []struct {
					URL       string
					Extension []struct{ URL, ValueURI string }
				}
			}
			Operation []struct{ Name, Definition string }
			Resource  []struct {
				Type        string
				SearchParam []struct{ Name, Type string }
				Operation   []struct{ Name, Definition string }
			}
		}
	}
	if err := json.Unmarshal(a.body, &cs); err != nil {
		t.Fatal(err)
	}
	if cs.ResourceType != "CapabilityStatement" || cs.FhirVersion != "4.0.1" || cs.Software.Version != "1.2.3" || !slices.Contains(cs.Instantiates, bulkData+"CapabilityStatement/bulk-data") {
		t.Errorf("head: %+v", cs)
	}
	rest := cs.Rest[0]
	if got := rest.Security.Extension[0].Extension[0].ValueURI; got != strings.TrimSuffix(c.base, "/fhir")+"/auth/token" {
		t.Errorf("oauth-uris: token is %q", got)
	}
	if len(rest.Operation) != 1 || rest.Operation[0].Definition != bulkData+"OperationDefinition/export" {
		t.Errorf("operations: %+v", rest.Operation)
	}
	seen := map[string]bool{}
	for _, r := range rest.Resource {
		seen[r.Type] = true
		for _, p := range r.SearchParam {
			seen[r.Type+"."+p.Name+":"+p.Type] = true
		}
		for _, o := range r.Operation {
			seen[r.Type+"$"+o.Name] = true
		}
	}
	for _, want := range []string{"Observation", "Patient$export", "Group$export", "Observation.code:token", "Observation.value-quantity:quantity", "Patient.birthdate:date", "Condition.patient:reference"} {
		if !seen[want] {
			t.Errorf("the statement has no %s", want)
		}
	}
	if bytes.Contains(a.body, []byte("<unknown>")) {
		t.Error("the statement has an unknown code")
	}
	if open := serve(t, &Server{}).get("/metadata"); bytes.Contains(open.body, []byte("oauth-uris")) {
		t.Error("an open server names a token endpoint")
	}
}
