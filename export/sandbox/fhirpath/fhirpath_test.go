package fhirpath

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/internal/definition"
)

func decode(t *testing.T, s string) map[string]any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestValues(t *testing.T) {
	const observation = `{"resourceType":"Observation","code":{"text":"c"},"subject":{"reference":"Patient/p"},"valueQuantity":{"value":6.30},
		"performer":[{"reference":"Practitioner/a"},null,{"reference":"Organization/b"},{"reference":"urn:uuid:c"},{"type":"Practitioner","identifier":{}}],
		"component":[{"code":{"text":"d"}},{"valueString":"x"}]}`
	const patient = `{"resourceType":"Patient","name":[{"family":"A","given":["B","C"]},{"family":"D"}],
		"telecom":[{"system":"phone","value":"1"},{"system":"email","value":"2"},{"value":"3"}],"deceasedDateTime":"2020"}`
	for _, tt := range []struct {
		resource, expression string
		want                 []string // JSON and type
	}{
		{observation, "Observation.code", []string{`{"text":"c"} CodeableConcept`}},
		{observation, "Observation.code | Observation.component.code", []string{`{"text":"c"} CodeableConcept`, `{"text":"d"} CodeableConcept`}},
		{observation, "Condition.code | Observation.code", []string{`{"text":"c"} CodeableConcept`}},
		{observation, "(Observation.value as Quantity) | (Observation.value as SampledData)", []string{`{"value":6.30} Quantity`}},
		{observation, "(Observation.value as CodeableConcept).text", nil},
		{observation, "Observation.value", []string{`{"value":6.30} Quantity`}},
		{observation, "Observation.component.value.as(string)", []string{`"x" string`}},
		{observation, "Observation.performer.where(resolve() is Practitioner)", []string{`{"reference":"Practitioner/a"} Reference`, `{"reference":"urn:uuid:c"} Reference`, `{"identifier":{},"type":"Practitioner"} Reference`}},
		{patient, "Patient.name.family", []string{`"A" string`, `"D" string`}},
		{patient, "Patient.name.given", []string{`"B" string`, `"C" string`}},
		{patient, "Patient.telecom.where(system='email')", []string{`{"system":"email","value":"2"} ContactPoint`}},
		{patient, "Patient.deceased.exists() and Patient.deceased != false", []string{`true boolean`}},
		{`{"resourceType":"Patient","deceasedBoolean":false}`, "Patient.deceased.exists() and Patient.deceased != false", []string{`false boolean`}},
		{`{"resourceType":"Patient","name":"wrong","telecom":["wrong"],"address":{"city":"single"}}`, "Patient.name.family | Patient.telecom.value | Patient.address.city", []string{`"single" string`}},
	} {
		resource := decode(t, tt.resource)
		path, err := Compile(resource["resourceType"].(string), tt.expression)
		if err != nil {
			t.Errorf("%s: %v", tt.expression, err)
			continue
		}
		var got []string
		for _, v := range path.Values(resource) {
			data, err := json.Marshal(v.JSON)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s %s", data, v.Type))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n got %q\nwant %q", tt.expression, got, tt.want)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, expression := range []string{
		"", "Patient", "Patient.", "Patient.nothing", "Bundle.entry[0].resource", "Patient.name.first()", "Patient.name.where(use=official)", "Patient.name.where(",
		"name | alias", "Condition.code", "Patient.name as", "Patient.name as HumanName.x", "(Patient.name", "Patient.name)", "Patient.name.as(Quantity)", "Patient.where(resolve() is X)",
		"'Patient'", "Patient.name!", strings.Repeat("Patient.name | ", 5000) + "Patient.name",
	} {
		if p, err := Compile("Patient", expression); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%.40s: %v %v", expression, p, err)
		}
	}
	if _, err := Compile("Nonsense", "Nonsense.code"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("an unknown type: %v", err)
	}
}

// TestRegistry: of R4's own parameters only composites and two of Bundle are
// out of reach, and one whose expression names no type.
func TestRegistry(t *testing.T) {
	var missing []string
	n := 0
	for _, typ := range definition.Resources() {
		for _, p := range definition.SearchParams(typ) {
			if p.Expression == "" || p.Kind == "composite" {
				continue
			}
			n++
			if _, err := Compile(typ, p.Expression); err != nil {
				missing = append(missing, typ+"."+p.Code)
			}
		}
	}
	if want := []string{"Bundle.composition", "Bundle.message", "InsurancePlan.name"}; !slices.Equal(missing, want) || n < 2000 {
		t.Errorf("of %d parameters %v are not supported, want %v", n, missing, want)
	}
}

func TestSplitReference(t *testing.T) {
	for in, want := range map[string][2]string{
		"Patient/1": {"Patient", "1"}, "http://a/b/Patient/1": {"Patient", "1"}, "https://a/Patient/1/_history/2": {"Patient", "1"},
		"urn:uuid:abc": {"", "abc"}, "#x": {}, "": {}, "1": {}, "/": {}, "Patient/": {}, "/1": {}, "patient/1": {}, "urn:oid:1.2": {},
	} {
		if typ, id := SplitReference(in); [2]string{typ, id} != want {
			t.Errorf("%q: %q %q", in, typ, id)
		}
	}
}

// FuzzCompile: whatever the expression, there is a path or an error, and the
// path can be walked.
func FuzzCompile(f *testing.F) {
	for _, typ := range []string{"Patient", "Observation"} {
		for _, p := range definition.SearchParams(typ) {
			f.Add(typ, p.Expression)
		}
	}
	resource := map[string]any{"name": []any{map[string]any{"family": "x"}, nil, 1.5}, "valueQuantity": map[string]any{"value": json.Number("1")}, "subject": "x"}
	f.Fuzz(func(t *testing.T, typ, expression string) {
		path, err := Compile(typ, expression)
		if (path == nil) == (err == nil) {
			t.Fatalf("%v %v", path, err)
		}
		if err == nil {
			path.Values(resource)
			path.Roots()
		}
	})
}
