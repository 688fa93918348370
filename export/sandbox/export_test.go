package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flue-fhir/flue/export/sandbox/store"
)

// decode reads a line as plain JSON, by other means than the server.
func decode(t testing.TB, line string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(line), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func updatedOf(t testing.TB, line string) time.Time {
	t.Helper()
	meta := decode(t, line)["meta"].(map[string]any)
	at, err := time.Parse(time.RFC3339, meta["lastUpdated"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// mentions reports whether the resource refers to one of the patients, or is
// one of them.
func mentions(line string, ids []string) bool {
	return slices.ContainsFunc(ids, func(id string) bool {
		return strings.Contains(line, `"Patient/`+id+`"`) || strings.HasPrefix(line, `{"resourceType":"Patient","id":"`+id+`"`)
	})
}

func only(lines []string, keep func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !keep(l) })
}

func TestPatientExport(t *testing.T) {
	c := serve(t, &Server{})
	_, lines := c.export("/Patient/$export")
	dir := populationDir(t)
	for _, typ := range []string{"Patient", "Observation", "Claim", "DocumentReference", "Organization", "Practitioner", "Binary"} {
		same(t, typ, lines[typ], fileLines(t, dir, typ))
	}
}

func TestGroupExport(t *testing.T) {
	c := serve(t, &Server{})
	dir := populationDir(t)
	var group struct {
		Member []struct {
			Entity   struct{ Reference string }
			Inactive bool
		}
	}
	for _, line := range fileLines(t, dir, "Group") {
		if strings.Contains(line, `"id":"every-tenth"`) {
			if err := json.Unmarshal([]byte(line), &group); err != nil {
				t.Fatal(err)
			}
		}
	}
	var members []string
	for _, m := range group.Member {
		if !m.Inactive {
			members = append(members, strings.TrimPrefix(m.Entity.Reference, "Patient/"))
		}
	}
	if len(members) != 5 || len(group.Member) != 6 {
		t.Fatalf("%d of %d members are active", len(members), len(group.Member))
	}
	_, lines := c.export("/Group/every-tenth/$export")
	for _, typ := range []string{"Patient", "Encounter", "Observation", "Claim", "ExplanationOfBenefit", "Immunization"} {
		want := only(fileLines(t, dir, typ), func(l string) bool { return mentions(l, members) })
		if typ == "Patient" {
			want = only(want, func(l string) bool { return slices.Contains(members, decode(t, l)["id"].(string)) })
		}
		same(t, typ, lines[typ], want)
	}
	if len(lines["Group"]) != 1 || !strings.Contains(lines["Group"][0], `"id":"every-tenth"`) {
		t.Errorf("%d groups in the export of one", len(lines["Group"]))
	}
	same(t, "Practitioner", lines["Practitioner"], fileLines(t, dir, "Practitioner"))

	// POST with patients of the group, and with one who is none of it.
	post := func(id string, header ...string) answered {
		body := `{"resourceType":"Parameters","parameter":[{"name":"_type","valueString":"Patient,Condition"},{"name":"patient","valueReference":{"reference":"Patient/` + id + `"}}]}`
		return c.do(http.MethodPost, "/Group/every-tenth/$export", body, append(append(slices.Clone(kickOffHeader), "Content-Type", "application/fhir+json"), header...)...)
	}
	a := post(members[0])
	if a.StatusCode != http.StatusAccepted {
		t.Fatalf("POST: status %d: %s", a.StatusCode, a.body)
	}
	one := c.lines(c.wait(a.Header.Get("Content-Location")).Output)
	same(t, "Condition of one", one["Condition"], only(fileLines(t, dir, "Condition"), func(l string) bool { return mentions(l, members[:1]) }))
	if len(one["Patient"]) != 1 {
		t.Errorf("%d patients, want 1", len(one["Patient"]))
	}
	stranger := decode(t, fileLines(t, dir, "Patient")[1])["id"].(string)
	if a := post(stranger); a.StatusCode != http.StatusBadRequest {
		t.Errorf("a patient outside of the group: status %d", a.StatusCode)
	}
	a = post(stranger, "Prefer", "handling=lenient")
	if m := c.wait(a.Header.Get("Content-Location")); len(m.Output) != 0 || len(m.Error) != 1 {
		t.Errorf("a lenient export of nobody: %+v", m)
	}
}

func TestSinceAndUntil(t *testing.T) {
	c := serve(t, &Server{})
	dir := populationDir(t)
	since, until := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)
	zone := since.In(time.FixedZone("", 3600)).Format(time.RFC3339)
	m, lines := c.export("/$export?_since=" + url.QueryEscape(zone) + "&_until=" + until.Format(time.RFC3339))
	if m.Deleted != nil {
		t.Error("nothing was deleted")
	}
	for _, typ := range []string{"Patient", "Observation", "Claim"} {
		want := only(fileLines(t, dir, typ), func(l string) bool {
			at := updatedOf(t, l)
			return at.After(since) && at.Before(until)
		})
		if len(want) == 0 {
			t.Fatalf("no %s to find", typ)
		}
		same(t, typ, lines[typ], want)
	}
}

// TestIncremental changes and deletes between two exports: the second has just
// that, and transactionTime is a _since that loses nothing.
func TestIncremental(t *testing.T) {
	s := &Server{Admin: true}
	c := serve(t, s)
	first := c.wait(c.kickOff("/$export"))
	origin := strings.TrimSuffix(c.base, "/fhir")
	post := func(target, body string) {
		t.Helper()
		if a := c.do(http.MethodPost, origin+target, body); a.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d: %s", target, a.StatusCode, a.body)
		}
	}
	post("/_sandbox/touch?type=Observation&count=3", "")
	refs, err := s.Data.View().First("Condition", 2)
	if err != nil {
		t.Fatal(err)
	}
	post("/_sandbox/delete?ref=Condition/"+refs[0].ID+"&ref=Condition/"+refs[1].ID, "")
	post("/_sandbox/put", `{"resourceType":"Patient","id":"new-one","name":[{"family":"Neu & <b>"}]}`)
	post("/_sandbox/put", `{"resourceType":"Condition","id":"c-new","subject":{"reference":"Patient/new-one"}}`)

	m, lines := c.export("/$export?_since=" + url.QueryEscape(first.TransactionTime))
	if len(lines["Observation"]) != 3 || len(lines["Condition"]) != 1 || len(lines["Patient"]) != 1 || len(lines) != 3 {
		t.Errorf("the delta has %d types: %d observations, %d conditions, %d patients", len(lines), len(lines["Observation"]), len(lines["Condition"]), len(lines["Patient"]))
	}
	old := fileLines(t, populationDir(t), "Observation")[0]
	if fresh := decode(t, lines["Observation"][0]); fresh["id"] != decode(t, old)["id"] || !updatedOf(t, lines["Observation"][0]).After(updatedOf(t, old)) {
		t.Error("the touched observation is not the first one with a new lastUpdated")
	}
	// Apart from meta the bytes are the same.
	cut := func(line string) string {
		head, rest, _ := strings.Cut(line, `"meta":{`)
		_, tail, _ := strings.Cut(rest, "}")
		return head + tail
	}
	if cut(lines["Observation"][0]) != cut(old) {
		t.Error("a touch changed more than meta")
	}
	if !strings.Contains(lines["Patient"][0], `"family":"Neu & <b>"`) || !strings.Contains(lines["Patient"][0], `"versionId":"1"`) {
		t.Errorf("the new patient: %s", lines["Patient"][0])
	}
	var urls []string
	for _, line := range c.lines(m.Deleted)["Bundle"] {
		var b struct {
			Type  string
			Entry []struct{ Request struct{ Method, URL string } }
		}
		if err := json.Unmarshal([]byte(line), &b); err != nil || b.Type != "transaction" {
			t.Fatalf("deleted: %s", line)
		}
		for _, e := range b.Entry {
			urls = append(urls, e.Request.Method+" "+e.Request.URL)
		}
	}
	if want := []string{"DELETE Condition/" + refs[0].ID, "DELETE Condition/" + refs[1].ID}; !slices.Equal(urls, want) {
		t.Errorf("deleted %v, want %v", urls, want)
	}
	// A full export has the changed, the new, and none of the deleted.
	_, all := c.export("/$export?_type=Observation,Condition,Patient")
	population := fileLines(t, populationDir(t), "Condition")
	if got, want := len(all["Condition"]), len(population)-2+1; got != want {
		t.Errorf("%d conditions, want %d", got, want)
	}
	if got, want := len(all["Observation"]), len(fileLines(t, populationDir(t), "Observation")); got != want {
		t.Errorf("%d observations, want %d", got, want)
	}
	// The new patient's compartment is found as that of any other.
	body := `{"resourceType":"Parameters","parameter":[{"name":"patient","valueReference":{"reference":"Patient/new-one"}},{"name":"_type","valueString":"Condition"}]}`
	a := c.do(http.MethodPost, "/Patient/$export", body, append(slices.Clone(kickOffHeader), "Content-Type", "application/fhir+json")...)
	if got := c.lines(c.wait(a.Header.Get("Content-Location")).Output)["Condition"]; len(got) != 1 {
		t.Errorf("%d conditions of the new patient", len(got))
	}
	if a := c.get("/Condition/" + refs[0].ID); a.StatusCode != http.StatusGone {
		t.Errorf("a deleted resource: status %d", a.StatusCode)
	}
	// Since the last transactionTime nothing happened.
	later, _ := c.export("/$export?_since=" + url.QueryEscape(m.TransactionTime))
	if len(later.Output) != 0 || len(later.Deleted) != 0 {
		t.Errorf("a third export has %d files, %d deleted", len(later.Output), len(later.Deleted))
	}
}

