package config

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExportWith(t *testing.T) {
	base := Export{Mode: "bulk", Level: "system", Types: []string{"Patient"}, Since: Since{Last: true}, Elements: []string{"id"}}
	got, err := base.With(map[string]any{
		"types": []string{"Condition"}, "since": "2026-01-31", "type_filters": []string{"Condition?code=${x}&a=<b>"},
		"group": "g1", "patients": []string{"p1"}, "extra": map[string]string{"_vendor": "a b"}, "lenient": true, "post": true,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := base
	want.Types, want.TypeFilters, want.Patients = []string{"Condition"}, []string{"Condition?code=${x}&a=<b>"}, []string{"p1"}
	want.Level, want.Group, want.Extra, want.Lenient, want.Post = "group", "g1", map[string]string{"_vendor": "a b"}, true, true
	want.Since = Since{Time: got.Since.Time}
	if d := cmp.Diff(want, got); d != "" || got.Since.Time.Format("2006-01-02") != "2026-01-31" {
		t.Errorf("since %s; (-want +got):\n%s", got.Since.Time, d)
	}
	if !base.Since.Last || len(base.Types) != 1 || base.Types[0] != "Patient" {
		t.Errorf("the export was changed: %+v", base)
	}
	search := base
	search.Mode, search.Level = "search", ""
	for name, test := range map[string]struct {
		of     Export
		values map[string]any
	}{
		"unknown type":       {base, map[string]any{"types": []string{"Pateint"}}},
		"no instant":         {base, map[string]any{"until": "yesterday"}},
		"filter of no type":  {base, map[string]any{"type_filters": []string{"Condition?code=1"}}},
		"patients of system": {base, map[string]any{"patients": []string{"p1"}}},
		"own key as extra":   {base, map[string]any{"extra": map[string]string{"_type": "Patient"}}},
		"bulk key in search": {search, map[string]any{"lenient": true}},
		"until before since": {base, map[string]any{"since": "2026-01-31", "until": "2026-01-30"}},
	} {
		var all *Errors
		if got, err := test.of.With(test.values); !errors.As(err, &all) || !cmp.Equal(got, test.of) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
