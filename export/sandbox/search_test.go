package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// bundle is a searchset.
type bundle struct {
	ResourceType, Type string
	Total              *int
	Link               []struct{ Relation, URL string }
	Entry              []struct {
		FullURL  string
		Resource json.RawMessage
		Search   struct{ Mode string }
	}
}

func (b *bundle) link(relation string) string {
	for _, l := range b.Link {
		if l.Relation == relation {
			return l.URL
		}
	}
	return ""
}

func (b *bundle) resources(mode string) []string {
	var out []string
	for _, e := range b.Entry {
		if e.Search.Mode == mode {
			out = append(out, string(e.Resource))
		}
	}
	return out
}

func (c *client) bundle(a answered) *bundle {
	c.t.Helper()
	if a.StatusCode != http.StatusOK {
		c.t.Fatalf("search: status %d: %s", a.StatusCode, a.body)
	}
	var b bundle
	if err := json.Unmarshal(a.body, &b); err != nil || b.ResourceType != "Bundle" || b.Type != "searchset" {
		c.t.Fatalf("search: %v: %.200s", err, a.body)
	}
	return &b
}

// pages reads a search to its end.
func (c *client) pages(target string) (matches []string, n int) {
	c.t.Helper()
	for target != "" {
		b := c.bundle(c.get(target))
		matches = append(matches, b.resources("match")...)
		n++
		if target = b.link("next"); target != "" && !strings.HasPrefix(target, c.base+"/") {
			c.t.Fatalf("next link %q is of another origin", target)
		}
	}
	return matches, n
}

func TestPagingCoversEachOnce(t *testing.T) {
	c := serve(t, &Server{PageSize: 13})
	dir := populationDir(t)
	for _, typ := range []string{"Patient", "Observation", "Organization"} {
		got, n := c.pages("/" + typ)
		want := fileLines(t, dir, typ)
		same(t, typ, got, want)
		if n != max(1, (len(want)+12)/13) {
			t.Errorf("%s: %d pages for %d", typ, n, len(want))
		}
	}
	b := c.bundle(c.get("/Patient?_count=1000"))
	if len(b.Entry) != 60 || b.link("next") != "" || b.Total == nil || *b.Total != 60 {
		t.Errorf("one page: %d entries, total %v, next %q", len(b.Entry), b.Total, b.link("next"))
	}
	if b := c.bundle(c.get("/Patient?_count=0")); len(b.Entry) != 0 || b.link("next") != "" || *b.Total != 60 {
		t.Errorf("_count=0: %d entries", len(b.Entry))
	}
	if got := b.Entry[0].FullURL; !strings.HasPrefix(got, c.base+"/Patient/") {
		t.Errorf("fullUrl %q", got)
	}
}

// TestPagingIsStable: a search goes on over what was there when it began.
func TestPagingIsStable(t *testing.T) {
	s := &Server{PageSize: 50}
	c := serve(t, s)
	first := c.bundle(c.get("/Condition"))
	refs, err := s.Data.View().First("Condition", 80)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Data.Touch(refs...); err != nil {
		t.Fatal(err)
	}
	rest, _ := c.pages(first.link("next"))
	same(t, "Condition", append(first.resources("match"), rest...), fileLines(t, populationDir(t), "Condition"))
}

