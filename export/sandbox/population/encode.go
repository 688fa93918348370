package population

import (
	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// companion is the "_name" member beside a primitive.
type companion struct {
	ID        *string          `json:"id,omitempty"`
	Extension []fhir.Extension `json:"extension,omitempty"`
}

// The types below are the models' structures with the members that those lack.
// An embedded OtherX is X without its MarshalJSON, so that a field of the same
// name out here takes the place of the one in it.

type humanName struct {
	fhir.HumanName
	Given           []*string    `json:"given,omitempty"`
	GivenCompanion  []*companion `json:"_given,omitempty"`
	FamilyCompanion *companion   `json:"_family,omitempty"`
}

type address struct {
	fhir.Address
	LineCompanion []*companion `json:"_line,omitempty"`
}

type patient struct {
	ResourceType string `json:"resourceType"`
	fhir.OtherPatient
	Contained          []any       `json:"contained,omitempty"`
	Name               []humanName `json:"name,omitempty"`
	Address            []address   `json:"address,omitempty"`
	GenderCompanion    *companion  `json:"_gender,omitempty"`
	BirthDateCompanion *companion  `json:"_birthDate,omitempty"`
}

type observation struct {
	ResourceType string `json:"resourceType"`
	fhir.OtherObservation
	Contained          []any      `json:"contained,omitempty"`
	EffectiveCompanion *companion `json:"_effectiveDateTime,omitempty"`
	ValueCompanion     *companion `json:"_valueString,omitempty"`
}

type medicationRequest struct {
	ResourceType string `json:"resourceType"`
	fhir.OtherMedicationRequest
	Contained                 []any                 `json:"contained,omitempty"`
	MedicationCodeableConcept *fhir.CodeableConcept `json:"medicationCodeableConcept,omitempty"`
	MedicationReference       *fhir.Reference       `json:"medicationReference,omitempty"`
	Substitution              *substitution         `json:"substitution,omitempty"`
}

type substitution struct {
	AllowedBoolean         *bool                 `json:"allowedBoolean,omitempty"`
	AllowedCodeableConcept *fhir.CodeableConcept `json:"allowedCodeableConcept,omitempty"`
	Reason                 *fhir.CodeableConcept `json:"reason,omitempty"`
}

type immunization struct {
	ResourceType string `json:"resourceType"`
	fhir.OtherImmunization
	OccurrenceDateTime *string           `json:"occurrenceDateTime,omitempty"`
	OccurrenceString   *string           `json:"occurrenceString,omitempty"`
	ProtocolApplied    []protocolApplied `json:"protocolApplied,omitempty"`
}

type protocolApplied struct {
	Series                *string `json:"series,omitempty"`
	DoseNumberPositiveInt *int    `json:"doseNumberPositiveInt,omitempty"`
	DoseNumberString      *string `json:"doseNumberString,omitempty"`
}

// diagnosis is the diagnosis of claims and of explanations of benefit, one of
// whose two choices the models always write.
type diagnosis struct {
	Sequence                 int                    `json:"sequence"`
	DiagnosisCodeableConcept *fhir.CodeableConcept  `json:"diagnosisCodeableConcept,omitempty"`
	DiagnosisReference       *fhir.Reference        `json:"diagnosisReference,omitempty"`
	Type                     []fhir.CodeableConcept `json:"type,omitempty"`
}

type claim struct {
	ResourceType string `json:"resourceType"`
	fhir.OtherClaim
	Diagnosis []diagnosis `json:"diagnosis,omitempty"`
}

type explanation struct {
	ResourceType string `json:"resourceType"`
	fhir.OtherExplanationOfBenefit
	Contained []any       `json:"contained,omitempty"`
	Diagnosis []diagnosis `json:"diagnosis,omitempty"`
}

type condition struct {
	ResourceType string `json:"resourceType"`
	fhir.OtherCondition
	OnsetCompanion *companion `json:"_onsetDateTime,omitempty"`
}

type encounter struct {
	ResourceType string `json:"resourceType"`
	fhir.OtherEncounter
}

type organization struct {
	ResourceType string `json:"resourceType"`
	fhir.OtherOrganization
	Alias          []*string    `json:"alias,omitempty"`
	AliasCompanion []*companion `json:"_alias,omitempty"`
}

type group struct {
	ResourceType string `json:"resourceType"`
	fhir.OtherGroup
}

// reasonAbsent is the companion of a value that is not known.
func reasonAbsent(reason string) *companion {
	return &companion{Extension: []fhir.Extension{{Url: absent, ValueCode: &reason}}}
}

func ref[T any](v T) *T { return &v }
