package sandbox

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flue-fhir/flue/export/sandbox/population"
	"github.com/flue-fhir/flue/export/sandbox/store"
	"github.com/flue-fhir/flue/smart/authserver"
)

// testCache holds the population that most tests share.
var testCache = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sandbox-test-")
	if err != nil {
		return "", err
	}
	_, err = population.Population{Patients: 60, Seed: 11}.Dir(context.Background(), dir)
	return dir, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := testCache(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// populationDir is the folder of the shared population.
func populationDir(t testing.TB) string {
	t.Helper()
	cache, err := testCache()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(cache, population.Population{Patients: 60, Seed: 11}.Key())
}

// openData opens a folder with an index of its own, so that changes stay in the
// test.
func openData(t testing.TB, dir string) *store.Store {
	t.Helper()
	data, err := store.Open(t.Context(), store.Options{Dir: dir, Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { data.Close() })
	return data
}

// client is a bulk data client that makes no mistakes, unless it is told to.
type client struct {
	t     testing.TB
	base  string
	token string
	made  int // requests
	log   func() []Request
}

// serve starts the server on a loopback port.
func serve(t testing.TB, s *Server) *client {
	t.Helper()
	if s.Data == nil {
		s.Data = openData(t, populationDir(t))
	}
	ts := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		ts.Close()
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &client{t: t, base: ts.URL + s.path(), log: s.Requests}
}

// answer is a response with its body.
type answered struct {
	*http.Response
	body []byte
}

func (c *client) do(method, target, body string, header ...string) answered {
	c.t.Helper()
	if !strings.HasPrefix(target, "http") {
		target = c.base + target
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i+1] == "" {
			req.Header.Del(header[i])
			continue
		}
		req.Header.Add(header[i], header[i+1])
	}
	c.made++
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answered{resp, data}
}

func (c *client) get(target string, header ...string) answered {
	c.t.Helper()
	return c.do(http.MethodGet, target, "", header...)
}

// kickOffHeader are the headers of a right kick-off.
var kickOffHeader = []string{"Accept", "application/fhir+json", "Prefer", "respond-async"}

func (c *client) kickOff(target string, header ...string) string {
	c.t.Helper()
	a := c.get(target, append(slices.Clone(kickOffHeader), header...)...)
	if a.StatusCode != http.StatusAccepted {
		c.t.Fatalf("kick-off: status %d: %s", a.StatusCode, a.body)
	}
	location := a.Header.Get("Content-Location")
	if u, err := url.Parse(location); err != nil || !u.IsAbs() {
		c.t.Fatalf("Content-Location %q is not absolute", location)
	}
	return location
}

// wait polls until the export is complete and returns its manifest, all pages
// joined.
func (c *client) wait(location string) Manifest {
	c.t.Helper()
	for {
		a := c.get(location, "Accept", "application/json")
		switch a.StatusCode {
		case http.StatusAccepted:
			if a.Header.Get("X-Progress") == "" || a.Header.Get("Retry-After") == "" {
				c.t.Fatalf("202 without X-Progress or Retry-After: %v", a.Header)
			}
			time.Sleep(2 * time.Millisecond)
			continue
		case http.StatusOK:
		default:
			c.t.Fatalf("status: %d: %s", a.StatusCode, a.body)
		}
		var m Manifest
		if err := json.Unmarshal(a.body, &m); err != nil {
			c.t.Fatal(err)
		}
		for i := 0; i < len(m.Link); i++ {
			var next Manifest
			b := c.get(m.Link[i].URL)
			if err := json.Unmarshal(b.body, &next); err != nil {
				c.t.Fatalf("next manifest: %v: %s", err, b.body)
			}
			if next.TransactionTime != m.TransactionTime {
				c.t.Error("linked manifests have different transactionTimes")
			}
			m.Output = append(m.Output, next.Output...)
			m.Deleted = append(m.Deleted, next.Deleted...)
			m.Error = append(m.Error, next.Error...)
			m.Link = append(m.Link, next.Link...)
		}
		return m
	}
}

// lines downloads the files and returns their lines by type.
func (c *client) lines(files []ManifestFile) map[string][]string {
	c.t.Helper()
	out := map[string][]string{}
	for _, f := range files {
		a := c.get(f.URL, "Accept", "application/fhir+ndjson")
		if a.StatusCode != http.StatusOK {
			c.t.Fatalf("file: status %d: %s", a.StatusCode, a.body)
		}
		if got := a.Header.Get("Content-Type"); got != "application/fhir+ndjson" {
			c.t.Errorf("file: content type %q", got)
		}
		lines := splitLines(a.body)
		if len(lines) != f.Count {
			c.t.Errorf("%s: the file has %d lines, its count is %d", f.Type, len(lines), f.Count)
		}
		out[f.Type] = append(out[f.Type], lines...)
	}
	return out
}

func splitLines(data []byte) []string {
	var out []string
	for line := range bytes.Lines(data) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			out = append(out, string(line))
		}
	}
	return out
}

