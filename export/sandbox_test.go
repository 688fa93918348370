package export_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/export/sandbox"
	"github.com/flue-fhir/flue/export/sandbox/population"
	"github.com/flue-fhir/flue/export/sandbox/store"
	"github.com/flue-fhir/flue/export/search"
)

// serve starts a sandbox over a small population and returns its base URL and the
// lines that it holds, by type.
func serve(t *testing.T, s *sandbox.Server) (base *url.URL, truth map[string][]string) {
	t.Helper()
	dir, err := population.Population{Patients: 25, Seed: 5}.Dir(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	data, err := store.Open(t.Context(), store.Options{Dir: dir, Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s.Data, s.Temp = data, t.TempDir()
	ts := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		ts.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		_ = data.Close()
	})
	truth = map[string][]string{}
	files, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no data: %v", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		typ := strings.TrimSuffix(filepath.Base(f), ".ndjson")
		truth[typ] = lines(string(b))
	}
	base, err = url.Parse(ts.URL + "/fhir")
	if err != nil {
		t.Fatal(err)
	}
	return base, truth
}

func lines(s string) []string {
	l := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	slices.Sort(l)
	return l
}

// TestWholeExport takes the client through an export of a strict server, with a
// manifest in pages, links that change, and bodies that are cut twice each.
func TestWholeExport(t *testing.T) {
	base, truth := serve(t, &sandbox.Server{ExportDuration: 200 * time.Millisecond, FileLines: 40, ManifestPage: 3, FileExpiry: time.Hour})
	c := &export.Client{
		Base: base, HTTP: &http.Client{}, Bare: &http.Client{}, Fresh: &http.Client{Transport: export.OneShot(&http.Transport{})},
		Limits: export.PollLimits{Min: 200 * time.Millisecond},
	}
	about, err := c.Capability(t.Context())
	if err != nil || about.FHIRVersion != "4.0.1" || !about.SystemExport || !about.PatientExport || !about.GroupExport {
		t.Fatalf("capability: %v %+v", err, about)
	}
	types := slices.Sorted(maps.Keys(truth))
	for _, post := range []bool{false, true} {
		k, err := c.KickOff(t.Context(), export.Request{Level: export.System, Types: types, Post: post})
		if err != nil {
			t.Fatal(err)
		}
		polls := 0
		m, err := c.Poll(t.Context(), k.StatusURL, func(export.Progress) { polls++ })
		if err != nil || polls == 0 {
			t.Fatalf("poll: %v after %d polls", err, polls)
		}
		again, err := c.Refresh(t.Context(), k.StatusURL)
		if err != nil || len(again.Output) != len(m.Output) {
			t.Fatalf("refresh: %v, %d files, then %d", err, len(m.Output), len(again.Output))
		}
		got := map[string][]string{}
		for i, f := range m.Output {
			if again.Output[i].Ordinal != f.Ordinal || again.Output[i].Type != f.Type {
				t.Errorf("file %d: %s %d became %s %d", i, f.Type, f.Ordinal, again.Output[i].Type, again.Output[i].Ordinal)
			}
			text := fetch(t, c, f)
			l := lines(text)
			if f.Count != int64(len(l)) {
				t.Errorf("%s: %d lines, the manifest says %d", f.Type, len(l), f.Count)
			}
			got[f.Type] = append(got[f.Type], l...)
		}
		for _, l := range got {
			slices.Sort(l)
		}
		if diff := cmp.Diff(truth, got); diff != "" {
			t.Errorf("post %v: %s", post, diff)
		}
		if err := c.Delete(t.Context(), k.StatusURL); err != nil {
			t.Errorf("delete: %v", err)
		}
		if _, _, err := c.Status(t.Context(), k.StatusURL); err == nil {
			t.Error("a deleted export has a status")
		}
	}
}

