package export

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// finished is the manifest that one status answer leads to.
func finished(t *testing.T, byURL map[string]*answer) (*Manifest, error) {
	t.Helper()
	m, _, err := clientOf(pages(byURL)).Status(t.Context(), statusURL)
	return m, err
}

func TestP28P30ManifestShapes(t *testing.T) {
	files := "https://ehr.example.org/f/"
	file := func(typ, name string, count int64, n int) File {
		return File{Type: typ, URL: files + name, Count: count, Size: -1, Ordinal: n, Token: true}
	}
	for _, tc := range []struct {
		name, body string
		want       Manifest
	}{
		{
			"STU2",
			manifest(`,"output":[{"type":"Patient","url":"` + files + `1","count":3},{"type":"Observation","url":"` + files + `2"}],
				"error":[{"type":"OperationOutcome","url":"` + files + `e"}],"deleted":[{"type":"Bundle","url":"` + files + `d","count":1}],
				"extension":{"http://x":true}`),
			Manifest{
				Output:    []File{file("Patient", "1", 3, 0), file("Observation", "2", -1, 1)},
				Error:     []File{file("OperationOutcome", "e", -1, 0)},
				Deleted:   []File{file("Bundle", "d", 1, 0)},
				Extension: []byte(`{"http://x":true}`),
				Pages:     []Page{{Output: 2, Error: 1, Deleted: 1}},
			},
		},
		{
			"STU4",
			manifest(`,"resourceType":"http://hl7.org/fhir/uv/bulkdata/StructureDefinition/BulkDataManifest","outputFormat":"x",
				"outputOrganizedBy":"Patient","output":[{"url":"` + files + `1","continuesInFile":"` + files + `2","fileSize":77},{"url":"` + files + `2"}],
				"outcome":[{"url":"` + files + `o","countSeverity":[{"code":"error","count":1}]}],"error":[{"url":"` + files + `e"}],
				"extension":[{"url":"http://x","valueBoolean":true}]`),
			Manifest{
				OutputOrganizedBy: "Patient",
				Output:            []File{{URL: files + "1", Count: -1, Size: 77, Token: true, ContinuesIn: files + "2"}, file("", "2", -1, 1)},
				Error:             []File{file("", "e", -1, 0), file("", "o", -1, 1)},
				Extension:         []byte(`[{"url":"http://x","valueBoolean":true}]`),
				Pages:             []Page{{Output: 2, Error: 2}},
			},
		},
		{
			"F26 F28: empty, and relative to the manifest",
			manifest(`,"output":[],"error":null,"deleted":[{"url":"../f/d","count":"12"}],"link":[]`),
			Manifest{Deleted: []File{{URL: base + "/f/d", Count: 12, Size: -1, Token: true}}, Pages: []Page{{Deleted: 1}}},
		},
		{
			"F29: types missing and hostile, F27: twice, F30: under several types",
			manifest(`,"output":[{"url":"` + files + `1"},{"type":"../../etc","url":"` + files + `2","count":-4},
				{"type":"New","url":"` + files + `3","count":1.5},{"type":"Patient","url":"` + files + `4","count":2},
				{"type":"Patient","url":"` + files + `4","count":2},{"type":"Group","url":"` + files + `5","count":2},
				{"type":"Basic","url":"` + files + `5","count":3},{"type":"Basic","url":"` + files + `6"}]`),
			Manifest{
				Output: []File{
					file("", "1", -1, 0), file("", "2", -1, 1), file("New", "3", -1, 2), file("Patient", "4", 2, 3),
					file("", "5", 5, 5), file("Basic", "6", -1, 7),
				},
				Pages: []Page{{Output: 8}},
				Warnings: []string{
					"a file's type is no name of a type: its lines say what they are",
					"a file is listed more than once: it is fetched once (2 times)",
				},
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := finished(t, map[string]*answer{statusURL: reply(200, tc.body)})
			if err != nil {
				t.Fatal(err)
			}
			tc.want.TransactionTime = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
			tc.want.RequiresAccessToken = true
			tc.want.Request = base + "/$export?_type"
			if diff := cmp.Diff(tc.want, *got, cmpopts.IgnoreUnexported(Manifest{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestP28WhatServersGetWrong(t *testing.T) {
	for _, tc := range []struct {
		body     string
		time     string
		token    bool
		warnings int
	}{
		{`{"transactionTime":"2025-01-01T02:00:00.5+0200","requiresAccessToken":"false","output":[]}`, "2025-01-01T00:00:00.5Z", false, 0},
		{`{"transactionTime":"2025-01-01T02:00:00","requiresAccessToken":false}`, "2025-01-01T02:00:00Z", false, 1},
		{`{"transactionTime":"yesterday","output":[]}`, "0001-01-01T00:00:00Z", true, 2},
		{`{"output":[],"requiresAccessToken":null,"request":7,"link":null}`, "0001-01-01T00:00:00Z", true, 2},
	} {
		m, err := finished(t, map[string]*answer{statusURL: reply(200, tc.body)})
		if err != nil {
			t.Errorf("%s: %v", tc.body, err)
			continue
		}
		if got := m.TransactionTime.Format(time.RFC3339Nano); got != tc.time || m.RequiresAccessToken != tc.token || len(m.Warnings) != tc.warnings {
			t.Errorf("%s: %s, token %v, %q", tc.body, got, m.RequiresAccessToken, m.Warnings)
		}
	}
	for _, body := range []string{
		`[]`, `7`, ``, `{}`, `{"output":{}}`, `{"output":[7]}`, `{"output":[null],"requiresAccessToken":true}`, `{"output":[{}]}`,
		`{"output":[{"url":7}]}`, `{"output":[],"output":[]}`, `{"output":[{"url":"https://a.b/1","url":"https://a.b/2"}]}`,
		`{"resourceType":"Bundle","output":[]}`, `{"output":[],"requiresAccessToken":7}`, `{"output":[],"link":7}`,
		`{"output":[{"url":"http://elsewhere.example.org/x"}]}`, `{"output":[{"url":"file:///etc/passwd"}]}`,
		`{"output":[],"link":[{"relation":"next","url":"ftp://x/"}]}`, `{"output":[]} {}`,
	} {
		_, err := finished(t, map[string]*answer{statusURL: reply(200, body)})
		var pe *ProtocolError
		if !errors.As(err, &pe) || class(t, err) != "server" {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// P32: each list's files need a token where the manifest says so, and where it says
// nothing, or nothing readable, the token is sent as to the server itself.
func TestP32FilesNeedATokenAsTheManifestSays(t *testing.T) {
	for says, want := range map[string]bool{
		`,"requiresAccessToken":true`: true, `,"requiresAccessToken":false`: false, `,"requiresAccessToken":"false"`: false, ``: true,
	} {
		m, err := finished(t, map[string]*answer{statusURL: reply(200, `{"transactionTime":"2025-01-01T00:00:00Z"`+says+`,
			"output":[{"type":"Patient","url":"/f/1"}],"error":[{"url":"/f/2"}],"deleted":[{"url":"/f/3"}]}`)})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []File{m.Output[0], m.Error[0], m.Deleted[0]} {
			if f.Token != want {
				t.Errorf("%q: %s with token %v, want %v", says, f.URL, f.Token, want)
			}
		}
	}
}

func TestP29LinkedManifests(t *testing.T) {
	part := func(n int, rest string) *answer {
		return reply(200, manifest(fmt.Sprintf(`,"output":[{"type":"Patient","url":"/f/%d"}],"error":[{"url":"/f/e"}]%s`, n, rest)))
	}
	next := func(u string) string {
		return `,"link":[{"relation":"self","url":"x"},{"relation":"next","url":"` + u + `"}]`
	}
	at := func(path string) string { return "https://ehr.example.org/" + path }

	m, err := finished(t, map[string]*answer{
		statusURL: part(1, next("/m/2?p=2")), at("m/2?p=2"): part(2, next("3")), at("m/3"): part(3, ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range m.Output {
		got = append(got, fmt.Sprint(f.Ordinal, " ", f.URL))
	}
	if diff := cmp.Diff([]string{"0 " + at("f/1"), "1 " + at("f/2"), "2 " + at("f/3")}, got); diff != "" {
		t.Error(diff)
	}
	if len(m.Error) != 1 || len(m.Warnings) != 0 {
		t.Errorf("the error list, which each manifest repeats: %d files, warnings %q", len(m.Error), m.Warnings)
	}

	for name, byURL := range map[string]map[string]*answer{
		"circle":        {statusURL: part(1, next("/m/2")), at("m/2"): part(2, next("/m/2"))},
		"circle to one": {statusURL: part(1, next(statusURL))},
		"other export":  {statusURL: part(1, next("/m/2")), at("m/2"): reply(200, strings.Replace(part(2, "").body, "2025", "2024", 1))},
		"outcome":       {statusURL: part(1, next("/m/2")), at("m/2"): reply(200, outcome("error", "processing", ""))},
	} {
		if _, err := finished(t, byURL); class(t, err) != "server" || strings.HasPrefix(name, "circle") != strings.Contains(err.Error(), "circle") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The same instant in another form is the same export.
	if _, err := finished(t, map[string]*answer{
		statusURL: part(1, next("/m/2")), at("m/2"): reply(200, strings.Replace(part(2, "").body, "2025-01-01T00:00:00Z", "2025-01-01T01:00:00+01:00", 1)),
	}); err != nil {
		t.Errorf("same instant: %v", err)
	}
}

func TestP29LinksWithoutEnd(t *testing.T) {
	n := 0
	f := &fake{do: func(int, *http.Request) (*http.Response, error) {
		n++
		return reply(200, manifest(fmt.Sprintf(`,"output":[],"link":[{"relation":"next","url":"/m/%d"}]`, n))).response()
	}}
	_, _, err := clientOf(f).Status(t.Context(), statusURL)
	if class(t, err) != "server" || f.count() != maxPages {
		t.Errorf("%v after %d manifests", err, f.count())
	}
}

func TestP29LinkedManifestNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		f := &fake{do: func(_ int, r *http.Request) (*http.Response, error) {
			switch {
			case r.URL.Path == "/fhir/status/1":
				return reply(200, manifest(`,"output":[],"link":[{"relation":"next","url":"/m/2"}]`)).response()
			case time.Since(start) < time.Hour:
				return reply(202, "", "Retry-After", "60").response()
			}
			return reply(200, manifest(`,"output":[{"type":"Patient","url":"/f/1"}]`)).response()
		}}
		m, err := clientOf(f).Poll(t.Context(), statusURL, nil)
		if err != nil || len(m.Output) != 1 {
			t.Errorf("%v %+v", err, m)
		}
	})
}

func TestPartialManifests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		f := &fake{do: func(_ int, r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/m/2" {
				if n < 3 {
					return reply(404, "").response()
				}
				return reply(200, manifest(`,"output":[{"type":"Patient","url":"/f/2"}]`)).response()
			}
			n++
			body := manifest(`,"output":[{"type":"Patient","url":"/f/1"}],"link":[{"relation":"next","url":"/m/2"}]`)
			switch n {
			case 1:
				return reply(202, "").response()
			case 2, 3:
				return reply(202, body, "Content-Type", "application/json").response()
			}
			return reply(200, body).response()
		}}
		var sizes []int
		m, err := clientOf(f).Poll(t.Context(), statusURL, func(p Progress) {
			if p.Partial == nil {
				sizes = append(sizes, -1)
				return
			}
			sizes = append(sizes, len(p.Partial.Output))
		})
		if err != nil || len(m.Output) != 2 || fmt.Sprint(sizes) != "[-1 1 2]" {
			t.Errorf("%v, partial %v, %+v", err, sizes, m)
		}
	})
}

// A manifest that a partial one links to may be answered with 202 as well: more
// files will follow it. The complete list waits for it.
func TestPartialManifestLinked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		polls, pages := 0, 0
		f := &fake{do: func(_ int, r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/m/2" {
				if pages++; pages < 4 {
					return reply(202, manifest(`,"output":[{"type":"Patient","url":"/f/2"}]`)).response()
				}
				return reply(200, manifest(`,"output":[{"type":"Patient","url":"/f/2"},{"type":"Patient","url":"/f/3"}]`)).response()
			}
			body := manifest(`,"output":[{"type":"Patient","url":"/f/1"}],"link":[{"relation":"next","url":"/m/2"}]`)
			if polls++; polls == 1 {
				return reply(202, body).response()
			}
			return reply(200, body).response()
		}}
		partial := 0
		m, err := clientOf(f).Poll(t.Context(), statusURL, func(p Progress) { partial = len(p.Partial.Output) })
		if err != nil || partial != 2 || len(m.Output) != 3 {
			t.Errorf("%v, %d files of the partial manifest, want 2; %+v", err, partial, m)
		}
	})
}

func TestP35RefreshKeepsOrdinals(t *testing.T) {
	sign := 0
	f := &fake{do: func(int, *http.Request) (*http.Response, error) {
		sign++
		return reply(200, manifest(fmt.Sprintf(`,"output":[{"type":"Patient","url":"/f/1?s=%d"},{"type":"Patient","url":"/f/1?s=%[1]d"},
			{"type":"Patient","url":"/f/2?s=%[1]d"}]`, sign))).response()
	}}
	c := clientOf(f)
	m1, err1 := c.Refresh(t.Context(), statusURL)
	m2, err2 := c.Refresh(t.Context(), statusURL)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	for i := range m1.Output {
		if m1.Output[i].Ordinal != m2.Output[i].Ordinal || m1.Output[i].URL == m2.Output[i].URL {
			t.Errorf("%+v became %+v", m1.Output[i], m2.Output[i])
		}
	}
}

func TestRequestIsKeptWithoutValues(t *testing.T) {
	for in, want := range map[string]string{
		"https://a.b/fhir/Patient/$export?_type=Patient&_typeFilter=Patient%3Fname%3DSmith&_typeFilter=x&=&y": "https://a.b/fhir/Patient/$export?_type&_typeFilter&y",
		"https://u:p@a.b/x": "https://a.b/x", "": "", "$export?a=1": "", "::": "",
	} {
		if got := requestNames(in); got != want {
			t.Errorf("requestNames(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(manifest(`,"output":[{"type":"Patient","url":"/f/1","count":3}],"error":[],"link":[{"relation":"next","url":"/2"}]`)))
	f.Add([]byte(`{"transactionTime":7,"output":[{"url":"https://x.y/a"},{"url":"https://x.y/a","type":"A"}],"deleted":null}`))
	f.Add([]byte(`{"output":[],"link":{"relation":"next","url":"a"},"extension":[1]}`))
	p := clientOf(nil).policy()
	from := mustURL(statusURL)
	f.Fuzz(func(t *testing.T, body []byte) {
		w, err := parseManifest(body)
		if err != nil {
			if len(err.Error()) > 200 {
				t.Errorf("long error: %v", err)
			}
			return
		}
		b := newBuilder(p)
		if b.add(w, from) != nil {
			return
		}
		m := b.done()
		listed := 0
		for _, l := range [][]File{m.Output, m.Error, m.Deleted} {
			listed += len(l)
			for i, f := range l {
				u := mustURL(f.URL)
				if p.Check(u) != nil || i > 0 && f.Ordinal <= l[i-1].Ordinal || strings.ContainsAny(f.Type, "/.\\ ") || f.Count < -1 {
					t.Errorf("file %+v", f)
				}
			}
		}
		if got := len(w.Output) + len(w.Error) + len(w.Outcome) + len(w.Deleted); listed > got {
			t.Errorf("%d files of %d entries", listed, got)
		}
	})
}
