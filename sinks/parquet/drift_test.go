package parquet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestDrift: a new column fails where the job says so, and only there.
func TestDrift(t *testing.T) {
	const born = `{"resourceType":"Patient","id":"a","birthDate":"1970"}`
	tests := []struct {
		name    string
		drift   string
		earlier string
		line    string
		limit   int
		want    []string // paths of the error
	}{
		{"widen", Widen, "Patient{id}", born, 0, nil},
		{"by default", "", "Patient{id}", born, 0, nil},
		{"fail", Fail, "Patient{id}", born, 0, []string{"Patient.birthDate"}},
		{
			"nested, choice and companion", Fail, "Patient{id,name{family}}",
			`{"resourceType":"Patient","id":"a","name":[{"family":"x","_family":{"id":"1"},"period":{"start":"1970"}}],"deceasedBoolean":true}`, 0,
			[]string{"Patient.name._family.id", "Patient.name.period.start", "Patient.deceasedBoolean"},
		},
		{"nothing new", Fail, "Patient{id,active,birthDate}", born, 0, nil},
		{"the first snapshot", Fail, "", born, 0, nil},
		{"a type that never had a resource", Fail, "Patient{id,meta{lastUpdated}}", born, 0, nil},
		{"unknown members have no column", Fail, "Patient{id}", `{"resourceType":"Patient","id":"a","shoeSize":4}`, 0, nil},
		{"no room, no column", Fail, "Patient{id,active}", born, 2, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := newInput(t, "Patient", text(tt.line))
			if tt.earlier != "" {
				in.Earlier = []byte(tt.earlier)
			}
			out, err := (&Sink{Drift: tt.drift, MaxColumns: tt.limit}).Convert(context.Background(), in, newStaging())
			var e *DriftError
			if errors.As(err, &e) != (tt.want != nil) || err != nil && e == nil {
				t.Fatalf("got %v, want drift of %v", err, tt.want)
			}
			if e == nil {
				if tt.earlier != "" && out.Schema == nil {
					t.Error("no columns are kept")
				}
				return
			}
			if !slices.Equal(e.Paths, tt.want) || e.Class() != "quality" || e.Hint() == "" {
				t.Errorf("got %v, want %v", e.Paths, tt.want)
			}
			for _, p := range tt.want {
				if !strings.Contains(e.Error(), p) {
					t.Errorf("the error does not name %s: %v", p, e)
				}
			}
		})
	}
	if _, err := (&Sink{Drift: "shrink"}).Convert(context.Background(), newInput(t, "Patient", text(born)), newStaging()); err == nil {
		t.Error("an unknown policy is taken")
	}
	many := &DriftError{Type: "Patient", Paths: make([]string, 40)}
	if got := many.Error(); !strings.HasSuffix(got, " and 30 more") {
		t.Errorf("got %s", got)
	}
}