// fetch reads a file in three openings and decodes it.
func fetch(t *testing.T, c *export.Client, f export.File) string {
	t.Helper()
	var raw bytes.Buffer
	validator, encoding := "", ""
	for n := range 3 {
		b, err := c.Open(t.Context(), f, int64(raw.Len()), validator)
		if err != nil {
			t.Fatal(err)
		}
		if b.Offset != int64(raw.Len()) || n > 0 && b.Encoding != encoding {
			t.Fatalf("asked for %d, got %d; encoding %q after %q", raw.Len(), b.Offset, b.Encoding, encoding)
		}
		validator, encoding = b.Validator, b.Encoding
		piece := b.Length / 3
		if n == 2 {
			piece = b.Length
		}
		_, err = io.CopyN(&raw, b, piece)
		if n == 2 && err == io.EOF {
			err = nil
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = b.Close()
	}
	if encoding == "" {
		return raw.String()
	}
	zr, err := gzip.NewReader(&raw)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestGroupExport(t *testing.T) {
	base, truth := serve(t, &sandbox.Server{})
	s := &search.Client{Base: base, HTTP: &http.Client{}}
	if len(truth["Group"]) == 0 {
		t.Skip("the population has no groups")
	}
	_, name, _ := strings.Cut(truth["Group"][0], `"name":"`)
	name, _, _ = strings.Cut(name, `"`)
	id, err := s.GroupByName(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	var members []string
	if err := s.Members(t.Context(), id, func(id string) error { members = append(members, id); return nil }); err != nil || len(members) == 0 {
		t.Fatalf("%d members, %v", len(members), err)
	}
	c := &export.Client{Base: base, HTTP: &http.Client{}, Limits: export.PollLimits{Min: 50 * time.Millisecond}}
	for _, r := range []export.Request{
		{Level: export.Group, Group: id, Types: []string{"Patient"}},
		{Level: export.Group, Group: id, Types: []string{"Patient"}, Patients: members[:1]},
	} {
		k, err := c.KickOff(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.Poll(t.Context(), k.StatusURL, nil)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		for _, f := range m.Output {
			n += len(lines(fetch(t, c, f)))
		}
		want := len(members)
		if r.Patients != nil {
			want = 1
		}
		if n != want {
			t.Errorf("%d patients, want %d", n, want)
		}
	}
}

// TestWholeSearch reads everything by searches, in small pages.
func TestWholeSearch(t *testing.T) {
	base, truth := serve(t, &sandbox.Server{})
	c := &search.Client{Base: base, HTTP: &http.Client{}, Count: 7}
	r := search.Request{Types: slices.Sorted(maps.Keys(truth)), Batch: 4}
	var ids []string
	listed, err := c.Patients(t.Context(), r, func(id string) error { ids = append(ids, id); return nil })
	if err != nil || len(ids) != len(truth["Patient"]) || listed.Short || time.Since(listed.Date) > time.Minute {
		t.Fatalf("%d patients, %v, %v", len(ids), listed.Warnings, err)
	}
	got := map[string]map[string]bool{}
	pages := int64(0)
	for p := range c.Partitions(r, ids) {
		var out bytes.Buffer
		res, err := c.Read(t.Context(), p, &out)
		if err != nil {
			t.Fatalf("%s: %v", p.Key, err)
		}
		if len(res.Warnings) > 0 || len(res.Outcomes) > 0 {
			t.Errorf("%s: %q %v", p.Key, res.Warnings, res.Outcomes)
		}
		pages += res.Pages
		n := int64(0)
		for sc := bufio.NewScanner(&out); sc.Scan(); n++ {
			if got[p.Type] == nil {
				got[p.Type] = map[string]bool{}
			}
			got[p.Type][sc.Text()] = true // twice is allowed: a resource may have several patients (F53)
		}
		if n != res.Resources {
			t.Errorf("%s: %d lines, result says %d", p.Key, n, res.Resources)
		}
	}
	if pages < 100 {
		t.Errorf("only %d pages: the paging is not tested", pages)
	}
	for typ, want := range truth {
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got[typ]))); diff != "" {
			missing := fmt.Sprintf("%d of %d", len(got[typ]), len(want))
			t.Errorf("%s: %s", typ, missing)
		}
	}
}