func TestSearchByPatient(t *testing.T) {
	c := serve(t, &Server{PageSize: 10})
	dir := populationDir(t)
	var ids []string
	for _, line := range fileLines(t, dir, "Patient")[3:6] {
		ids = append(ids, decode(t, line)["id"].(string))
	}
	for _, typ := range []string{"Observation", "Claim", "Condition", "Immunization", "DocumentReference"} {
		want := only(fileLines(t, dir, typ), func(l string) bool { return mentions(l, ids) })
		for _, query := range []string{
			"patient=" + strings.Join(ids, ","),
			"patient=Patient/" + strings.Join(ids, ",Patient/"),
			"patient:Patient=" + strings.Join(ids, ","),
		} {
			got, _ := c.pages("/" + typ + "?" + query)
			same(t, typ+"?"+query, got, want)
		}
	}
	got, _ := c.pages("/Observation?subject=Patient/" + ids[0] + "&status=amended")
	same(t, "subject and status", got, only(fileLines(t, dir, "Observation"), func(l string) bool {
		return mentions(l, ids[:1]) && strings.Contains(l, `"status":"amended"`)
	}))
	if got, _ := c.pages("/Observation?patient=nobody"); len(got) != 0 {
		t.Errorf("%d observations of nobody", len(got))
	}
	// By POST, as long lists of patients need it.
	a := c.do(http.MethodPost, "/Observation/_search", url.Values{"patient": {strings.Join(ids, ",")}, "_count": {"1000"}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	same(t, "POST", c.bundle(a).resources("match"), only(fileLines(t, dir, "Observation"), func(l string) bool { return mentions(l, ids) }))
}

func TestSearchByIDAndLastUpdated(t *testing.T) {
	c := serve(t, &Server{})
	dir := populationDir(t)
	all := fileLines(t, dir, "Patient")
	a, b := decode(t, all[0])["id"].(string), decode(t, all[7])["id"].(string)
	got, _ := c.pages("/Patient?_id=" + a + "," + b + ",nobody")
	same(t, "_id", got, []string{all[0], all[7]})
	at := updatedOf(t, all[7])
	for prefix, want := range map[string]func(time.Time) bool{
		"gt": func(u time.Time) bool { return u.After(at) },
		"ge": func(u time.Time) bool { return !u.Before(at) },
		"lt": func(u time.Time) bool { return u.Before(at) },
		"le": func(u time.Time) bool { return !u.After(at) },
		"":   func(u time.Time) bool { return u.Equal(at) },
	} {
		got, _ := c.pages("/Patient?_lastUpdated=" + prefix + at.UTC().Format("2006-01-02T15:04:05.000Z"))
		same(t, "_lastUpdated="+prefix, got, only(all, func(l string) bool { return want(updatedOf(t, l)) }))
	}
	got, _ = c.pages("/Patient?_lastUpdated=ge2024&_lastUpdated=lt2025")
	same(t, "a year", got, only(all, func(l string) bool { return updatedOf(t, l).UTC().Year() == 2024 }))
}

func TestInclude(t *testing.T) {
	c := serve(t, &Server{})
	b := c.bundle(c.get("/Patient?_count=20&_include=Patient:organization&_include=Patient:general-practitioner"))
	wanted := map[string]bool{}
	for _, line := range b.resources("match") {
		p := decode(t, line)
		wanted[p["managingOrganization"].(map[string]any)["reference"].(string)] = true
		for _, g := range p["generalPractitioner"].([]any) {
			if ref := g.(map[string]any)["reference"].(string); !strings.HasPrefix(ref, "#") {
				wanted[ref] = true
			}
		}
	}
	got := map[string]bool{}
	for _, line := range b.resources("include") {
		r := decode(t, line)
		key := r["resourceType"].(string) + "/" + r["id"].(string)
		if got[key] {
			t.Errorf("%s is included twice", key)
		}
		got[key] = true
	}
	if len(got) != len(wanted) || len(got) == 0 {
		t.Errorf("%d included, want %d", len(got), len(wanted))
	}
	for key := range wanted {
		if !got[key] {
			t.Errorf("%s is not included", key)
		}
	}
}

// TestF56UnknownParameters: what is left out stands neither in the self link
// nor unsaid; a strict client is refused.
func TestF56UnknownParameters(t *testing.T) {
	c := serve(t, &Server{})
	b := c.bundle(c.get("/Patient?_count=2&foo=1&gender=male&_sort=birthdate"))
	self, err := url.Parse(b.link("self"))
	if err != nil {
		t.Fatal(err)
	}
	if q := self.Query(); q.Has("foo") || q.Has("_sort") || q.Get("gender") != "male" || q.Get("_count") != "2" {
		t.Errorf("self link %q", self)
	}
	outcomes := b.resources("outcome")
	if len(outcomes) != 1 || !strings.Contains(outcomes[0], "foo") || !strings.Contains(outcomes[0], `"severity":"warning"`) {
		t.Errorf("outcomes %v", outcomes)
	}
	for target, header := range map[string][]string{
		"/Patient?foo=1":             {"Prefer", "handling=strict"},
		"/Patient?birthdate=someday": nil,
		"/Patient?_count=many":       nil,
		"/Patient?gender=":           nil,
		"/Patient?_include=Patient":  nil,
	} {
		if a := c.get(target, header...); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: status %d", target, a.StatusCode)
		}
	}
	if a := c.get("/Patient", "Accept", "application/fhir+xml"); a.StatusCode != http.StatusNotAcceptable {
		t.Errorf("XML: status %d", a.StatusCode)
	}
	if a := c.get("/Nonsense"); a.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown type: status %d", a.StatusCode)
	}
	if a := c.get("/Questionnaire"); len(c.bundle(a).Entry) != 0 {
		t.Error("a type without resources has some")
	}
}

