package smart

import (
	"slices"
	"testing"
)

func TestP11ScopesForTypes(t *testing.T) {
	for _, c := range []struct {
		types []string
		level string
		o     ScopeOptions
		want  []string
	}{
		{nil, "system", ScopeOptions{}, []string{"system/*.read"}},
		{nil, "group", ScopeOptions{V2: true, Attachments: true}, []string{"system/*.rs"}},
		{[]string{"Patient", "Observation"}, "system", ScopeOptions{V2: true}, []string{"system/Patient.rs", "system/Observation.rs"}},
		{[]string{"Patient", "Patient"}, "patient", ScopeOptions{}, []string{"system/Patient.read"}},
		{[]string{"Patient"}, "group", ScopeOptions{V2: true, Attachments: true}, []string{"system/Patient.rs", "system/Group.rs", "system/Binary.rs"}},
		{[]string{"Observation"}, "group", ScopeOptions{Also: []string{"Patient", "Group"}}, []string{"system/Observation.read", "system/Patient.read", "system/Group.read"}},
	} {
		if got := ForTypes(c.types, c.level, c.o); !slices.Equal(got, c.want) {
			t.Errorf("%v %s %+v: got %v, want %v", c.types, c.level, c.o, got, c.want)
		}
	}
}

func TestParseScope(t *testing.T) {
	for text, want := range map[string]Scope{
		"system/Patient.read": {Context: "system", Type: "Patient", Letters: "rs"},
		"system/*.*":          {Context: "system", Type: "*", Letters: "cruds"},
		"user/Patient.write":  {Context: "user", Type: "Patient", Letters: "cud"},
		"system/Observation.rs?category=laboratory&a=b.c": {Context: "system", Type: "Observation", Letters: "rs", Query: "category=laboratory&a=b.c"},
		"patient/Encounter.d":                             {Context: "patient", Type: "Encounter", Letters: "d"},
		"openid":                                          {},
		"https://example.org/scope":                       {},
	} {
		want.Text = text
		if got, err := ParseScope(text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "a b", "système", `a"b`, "system/Patient", "system/.rs", "system/patient.rs", "system/Patient.", "system/Patient.sr", "system/Patient.rr", "system/Patient.rs?", "system/Pat*.rs"} {
		if got, err := ParseScope(bad); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, got)
		} else {
			wantError(t, err, "auth", "read scope", "system/Patient.rs")
		}
	}
}

func TestP16GrantedIsComparedByMeaning(t *testing.T) {
	for _, c := range []struct {
		requested, granted []string
		missing, partial   []string
	}{
		{[]string{"system/Patient.read"}, []string{"system/Patient.rs"}, nil, nil},
		{[]string{"system/Patient.rs"}, []string{"system/Patient.read"}, nil, nil},
		{[]string{"system/Patient.rs"}, []string{"system/Patient.*"}, nil, nil},
		{[]string{"system/Patient.rs"}, []string{"system/Patient.cruds"}, nil, nil},
		{[]string{"system/Patient.rs"}, []string{"system/Patient.r", "system/Patient.s"}, nil, nil},
		{[]string{"system/Patient.rs"}, []string{"system/*.r", "system/Patient.s"}, nil, nil},
		{[]string{"system/Patient.rs"}, []string{"system/Patient.r"}, []string{"system/Patient.rs"}, nil},
		{[]string{"system/Patient.*"}, []string{"system/Patient.read", "system/Patient.write"}, nil, nil},
		{[]string{"system/Patient.rs", "system/Group.rs"}, []string{"system/*.read"}, nil, nil},
		{[]string{"system/*.rs"}, []string{"system/Patient.rs", "system/Group.rs"}, []string{"system/*.rs"}, nil},
		{[]string{"system/Patient.rs"}, []string{"user/Patient.rs", "patient/*.rs"}, []string{"system/Patient.rs"}, nil},
		{[]string{"system/Observation.rs"}, []string{"system/Observation.rs?category=laboratory"}, nil, []string{"system/Observation.rs"}},
		{[]string{"system/Observation.rs?a=b"}, []string{"system/Observation.rs?a=b"}, nil, nil},
		{[]string{"system/Observation.rs?a=b"}, []string{"system/Observation.rs?a=c"}, nil, []string{"system/Observation.rs?a=b"}},
		{[]string{"system/Observation.rs?a=b"}, []string{"system/Observation.rs"}, nil, nil},
		{[]string{"system/Patient.rs", "openid"}, []string{"system/Patient.rs"}, []string{"openid"}, nil},
		{[]string{"openid"}, []string{"openid"}, nil, nil},
		{[]string{"system/Patient.rs"}, nil, nil, nil}, // not stated: as asked for
		{[]string{"system/Patient.rs"}, []string{}, []string{"system/Patient.rs"}, nil},
		{[]string{"system/Patient.rs"}, []string{"system/Patient.sr"}, []string{"system/Patient.rs"}, nil}, // malformed grants nothing
	} {
		got := Compare(c.requested, c.granted)
		if !slices.Equal(got.Missing, c.missing) || !slices.Equal(got.Partial, c.partial) || got.Complete() != (c.missing == nil && c.partial == nil) {
			t.Errorf("%v of %v: got %+v, want missing %v, partial %v", c.granted, c.requested, got, c.missing, c.partial)
		}
		if all := Missing(c.requested, c.granted); len(all) != len(c.missing)+len(c.partial) {
			t.Errorf("Missing(%v, %v): got %v", c.requested, c.granted, all)
		}
	}
}

func TestF4UnreadableTypes(t *testing.T) {
	types := []string{"Patient", "Observation", "Encounter", "Group"}
	granted := []string{"system/Patient.rs", "system/Observation.rs?category=x", "system/Encounter.r", "user/Group.rs"}
	if got, want := Unreadable(types, granted), []string{"Observation", "Encounter", "Group"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := Unreadable(types, nil); got != nil {
		t.Errorf("scopes not stated: got %v", got)
	}
	if got := Unreadable(types, []string{"system/*.read"}); got != nil {
		t.Errorf("all types: got %v", got)
	}
}