// TestBundlesAreResourcesToo: files of deletions and of outcomes are apart from
// those of resources of these types.
func TestBundlesAreResourcesToo(t *testing.T) {
	dir := t.TempDir()
	for typ, line := range map[string]string{
		"Bundle":           `{"resourceType":"Bundle","id":"b","type":"collection"}`,
		"OperationOutcome": `{"resourceType":"OperationOutcome","id":"o","issue":[]}`,
		"Basic":            `{"resourceType":"Basic","id":"x"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, typ+".ndjson"), []byte(line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &Server{Data: openData(t, dir)}
	c := serve(t, s)
	if _, err := s.Data.Delete(store.Reference{Type: "Basic", ID: "x"}); err != nil {
		t.Fatal(err)
	}
	m, lines := c.export("/$export?_since=2000-01-01T00:00:00Z&_foo=1", "Prefer", "handling=lenient")
	if len(m.Output) != 2 || !strings.Contains(lines["Bundle"][0], `"id":"b"`) || !strings.Contains(lines["OperationOutcome"][0], `"id":"o"`) {
		t.Errorf("output %+v", lines)
	}
	if got := c.lines(m.Deleted)["Bundle"]; len(got) != 1 || !strings.Contains(got[0], "Basic/x") {
		t.Errorf("deleted %v", got)
	}
	if got := c.lines(m.Error)["OperationOutcome"]; len(got) != 1 || !strings.Contains(got[0], "_foo") {
		t.Errorf("error %v", got)
	}
}

// TestRunningExportKeepsItsMoment: what changes after the kick-off is not in
// the export.
func TestRunningExportKeepsItsMoment(t *testing.T) {
	s := &Server{ExportDuration: 100 * time.Millisecond}
	c := serve(t, s)
	location := c.kickOff("/$export?_type=Patient")
	if _, err := s.Data.Put([]byte(`{"resourceType":"Patient","id":"late"}`)); err != nil {
		t.Fatal(err)
	}
	m := c.wait(location)
	same(t, "Patient", c.lines(m.Output)["Patient"], fileLines(t, populationDir(t), "Patient"))
	if _, lines := c.export("/$export?_type=Patient&_since=" + url.QueryEscape(m.TransactionTime)); len(lines["Patient"]) != 1 {
		t.Errorf("the late patient came %d times with the next export", len(lines["Patient"]))
	}
}

// TestP29LinkedManifests: each page has its share of the files, and what was
// ignored stands on the last.
func TestP29LinkedManifests(t *testing.T) {
	c := serve(t, &Server{ManifestPage: 4, FileLines: 10})
	location := c.kickOff("/$export?_type=Patient,Encounter&_foo=1", "Prefer", "handling=lenient")
	c.wait(location)
	seen := map[string]bool{}
	pages, count := 0, 0
	for target := location; target != ""; pages++ {
		var m Manifest
		if err := json.Unmarshal(c.get(target).body, &m); err != nil {
			t.Fatal(err)
		}
		target = ""
		if len(m.Link) > 0 {
			target = m.Link[0].URL
			if len(m.Output) != 4 || len(m.Error) != 0 || m.Link[0].Relation != "next" {
				t.Errorf("page %d: %d files, %d errors", pages, len(m.Output), len(m.Error))
			}
		} else if len(m.Error) != 1 {
			t.Errorf("the last page has %d errors", len(m.Error))
		}
		for _, f := range m.Output {
			if seen[f.URL] {
				t.Errorf("%s is listed twice", f.URL)
			}
			seen[f.URL] = true
			count += f.Count
		}
	}
	want := len(fileLines(t, populationDir(t), "Patient")) + len(fileLines(t, populationDir(t), "Encounter"))
	if count != want || pages < 5 {
		t.Errorf("%d resources on %d pages, want %d", count, pages, want)
	}
	for _, page := range []string{"0", "x", "99"} {
		if a := c.get(location + "?page=" + page); a.StatusCode != http.StatusNotFound {
			t.Errorf("page %s: status %d", page, a.StatusCode)
		}
	}
}

func TestEditManifest(t *testing.T) {
	c := serve(t, &Server{EditManifest: func(m *Manifest) {
		m.Output[0].Count++
		m.Output = append(m.Output, m.Output[0])
	}})
	m := c.wait(c.kickOff("/$export?_type=Patient"))
	if len(m.Output) != 2 || m.Output[0].Count != 61 || m.Output[1] != m.Output[0] {
		t.Errorf("manifest %+v", m.Output)
	}
}

func TestDeleteEndsAnExport(t *testing.T) {
	c := serve(t, &Server{ExportDuration: time.Hour, MaxJobs: 1})
	location := c.kickOff("/$export")
	a := c.get("/$export", kickOffHeader...)
	if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" || !bytes.Contains(a.body, []byte("throttled")) {
		t.Errorf("a second export: status %d %s", a.StatusCode, a.body)
	}
	if a := c.get(location + "/Patient.000001.ndjson"); a.StatusCode != http.StatusNotFound {
		t.Errorf("a file of a running export: status %d", a.StatusCode)
	}
	if a := c.do(http.MethodDelete, location, ""); a.StatusCode != http.StatusAccepted {
		t.Errorf("DELETE: status %d", a.StatusCode)
	}
	if a := c.get(location); a.StatusCode != http.StatusNotFound || !bytes.Contains(a.body, []byte("OperationOutcome")) {
		t.Errorf("status after DELETE: %d", a.StatusCode)
	}
	if a := c.do(http.MethodDelete, location, ""); a.StatusCode != http.StatusNotFound {
		t.Errorf("second DELETE: status %d", a.StatusCode)
	}
	c.kickOff("/$export")
}

func TestClockedLimits(t *testing.T) {
	now := time.Now()
	s := &Server{
		Now: func() time.Time { return now }, ExportDuration: 10 * time.Second, RetryAfter: 1500 * time.Millisecond, MinPoll: time.Second,
		JobExpiry: time.Hour, FileExpiry: time.Minute,
	}
	c := serve(t, s)
	location := c.kickOff("/$export?_type=Patient")
	now = now.Add(4 * time.Second)
	a := c.get(location)
	if a.StatusCode != http.StatusAccepted || a.Header.Get("Retry-After") != "2" || a.Header.Get("X-Progress") != "40% complete" && a.Header.Get("X-Progress") != "0% complete" {
		t.Errorf("after 4 s: status %d, %v", a.StatusCode, a.Header)
	}
	now = now.Add(500 * time.Millisecond)
	if a := c.get(location); a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") != "1" {
		t.Errorf("polled too early: status %d, %v", a.StatusCode, a.Header)
	}
	now = now.Add(10 * time.Second)
	m := c.waitClocked(location, &now)
	first := m.Output[0].URL
	if a := c.get(first); a.StatusCode != http.StatusOK {
		t.Errorf("a fresh link: status %d", a.StatusCode)
	}
	now = now.Add(2 * time.Minute)
	if a := c.get(first); a.StatusCode != http.StatusGone {
		t.Errorf("an old link: status %d", a.StatusCode)
	}
	// P35: the manifest has fresh links to the same files.
	again := c.waitClocked(location, &now)
	if again.Output[0].URL == first || again.TransactionTime != m.TransactionTime {
		t.Error("the manifest's links are not renewed, or its transactionTime changed")
	}
	if a := c.get(again.Output[0].URL); a.StatusCode != http.StatusOK {
		t.Errorf("a renewed link: status %d", a.StatusCode)
	}
	now = now.Add(time.Hour)
	if a := c.get(location); a.StatusCode != http.StatusNotFound {
		t.Errorf("an expired export: status %d", a.StatusCode)
	}
	if a := c.get(again.Output[0].URL); a.StatusCode != http.StatusNotFound {
		t.Errorf("a file of an expired export: status %d", a.StatusCode)
	}
}

// waitClocked polls with a clock of the test, a minute and more apart.
func (c *client) waitClocked(location string, now *time.Time) Manifest {
	c.t.Helper()
	for range 1000 {
		a := c.get(location)
		if a.StatusCode == http.StatusOK {
			if a.Header.Get("Expires") == "" {
				c.t.Error("a complete export without Expires")
			}
			var m Manifest
			if err := json.Unmarshal(a.body, &m); err != nil {
				c.t.Fatal(err)
			}
			return m
		}
		time.Sleep(time.Millisecond)
		*now = now.Add(2 * time.Second)
	}
	c.t.Fatal("the export does not end")
	return Manifest{}
}

func TestCloseEndsExports(t *testing.T) {
	data := openData(t, populationDir(t))
	s := &Server{Data: data}
	c := serve(t, s)
	c.kickOff("/$export?_typeFilter=Observation%3Fstatus%3Dfinal")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if a := c.get("/$export", kickOffHeader...); a.StatusCode == http.StatusAccepted {
		t.Error("a closed server starts exports")
	}
	if left, err := data.View().First("Patient", 1); err != nil || len(left) != 1 {
		t.Errorf("the data is closed with the server: %v", err)
	}
}