// fileLines are the lines of a type's file in a folder.
func fileLines(t testing.TB, dir, typ string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, typ+".ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	return splitLines(data)
}

// export runs a whole export.
func (c *client) export(target string, header ...string) (Manifest, map[string][]string) {
	c.t.Helper()
	m := c.wait(c.kickOff(target, header...))
	return m, c.lines(m.Output)
}

func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %d lines differ from the %d wanted", what, len(got), len(want))
	}
}

func TestSystemExportIsExact(t *testing.T) {
	for _, s := range []*Server{{}, {FileSize: 20_000}, {FileLines: 7}, {FileSize: 9000, ManifestPage: 3}} {
		c := serve(t, s)
		m, lines := c.export("/$export")
		if m.RequiresAccessToken {
			t.Error("an open server requires a token")
		}
		if at, err := time.Parse(time.RFC3339, m.TransactionTime); err != nil || time.Since(at) > time.Minute {
			t.Errorf("transactionTime %q: %v", m.TransactionTime, err)
		}
		dir := populationDir(t)
		manifest, err := population.ReadManifest(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(lines) != len(manifest.Counts) {
			t.Errorf("%d types, want %d", len(lines), len(manifest.Counts))
		}
		for typ := range manifest.Counts {
			same(t, typ, lines[typ], fileLines(t, dir, typ))
		}
		if s.FileLines > 0 {
			for _, f := range m.Output {
				if f.Count > s.FileLines {
					t.Errorf("a file of %d lines, at most %d are allowed", f.Count, s.FileLines)
				}
			}
		}
	}
}

func TestKickOffIsStrict(t *testing.T) {
	c := serve(t, &Server{})
	parameters := func(list string) string { return `{"resourceType":"Parameters","parameter":[` + list + `]}` }
	for name, tt := range map[string]struct {
		method, target, body string
		header               []string
		status               int
		code                 string
	}{
		"no Accept":             {target: "/$export", header: []string{"Prefer", "respond-async"}, status: 400, code: "required"},
		"Accept is JSON":        {target: "/$export", header: []string{"Prefer", "respond-async", "Accept", "application/json"}, status: 406},
		"no Prefer":             {target: "/$export", header: []string{"Accept", "application/fhir+json"}, status: 400, code: "required"},
		"unknown parameter":     {target: "/$export?_foo=1", header: kickOffHeader, status: 400, code: "not-supported"},
		"includeAssociatedData": {target: "/$export?includeAssociatedData=LatestProvenanceResources", header: kickOffHeader, status: 400, code: "not-supported"},
		"unknown type":          {target: "/$export?_type=Patient,Foo", header: kickOffHeader, status: 400, code: "value"},
		"empty type":            {target: "/$export?_type=", header: kickOffHeader, status: 400, code: "value"},
		"plus as space":         {target: "/$export?_since=2024-01-01T00:00:00+01:00", header: kickOffHeader, status: 400, code: "value"},
		"since without zone":    {target: "/$export?_since=2024-01-01T00:00:00", header: kickOffHeader, status: 400},
		"since twice":           {target: "/$export?_since=2024-01-01T00:00:00Z&_since=2024-01-01T00:00:00Z", header: kickOffHeader, status: 400},
		"until before since":    {target: "/$export?_since=2024-01-01T00:00:00Z&_until=2023-01-01T00:00:00Z", header: kickOffHeader, status: 400},
		"parquet":               {target: "/$export?_outputFormat=application/vnd.apache.parquet", header: kickOffHeader, status: 400},
		"filter without type":   {target: "/$export?_typeFilter=status%3Dactive", header: kickOffHeader, status: 400},
		"filter of other type":  {target: "/$export?_type=Patient&_typeFilter=Condition%3Fcode%3Dx", header: kickOffHeader, status: 400},
		"filter unknown param":  {target: "/$export?_typeFilter=Condition%3Ffoo%3Dx", header: kickOffHeader, status: 400},
		"filter of the result":  {target: "/$export?_typeFilter=Condition%3F_include%3DCondition:subject", header: kickOffHeader, status: 400},
		"filter bad date":       {target: "/$export?_typeFilter=Condition%3Frecorded-date%3Dyesterday", header: kickOffHeader, status: 400},
		"patient by GET":        {target: "/Patient/$export?patient=Patient/1", header: kickOffHeader, status: 400},
		"no such group":         {target: "/Group/nobody/$export", header: kickOffHeader, status: 404, code: "not-found"},
		"type outside patients": {target: "/Patient/$export?_type=Questionnaire", header: kickOffHeader, status: 400},
		"PUT":                   {method: "PUT", target: "/$export", header: kickOffHeader, status: 405},
		"POST without type":     {method: "POST", target: "/$export", body: parameters(""), header: kickOffHeader, status: 415},
		"POST of a form":        {method: "POST", target: "/$export", body: "_type=Patient", header: append(slices.Clone(kickOffHeader), "Content-Type", "application/x-www-form-urlencoded"), status: 415},
		"POST with query":       {method: "POST", target: "/$export?_type=Patient", body: parameters(""), header: append(slices.Clone(kickOffHeader), "Content-Type", "application/fhir+json"), status: 400},
		"POST of a Patient":     {method: "POST", target: "/$export", body: `{"resourceType":"Patient"}`, header: append(slices.Clone(kickOffHeader), "Content-Type", "application/fhir+json"), status: 400, code: "structure"},
		"since as string":       {method: "POST", target: "/$export", body: parameters(`{"name":"_since","valueString":"2024-01-01T00:00:00Z"}`), header: append(slices.Clone(kickOffHeader), "Content-Type", "application/fhir+json"), status: 400},
		"patient as string":     {method: "POST", target: "/Patient/$export", body: parameters(`{"name":"patient","valueString":"Patient/1"}`), header: append(slices.Clone(kickOffHeader), "Content-Type", "application/fhir+json"), status: 400},
		"unknown patient":       {method: "POST", target: "/Patient/$export", body: parameters(`{"name":"patient","valueReference":{"reference":"Patient/nobody"}}`), header: append(slices.Clone(kickOffHeader), "Content-Type", "application/fhir+json"), status: 400},
		"patient at the system": {method: "POST", target: "/$export", body: parameters(`{"name":"patient","valueReference":{"reference":"Patient/x"}}`), header: append(slices.Clone(kickOffHeader), "Content-Type", "application/fhir+json"), status: 400},
	} {
		t.Run(name, func(t *testing.T) {
			c := *c
			c.t = t
			a := c.do(orElse(tt.method, "GET"), tt.target, tt.body, tt.header...)
			if a.StatusCode != tt.status {
				t.Errorf("status %d, want %d: %s", a.StatusCode, tt.status, a.body)
			}
			var o struct {
				ResourceType string
				Issue        []struct{ Severity, Code, Diagnostics string }
			}
			if err := json.Unmarshal(a.body, &o); err != nil || o.ResourceType != "OperationOutcome" || len(o.Issue) == 0 || o.Issue[0].Severity != "error" || o.Issue[0].Code == "<unknown>" {
				t.Fatalf("the answer is no OperationOutcome: %s", a.body)
			}
			if tt.code != "" && o.Issue[0].Code != tt.code {
				t.Errorf("issue code %q, want %q", o.Issue[0].Code, tt.code)
			}
			if a.Header.Get("Content-Location") != "" {
				t.Error("a refused kick-off has a Content-Location")
			}
		})
	}
	for _, r := range c.log() {
		if r.Export != "" {
			t.Errorf("a refused kick-off made the export %s", r.Export)
		}
	}
}

func TestLenientSaysWhatItIgnored(t *testing.T) {
	c := serve(t, &Server{})
	m, lines := c.export("/$export?_type=Organization&includeAssociatedData=_everything&_foo=1", "Prefer", "handling=lenient")
	if len(lines) != 1 || len(lines["Organization"]) == 0 {
		t.Errorf("types %v", len(lines))
	}
	outcomes := c.lines(m.Error)["OperationOutcome"]
	if len(outcomes) != 2 || !strings.Contains(outcomes[0]+outcomes[1], "includeAssociatedData") || !strings.Contains(outcomes[0]+outcomes[1], "_foo") {
		t.Errorf("outcomes: %v", outcomes)
	}
	a := c.get("/$export?_type=Organization&_foo=1", append(slices.Clone(kickOffHeader), "Prefer", "handling=lenient")...)
	if !bytes.Contains(a.body, []byte("_foo is not supported")) {
		t.Errorf("the kick-off's answer does not name what is ignored: %s", a.body)
	}
}

func TestGzipEqualsIdentity(t *testing.T) {
	c := serve(t, &Server{FileSize: 50_000})
	m := c.wait(c.kickOff("/$export?_type=Observation,Claim"))
	if len(m.Output) < 4 {
		t.Fatalf("only %d files", len(m.Output))
	}
	for _, f := range m.Output {
		plain := c.get(f.URL)
		packed := c.get(f.URL, "Accept-Encoding", "", "Accept-Encoding", "gzip")
		if got := packed.Header.Get("Content-Encoding"); got != "gzip" {
			t.Fatalf("Content-Encoding %q", got)
		}
		if plain.Header.Get("ETag") == packed.Header.Get("ETag") {
			t.Error("two codings have one strong ETag")
		}
		if int64(len(packed.body)) != packed.ContentLength {
			t.Errorf("Content-Length %d of %d bytes", packed.ContentLength, len(packed.body))
		}
		z, err := gzip.NewReader(bytes.NewReader(packed.body))
		if err != nil {
			t.Fatal(err)
		}
		unpacked, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(unpacked, plain.body) {
			t.Error("gzip and identity differ")
		}
		again := c.get(f.URL, "Accept-Encoding", "", "Accept-Encoding", "gzip")
		if !bytes.Equal(again.body, packed.body) {
			t.Error("the compressed bytes changed under one ETag")
		}
	}
}

func TestRangeResumeEqualsWhole(t *testing.T) {
	c := serve(t, &Server{})
	f := c.wait(c.kickOff("/$export?_type=Encounter")).Output[0]
	for _, coding := range []string{"identity", "gzip"} {
		whole := c.get(f.URL, "Accept-Encoding", "", "Accept-Encoding", coding)
		tag := whole.Header.Get("ETag")
		if !strings.HasPrefix(tag, `"`) {
			t.Fatalf("ETag %q is not strong", tag)
		}
		half := len(whole.body) / 2
		rest := c.get(f.URL, "Accept-Encoding", "", "Accept-Encoding", coding, "Range", fmt.Sprintf("bytes=%d-", half), "If-Range", tag)
		if rest.StatusCode != http.StatusPartialContent {
			t.Fatalf("status %d", rest.StatusCode)
		}
		if got, want := rest.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", half, len(whole.body)-1, len(whole.body)); got != want {
			t.Errorf("Content-Range %q, want %q", got, want)
		}
		if !bytes.Equal(append(slices.Clone(whole.body[:half]), rest.body...), whole.body) {
			t.Error("the resumed file differs from the whole")
		}
		if a := c.get(f.URL, "Accept-Encoding", "", "Accept-Encoding", coding, "Range", "bytes=5-", "If-Range", `"other"`); a.StatusCode != http.StatusOK || !bytes.Equal(a.body, whole.body) {
			t.Errorf("another If-Range: status %d", a.StatusCode)
		}
		if a := c.get(f.URL, "Accept-Encoding", "", "Accept-Encoding", coding, "Range", fmt.Sprintf("bytes=%d-", len(whole.body))); a.StatusCode != http.StatusRequestedRangeNotSatisfiable {
			t.Errorf("a range beyond the end: status %d", a.StatusCode)
		}
		if a := c.get(f.URL, "Accept-Encoding", "", "Accept-Encoding", coding, "Range", "bytes=-10"); a.StatusCode != http.StatusPartialContent || !bytes.Equal(a.body, whole.body[len(whole.body)-10:]) {
			t.Errorf("a suffix range: status %d, %d bytes", a.StatusCode, len(a.body))
		}
		if a := c.get(f.URL, "Accept-Encoding", "", "Accept-Encoding", coding, "Range", "bytes=2-4"); !bytes.Equal(a.body, whole.body[2:5]) {
			t.Errorf("bytes 2-4 are %q", a.body)
		}
	}
	none := serve(t, &Server{NoRange: true, NoGzip: true})
	f = none.wait(none.kickOff("/$export?_type=Encounter")).Output[0]
	if a := none.get(f.URL, "Range", "bytes=5-", "Accept-Encoding", "", "Accept-Encoding", "gzip"); a.StatusCode != http.StatusOK || a.Header.Get("Content-Encoding") != "" || a.Header.Get("Accept-Ranges") != "none" {
		t.Errorf("without ranges and gzip: status %d, %v", a.StatusCode, a.Header)
	}
}

// register gives the server a client with a secret and returns its token.
func register(t testing.TB, c *client, auth *authserver.Server, id, scope string) string {
	t.Helper()
	if err := auth.Register(authserver.Client{ID: id, Secret: "s3cret"}); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}.Encode()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, strings.TrimSuffix(c.base, "/fhir")+"/auth/token", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(id, "s3cret")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&token); err != nil || token.AccessToken == "" {
		t.Fatalf("token: status %d: %v", resp.StatusCode, err)
	}
	return token.AccessToken
}
