package definition

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestResources(t *testing.T) {
	names := Resources()
	if got, want := len(names), 146; got != want {
		t.Errorf("%d resource types, want %d", got, want)
	}
	if !slices.IsSorted(names) {
		t.Error("not sorted")
	}
	for _, name := range names {
		s := Type(name)
		if s == nil || s.Name != name {
			t.Errorf("Type(%q) = %v", name, s)
		}
	}
	for _, name := range []string{"SubscriptionStatus", "MetadataResource", "DomainResource", "Resource", "Quantity", "patient", ""} {
		if slices.Contains(names, name) || Type(name) != nil {
			t.Errorf("%q is no R4 resource type", name)
		}
	}
	names[0] = "changed"
	if Resources()[0] == "changed" {
		t.Error("the slice is shared")
	}
}

// element follows a dotted path from a resource type.
func element(t *testing.T, path string) *Element {
	t.Helper()
	names := strings.Split(path, ".")
	s := Type(names[0])
	var e *Element
	for _, name := range names[1:] {
		if s == nil {
			t.Fatalf("%s: no struct above %s", path, name)
		}
		if e = s.Field(name); e == nil {
			return nil
		}
		s = e.Struct
	}
	return e
}

func TestElements(t *testing.T) {
	tests := []struct {
		path, typ, choice, structName string
		kind                          Kind
		list, required                bool
	}{
		{path: "Patient.id", typ: "id", kind: String},
		{path: "Patient.birthDate", typ: "date", kind: Date},
		{path: "Patient.active", typ: "boolean", kind: Boolean},
		{path: "Patient.name", typ: "HumanName", kind: Complex, structName: "HumanName", list: true},
		{path: "Patient.name.given", typ: "string", kind: String, list: true},
		{path: "Patient.name.id", typ: "string", kind: String},
		{path: "Patient.deceasedBoolean", typ: "boolean", kind: Boolean, choice: "deceased"},
		{path: "Patient.deceasedDateTime", typ: "dateTime", kind: DateTime, choice: "deceased"},
		{path: "Patient.multipleBirthInteger", typ: "integer", kind: Integer, choice: "multipleBirth"},
		{path: "Patient.contained", typ: "Resource", kind: Resource, list: true},
		{path: "Patient.text.div", typ: "xhtml", kind: String, required: true},
		{path: "Patient.meta.lastUpdated", typ: "instant", kind: Instant},
		{path: "Patient.extension.url", typ: "uri", kind: String, required: true},
		{path: "Patient.extension.valueBase64Binary", typ: "base64Binary", kind: String, choice: "value"},
		{path: "Patient.extension.valueMeta", typ: "Meta", kind: Complex, structName: "Meta", choice: "value"},
		{path: "Observation.status", typ: "code", kind: String, required: true},
		{path: "Observation.code", typ: "CodeableConcept", kind: Complex, structName: "CodeableConcept", required: true},
		{path: "Observation.valueQuantity.value", typ: "decimal", kind: Decimal},
		{path: "Observation.component", typ: "BackboneElement", kind: Complex, structName: "Observation.component", list: true},
		{path: "Observation.component.referenceRange", typ: "BackboneElement", kind: Complex, structName: "Observation.referenceRange", list: true},
		{path: "Questionnaire.item.item.item.linkId", typ: "string", kind: String, required: true},
		{path: "Questionnaire.item.item", typ: "BackboneElement", kind: Complex, structName: "Questionnaire.item", list: true},
		{path: "Observation.subject.identifier.assigner", typ: "Reference", kind: Complex, structName: "Reference"},
		{path: "Encounter.length", typ: "Duration", kind: Complex, structName: "Duration"},
		{path: "MedicationRequest.dosageInstruction.timing.repeat", typ: "Element", kind: Complex, structName: "Timing.repeat"},
		{path: "Bundle.entry.resource", typ: "Resource", kind: Resource},
		{path: "Claim.item.sequence", typ: "positiveInt", kind: Integer, required: true},
		{path: "DeviceDefinition.classification.id", typ: "id", kind: String},
		{path: "Immunization.protocolApplied.doseNumberPositiveInt", typ: "positiveInt", kind: Integer, choice: "doseNumber", required: true},
	}
	for _, test := range tests {
		e := element(t, test.path)
		if e == nil {
			t.Errorf("%s: missing", test.path)
			continue
		}
		structName := ""
		if e.Struct != nil {
			structName = e.Struct.Name
		}
		if e.Type != test.typ || e.Kind != test.kind || e.Choice != test.choice || structName != test.structName ||
			e.List != test.list || e.Required != test.required {
			t.Errorf("%s = %+v, want %+v", test.path, e, test)
		}
	}
	for _, path := range []string{"Patient.value", "Patient.resourceType", "Patient._birthDate", "Observation.value[x]", "Observation.value"} {
		if element(t, path) != nil {
			t.Errorf("%s exists", path)
		}
	}
}

