package authserver

import (
	"strings"
	"testing"
	"time"
)

func TestScopesAreGrantedNarrowedOrRefused(t *testing.T) {
	for _, c := range []struct {
		allowed []string
		narrow  bool
		ask     string
		want    string // "" means invalid_scope
	}{
		{nil, false, "system/Patient.rs system/*.read", "system/Patient.rs system/*.read"},
		{[]string{"system/*.rs"}, false, "system/Patient.read", "system/Patient.read"},
		{[]string{"system/*.rs"}, false, "system/Patient.rs system/Patient.cud", ""},
		{[]string{"system/*.rs"}, true, "system/Patient.rs system/Patient.cud", "system/Patient.rs"},
		{[]string{"system/Patient.r", "system/Patient.s"}, false, "system/Patient.rs", "system/Patient.rs"},
		{[]string{"system/Patient.rs"}, false, "system/*.rs", ""},
		{[]string{"system/Patient.rs", "system/Group.r"}, true, "system/*.rs", "system/Patient.rs"},
		{[]string{"system/Patient.rs", "system/Group.rs"}, true, "system/*.read", "system/Patient.read system/Group.read"},
		{[]string{"system/Patient.rs"}, true, "system/Group.rs", ""},
		{[]string{"system/Patient.rs?x=y"}, false, "system/Patient.rs", ""},
		{nil, false, "system/Unicorn.rs", ""},
	} {
		s, now := newServer(t)
		s.Scopes, s.Narrow = c.allowed, c.narrow
		s.KnownType = func(typ string) bool { return typ == "Patient" || typ == "Group" }
		form := formOf(newAssertion(*now).sign())
		form.Set("scope", c.ask)
		got := post(t, s, form)
		if c.want == "" {
			if got.status != 400 || got.Code != "invalid_scope" {
				t.Errorf("%s of %v: got %+v, want invalid_scope", c.ask, c.allowed, got)
			}
			continue
		}
		if got.status != 200 || *got.Scope != c.want {
			t.Errorf("%s of %v: got %d, want %s", c.ask, c.allowed, got.status, c.want)
		}
	}
}

func TestGrantAllows(t *testing.T) {
	g := newGrant("c", []string{"system/Patient.read", "system/Group.s", "system/Observation.rs?a=b"}, time.Time{})
	for what, want := range map[string]bool{"Patient r": true, "Patient s": true, "Patient c": false, "Group s": true, "Group r": false, "Observation r": false, "* r": false} {
		typ, op, _ := strings.Cut(what, " ")
		if got := g.Allows(typ, rune(op[0])); got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	all := newGrant("c", []string{"system/*.rs"}, time.Time{})
	if !all.Allows("Patient", 'r') || !all.Allows("*", 's') || all.Allows("Patient", 'd') {
		t.Error("system/*.rs is not all types for reading")
	}
}
