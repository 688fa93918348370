package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestElements(t *testing.T) {
	c := serve(t, &Server{})
	_, lines := c.export("/$export?_type=Observation,Patient&_elements=Observation.value,birthDate")
	for typ, keep := range map[string][]string{
		"Observation": {"resourceType", "id", "meta", "status", "code", "value", "_value"},
		"Patient":     {"resourceType", "id", "meta", "birthDate", "_birthDate"},
	} {
		full := fileLines(t, populationDir(t), typ)
		if len(lines[typ]) != len(full) {
			t.Fatalf("%d of %d lines", len(lines[typ]), len(full))
		}
		for i, line := range lines[typ] {
			got, want := decode(t, line), decode(t, full[i])
			for name, v := range want {
				kept := slices.Contains(keep, name) || typ == "Observation" && strings.HasPrefix(strings.TrimPrefix(name, "_"), "value")
				if _, there := got[name]; there != kept {
					t.Fatalf("%s.%s: kept is %v, want %v", typ, name, there, kept)
				}
				if kept && name != "meta" && fmt.Sprint(got[name]) != fmt.Sprint(v) {
					t.Fatalf("%s.%s changed", typ, name)
				}
			}
			tag := got["meta"].(map[string]any)["tag"].([]any)[0].(map[string]any)
			if tag["code"] != "SUBSETTED" {
				t.Fatalf("tag %v", tag)
			}
		}
	}
}

func TestTypeFilter(t *testing.T) {
	c := serve(t, &Server{})
	all := fileLines(t, populationDir(t), "Observation")
	with := func(parts ...string) []string {
		return only(all, func(l string) bool {
			return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(l, p) })
		})
	}
	for _, tt := range []struct {
		filters []string
		want    []string
	}{
		{[]string{"Observation?code=http://loinc.org|8302-2"}, with(`"code":"8302-2"`)},
		{[]string{"Observation?code=8302-2,29463-7"}, only(all, func(l string) bool {
			return strings.Contains(l, `"code":"8302-2"`) || strings.Contains(l, `"code":"29463-7"`)
		})},
		{[]string{"Observation?code=8302-2", "Observation?code=29463-7"}, only(all, func(l string) bool {
			return strings.Contains(l, `"code":"8302-2"`) || strings.Contains(l, `"code":"29463-7"`)
		})},
		{[]string{"Observation?status=amended&category=vital-signs"}, with(`"status":"amended"`, `"code":"vital-signs"`)},
		// Two filters in one value: the comma in front of a type parts them.
		{[]string{"Observation?status=amended&category=vital-signs,Observation?status=amended&category=survey"}, only(with(`"status":"amended"`), func(l string) bool {
			return strings.Contains(l, `"code":"vital-signs"`) || strings.Contains(l, `"code":"survey"`)
		})},
	} {
		q := url.Values{"_type": {"Observation,Organization"}, "_typeFilter": tt.filters}
		_, lines := c.export("/$export?" + q.Encode())
		if len(tt.want) == 0 || len(tt.want) == len(all) {
			t.Fatalf("%v selects %d of %d", tt.filters, len(tt.want), len(all))
		}
		same(t, strings.Join(tt.filters, " or "), lines["Observation"], tt.want)
		same(t, "unfiltered type", lines["Organization"], fileLines(t, populationDir(t), "Organization"))
	}
}

// FuzzKickOff: whatever the query, a kick-off is accepted or refused with an
// OperationOutcome, and never fails.
func FuzzKickOff(f *testing.F) {
	s := &Server{Data: openData(f, populationDir(f))}
	f.Cleanup(func() { s.Close() })
	handler := s.Handler()
	for _, seed := range []string{
		"", "_type=Patient,Observation", "_since=2024-01-01T00:00:00%2B01:00&_until=2025-01-01T00:00:00Z", "_elements=Patient.name,id",
		"_typeFilter=Patient%3Fname%3Da%5C%2Cb,Observation%3Fcode%3Dx", "_outputFormat=ndjson", "%zz", "patient=Patient/1&_foo=%00",
	} {
		f.Add(seed, "handling=lenient")
	}
	f.Fuzz(func(t *testing.T, query, prefer string) {
		r := httptest.NewRequest(http.MethodGet, "/fhir/$export", nil)
		r.URL.RawQuery = query
		r.Header.Set("Accept", "application/fhir+json")
		r.Header["Prefer"] = []string{"respond-async", prefer}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusAccepted && (w.Code < 400 || w.Code > 499) || !strings.Contains(w.Body.String(), `"OperationOutcome"`) {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		if location := w.Header().Get("Content-Location"); location != "" {
			u, err := url.Parse(location)
			if err != nil {
				t.Fatal(err)
			}
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodDelete, u.Path, nil))
		}
	})
}

// FuzzSubset: of an object with any members comes an object that is tagged.
func FuzzSubset(f *testing.F) {
	for _, seed := range []string{`{}`, `{"meta":{}}`, `{"id":"x","meta":{"tag":[{"code":"a]"}]},"name":[1]}`, `{"meta":{"tag":[]}}`, `{"meta":null}`, `{"meta":{"tag":[[1]]}}`, ` { "a" : 1 } `} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var in map[string]json.RawMessage
		out := subset(line, map[string]bool{"id": true, "meta": true})
		if json.Unmarshal(line, &in) != nil || in == nil {
			return
		}
		var got map[string]json.RawMessage
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("subset(%q) = %q: %v", line, out, err)
		}
		if meta, ok := in["meta"]; (!ok || bytes.HasPrefix(meta, []byte("{"))) && !bytes.Contains(got["meta"], []byte("SUBSETTED")) {
			t.Fatalf("subset(%q) = %q is not tagged", line, out)
		}
	})
}
