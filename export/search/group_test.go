package search

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func group(id, name, identifier string) string {
	return fmt.Sprintf(`{"resource":{"resourceType":"Group","id":%q,"name":%q,"identifier":[{"value":%q}]}}`, id, name, identifier)
}

func TestGroupByName(t *testing.T) {
	all := []string{group("1", "diabetes", "D-1"), group("2", "asthma", "A"), group("3", "asthma", "B"), group("4", "x", "diabetes 2")}
	for _, tc := range []struct {
		name, by string // how the server answers a search by name
		want     string
		found    int
	}{
		{"diabetes", "ignores", "1", 0},
		{"diabetes", "refuses", "1", 0},
		{"diabetes", "none", "1", 0},
		{"diabetes 2", "refuses", "4", 0},
		{"D-1", "none", "1", 0},
		{"asthma", "ignores", "", 2},
		{"nobody", "ignores", "", 0},
		{"DIABETES", "ignores", "", 0},
	} {
		s := &server{do: func(_ int, r *http.Request) *http.Response {
			if r.URL.Query().Has("name") {
				switch {
				case r.URL.Query().Get("name") != tc.name:
					t.Errorf("asked for %q", r.URL.Query().Get("name"))
				case tc.by == "refuses":
					return reply(400, "")
				case tc.by == "none":
					return reply(200, searchset(""))
				}
			}
			if r.URL.Path == "/p2" {
				return reply(200, searchset("", all[2:]...))
			}
			return reply(200, searchset("/p2", all[:2]...))
		}}
		id, err := s.client().GroupByName(t.Context(), tc.name)
		var ge *GroupError
		switch {
		case tc.want != "" && (err != nil || id != tc.want):
			t.Errorf("%s, %s: %q %v", tc.name, tc.by, id, err)
		case tc.want == "" && (!errors.As(err, &ge) || ge.Found != tc.found || class(t, err) != "usage" || strings.Contains(err.Error(), tc.name)):
			t.Errorf("%s, %s: %q %v", tc.name, tc.by, id, err)
		}
	}
	s := &server{do: func(int, *http.Request) *http.Response { return reply(403, "") }}
	if _, err := s.client().GroupByName(t.Context(), "x"); class(t, err) != "auth" || len(s.seen) != 1 {
		t.Errorf("403: %v", err)
	}
}

func TestMembers(t *testing.T) {
	member := func(ref string) string { return `{"entity":{"reference":"` + ref + `"}}` }
	serve := func(byID map[string]string) *server {
		return &server{do: func(_ int, r *http.Request) *http.Response {
			if body, ok := byID[strings.TrimPrefix(r.URL.EscapedPath(), "/fhir/Group/")]; ok {
				return reply(200, body)
			}
			return reply(404, "")
		}}
	}
	of := func(members ...string) string {
		return `{"resourceType":"Group","actual":true,"member":[` + strings.Join(members, ",") + `]}`
	}
	list := func(s *server, group string) (ids []string, err error) {
		err = s.client().Members(t.Context(), group, func(id string) error { ids = append(ids, id); return nil })
		return ids, err
	}
	got, err := list(serve(map[string]string{
		"a%2Fb": of(member("Patient/1"), member("https://ehr.example.org/fhir/Patient/2/_history/7"), member("Patient/1"),
			`{"inactive":true,"entity":{"reference":"Patient/3"}}`, member("Practitioner/9"), member("Group/n")),
		"n": of(member("Patient/4"), member("Patient/2"), member("Group/n")),
	}), "a/b")
	if err != nil || fmt.Sprint(got) != "[1 2 4]" {
		t.Errorf("%v %v", got, err)
	}
	if got, err = list(serve(map[string]string{"g": `{"resourceType":"Group"}`}), "g"); err != nil || got != nil {
		t.Errorf("empty: %v %v", got, err)
	}
	for name, body := range map[string]string{
		"by definition":   `{"resourceType":"Group","actual":false}`,
		"not a group":     `{"resourceType":"Patient"}`,
		"odd member":      of(member("urn:uuid:1")),
		"by identifier":   of(`{"entity":{"identifier":{"value":"7"}}}`),
		"outcome":         `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"processing"}]}`,
		"duplicate lists": `{"resourceType":"Group","member":[],"member":[]}`,
	} {
		if got, err := list(serve(map[string]string{"g": body}), "g"); class(t, err) != "server" || got != nil {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	if _, err := list(serve(map[string]string{"g": of(member("Group/gone"))}), "g"); class(t, err) != "server" {
		t.Errorf("a nested group that is gone: %v", err)
	}
}