func TestDoc(t *testing.T) {
	tests := map[string]string{
		"Patient.birthDate":                    "The date of birth for the individual",
		"Observation.valueQuantity":            "Actual result",
		"Observation.valueString":              "Actual result",
		"Observation.valueQuantity.value":      "Numerical value (with implicit precision)",
		"VisionPrescription.lensSpecification": "Vision lens authorization",
	}
	for path, want := range tests {
		if got := element(t, path).Doc(); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestDefinitionOrder(t *testing.T) {
	var names []string
	for _, e := range Type("Observation").Fields {
		names = append(names, e.Name)
	}
	want := strings.Fields(`id meta implicitRules language text contained extension modifierExtension
		identifier basedOn partOf status category code subject focus encounter
		effectiveDateTime effectivePeriod effectiveTiming effectiveInstant issued performer
		valueQuantity valueCodeableConcept valueString valueBoolean valueInteger valueRange valueRatio
		valueSampledData valueTime valueDateTime valuePeriod
		dataAbsentReason interpretation note bodySite method specimen device referenceRange hasMember derivedFrom component`)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

// Every Struct that can be reached is consistent.
func TestEveryStruct(t *testing.T) {
	seen := map[*Struct]bool{}
	var visit func(s *Struct)
	visit = func(s *Struct) {
		if seen[s] {
			return
		}
		seen[s] = true
		names := map[string]bool{}
		for i := range s.Fields {
			e := &s.Fields[i]
			if e.Order != i || s.Field(e.Name) != e || s.FieldBytes([]byte(e.Name)) != e || names[e.Name] {
				t.Errorf("%s.%s: order %d at %d, or found twice", s.Name, e.Name, e.Order, i)
			}
			names[e.Name] = true
			if e.Doc() == "" {
				t.Errorf("%s.%s: no description", s.Name, e.Name)
			}
			if system := e.Name == "id" || s.Name == "Extension" && e.Name == "url"; e.System != system || e.Companion() != (e.Kind.Primitive() && !system) {
				t.Errorf("%s.%s: System is %v", s.Name, e.Name, e.System)
			}
			if (e.Kind == Complex) != (e.Struct != nil) {
				t.Errorf("%s.%s: kind %d, struct %v", s.Name, e.Name, e.Kind, e.Struct)
			}
			if !e.Kind.Primitive() && e.Kind != Complex && e.Kind != Resource {
				t.Errorf("%s.%s: kind %d", s.Name, e.Name, e.Kind)
			}
			if e.Choice != "" && !strings.HasPrefix(e.Name, e.Choice) {
				t.Errorf("%s.%s: choice %q", s.Name, e.Name, e.Choice)
			}
			if e.Struct != nil {
				visit(e.Struct)
			}
		}
	}
	for _, name := range Resources() {
		s := Type(name)
		for i, want := range []string{"id", "meta", "implicitRules", "language"} {
			if s.Fields[i].Name != want || Base().Fields[i].Name != want {
				t.Errorf("%s: field %d is %s, want %s", name, i, s.Fields[i].Name, want)
			}
		}
		visit(s)
	}
	if len(seen) < 600 {
		t.Errorf("%d structs", len(seen))
	}
	if !seen[Extension()] {
		t.Error("Extension is not that of the resources")
	}
	companion := PrimitiveCompanion()
	if got := len(companion.Fields); got != 2 || companion.Field("id") == nil || companion.Field("extension").Struct != Extension() {
		t.Errorf("companion %+v", companion)
	}
}

func TestCompartment(t *testing.T) {
	tests := map[string][]string{
		"Observation": {"subject", "performer"},
		"Patient":     {"link"},
		"Appointment": {"actor"},
		"Medication":  nil,
		"Nonsense":    nil,
	}
	for typ, want := range tests {
		if diff := cmp.Diff(want, Compartment(typ)); diff != "" {
			t.Errorf("%s: %s", typ, diff)
		}
	}
	inside := 0
	for _, typ := range Resources() {
		codes := Compartment(typ)
		if codes != nil {
			inside++
		}
		for _, code := range codes {
			if p, ok := Search(typ, code); !ok || p.Kind != "reference" {
				t.Errorf("%s: compartment code %q is %+v", typ, code, p)
			}
		}
	}
	if inside != 67 {
		t.Errorf("%d types in the compartment, want 67", inside)
	}
}

func TestSearchParams(t *testing.T) {
	want := SearchParam{Code: "code", Kind: "token", Expression: "Observation.code"}
	if got, _ := Search("Observation", "code"); !cmp.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	patient, _ := Search("Observation", "patient")
	if patient.Expression != "Observation.subject.where(resolve() is Patient)" || patient.Kind != "reference" || !slices.Contains(patient.Targets, "Patient") {
		t.Errorf("patient: %+v", patient)
	}
	union, _ := Search("AllergyIntolerance", "code")
	if union.Expression != "AllergyIntolerance.code | AllergyIntolerance.reaction.substance" {
		t.Errorf("union: %+v", union)
	}
	for _, code := range []string{"_id", "_lastUpdated", "_tag", "_text"} {
		if _, ok := Search("Patient", code); !ok {
			t.Errorf("Patient has no %s", code)
		}
	}
	if _, ok := Search("Binary", "_text"); ok {
		t.Error("Binary is no DomainResource")
	}
	if p, ok := Search("Patient", "nonsense"); ok || p.Code != "" {
		t.Errorf("nonsense: %+v", p)
	}
	if all := SearchParams("Nonsense"); all != nil {
		t.Errorf("%d parameters of no type", len(all))
	}
	for _, typ := range Resources() {
		all := SearchParams(typ)
		for i, p := range all {
			if i > 0 && all[i-1].Code >= p.Code {
				t.Errorf("%s: %s before %s", typ, all[i-1].Code, p.Code)
			}
			// R4 names no target for RequestGroup's instantiates-canonical.
			if (p.Kind == "reference") != (p.Targets != nil) && p.Code != "instantiates-canonical" {
				t.Errorf("%s: %s has kind %s and %d targets", typ, p.Code, p.Kind, len(p.Targets))
			}
			for _, target := range p.Targets {
				if Type(target) == nil {
					t.Errorf("%s: %s points at %s", typ, p.Code, target)
				}
			}
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if Type("Patient").Field("name") == nil || len(SearchParams("Patient")) == 0 {
				t.Error("no Patient")
			}
		})
	}
	all.Wait()
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		decode(embedded)
	}
}
