package main

import (
	"bytes"
	"os"
	"slices"
	"testing"
)

// The table in the repository is the one that the published definitions give.
func TestRebuildByteForByte(t *testing.T) {
	dir := os.Getenv("FLUE_TEST_DEFINITIONS")
	if dir == "" {
		t.Skip("FLUE_TEST_DEFINITIONS does not name the unpacked npm package " + source)
	}
	table, docs, err := build(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"r4.bin": table, "docs.bin": docs} {
		want, err := os.ReadFile("../" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes differ from the %d there: run go generate ./internal/definition", name, len(got), len(want))
		}
	}
}

func TestBuildWithoutPackage(t *testing.T) {
	if _, _, err := build(t.TempDir()); err == nil {
		t.Error("an empty folder gave a table")
	}
}

func TestBranch(t *testing.T) {
	tests := []struct{ expression, base, want string }{
		{"Patient.name | Person.name", "Person", "Person.name"},
		{"(A.medication as Reference) | (AB.medication as Reference)", "A", "(A.medication as Reference)"},
		{"A.x.where(y = 'a' | z) | A.w", "A", "A.x.where(y = 'a' | z) | A.w"},
		{"descendants()", "A", "descendants()"},
		{"", "A", ""},
	}
	for _, test := range tests {
		if got := branch(test.expression, test.base); got != test.want {
			t.Errorf("branch(%q, %q) = %q, want %q", test.expression, test.base, got, test.want)
		}
	}
}

func TestUnknownBase(t *testing.T) {
	if _, err := compileParams([]param{{Code: "x", Base: []string{"Nonsense"}}}, []string{"Patient"}); err == nil {
		t.Error("an unknown base type passed")
	}
}

func TestProfilesThatAreLeftOut(t *testing.T) {
	profiles := []profile{
		{Name: "Element", Kind: "complex-type", Abstract: true},
		{Name: "Extension", Kind: "complex-type"},
		{Name: "Resource", Kind: "resource", Abstract: true},
		{Name: subscriptionStatus, Kind: "resource", Derivation: "specialization"},
		{Name: "vitals", Kind: "resource", Derivation: "constraint"},
	}
	for i := range profiles {
		profiles[i].Snapshot.Element = []element{{Path: profiles[i].Name}, stringElement(profiles[i].Name + ".id")}
	}
	profiles = append(profiles, profile{Name: "string", Kind: "primitive-type"})
	got, err := compileStructs(profiles)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.resources) != 0 {
		t.Errorf("resources %v, want none", got.resources)
	}
	if i := slices.IndexFunc(got.all, func(s structure) bool { return s.name == subscriptionStatus }); i >= 0 {
		t.Errorf("%s was compiled", subscriptionStatus)
	}
}

func stringElement(path string) element {
	e := element{Path: path, Max: "1"}
	e.Type = append(e.Type, struct {
		Code      string `json:"code"`
		Extension []struct {
			URL      string `json:"url"`
			ValueURL string `json:"valueUrl"`
		} `json:"extension"`
	}{Code: "string"})
	return e
}