func TestF50NextLinksExpire(t *testing.T) {
	now := time.Now()
	s := &Server{PageSize: 5, Now: func() time.Time { return now }, PageExpiry: time.Minute}
	c := serve(t, s)
	next := c.bundle(c.get("/Patient")).link("next")
	if b := c.bundle(c.get(next)); len(b.Entry) != 5 {
		t.Errorf("second page: %d entries", len(b.Entry))
	}
	now = now.Add(2 * time.Minute)
	if a := c.get(next); a.StatusCode != http.StatusGone {
		t.Errorf("an expired next link: status %d", a.StatusCode)
	}
	next = c.bundle(c.get("/Patient")).link("next")
	s.ExpirePages()
	for _, target := range []string{next, c.base + "/_page/x", c.base + "/_page/x.y"} {
		if a := c.get(target); a.StatusCode != http.StatusGone {
			t.Errorf("%s: status %d", target, a.StatusCode)
		}
	}
}

func TestF59LongURL(t *testing.T) {
	c := serve(t, &Server{MaxURL: 200})
	if a := c.get("/Patient?_id=" + strings.Repeat("x", 300)); a.StatusCode != http.StatusRequestURITooLong {
		t.Errorf("status %d", a.StatusCode)
	}
}

func TestSearchElements(t *testing.T) {
	c := serve(t, &Server{})
	b := c.bundle(c.get("/Patient?_elements=id"))
	for _, line := range b.resources("match") {
		for name := range decode(t, line) {
			if !slices.Contains([]string{"resourceType", "id", "meta"}, name) {
				t.Fatalf("%s is not asked for", name)
			}
		}
	}
	if len(b.Entry) != 60 {
		t.Errorf("%d entries", len(b.Entry))
	}
}

func TestRead(t *testing.T) {
	c := serve(t, &Server{})
	dir := populationDir(t)
	line := fileLines(t, dir, "Patient")[5]
	p := decode(t, line)
	a := c.get("/Patient/" + p["id"].(string))
	if string(a.body) != line || a.Header.Get("Content-Type") != "application/fhir+json" {
		t.Error("the resource is not that of the file")
	}
	if got, want := a.Header.Get("ETag"), `W/"`+p["meta"].(map[string]any)["versionId"].(string)+`"`; got != want {
		t.Errorf("ETag %s, want %s", got, want)
	}
	if a := c.get("/Patient/nobody"); a.StatusCode != http.StatusNotFound {
		t.Errorf("nobody: status %d", a.StatusCode)
	}
	if a := c.get("/Group/small"); a.StatusCode != http.StatusOK {
		t.Errorf("a group: status %d", a.StatusCode)
	}
	line = fileLines(t, dir, "Binary")[0]
	b := decode(t, line)
	content, err := base64.StdEncoding.DecodeString(b["data"].(string))
	if err != nil {
		t.Fatal(err)
	}
	a = c.get("/Binary/"+b["id"].(string), "Accept", "*/*")
	if string(a.body) != string(content) || a.Header.Get("Content-Type") != b["contentType"] {
		t.Errorf("binary: type %q", a.Header.Get("Content-Type"))
	}
	if a = c.get("/Binary/"+b["id"].(string), "Accept", "application/fhir+json"); string(a.body) != line {
		t.Error("a Binary as FHIR is not that of the file")
	}
	if a := c.do(http.MethodPut, "/Patient/x", "{}"); a.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("PUT: status %d", a.StatusCode)
	}
}
