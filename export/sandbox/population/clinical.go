package population

import (
	"strconv"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

func (g *generator) encounter(v *visit, conditionID string) error {
	r, w := v.r, g.words
	e := encounter{ResourceType: "Encounter"}
	e.Id = &v.encounter
	e.Meta = g.meta(r, "us-core-encounter")
	e.Identifier = []fhir.Identifier{identifier("encounter", v.encounter)}
	e.Status = fhir.EncounterStatusFinished
	if r.percent(4) {
		e.Status = fhir.EncounterStatusInProgress
	}
	e.Class = w.classes[r.intn(len(w.classes))].coding()
	e.Type = g.concepts(r, w.encounters)
	e.Subject = ref(v.subject())
	stay := time.Duration(r.between(10, 4000)) * time.Minute
	e.Period = &fhir.Period{Start: ref(v.at.Format("2006-01-02T15:04:05-07:00"))}
	if e.Status == fhir.EncounterStatusFinished {
		e.Period.End = ref(v.at.Add(stay).Format("2006-01-02T15:04:05-07:00"))
		e.Length = &fhir.Duration{Value: decimal(r, int(stay/time.Minute), 0), Unit: ref("min"), System: ref(ucum), Code: ref("min")}
	}
	role := code{bodyOf + "v3-ParticipationType", "PPRF", "primary performer"}
	e.Participant = []fhir.EncounterParticipant{{Type: []fhir.CodeableConcept{role.concept()}, Period: e.Period, Individual: ref(g.practitionerRef(v.practitioner))}}
	if r.percent(50) {
		e.ReasonCode = g.concepts(r, w.conditions)
	}
	e.Diagnosis = []fhir.EncounterDiagnosis{{Condition: reference("Condition", conditionID), Rank: ref(1)}}
	if r.percent(10) {
		e.Hospitalization = &fhir.EncounterHospitalization{DischargeDisposition: &fhir.CodeableConcept{Text: ref("Home, with " + pick(r, w.givens))}}
		e.StatusHistory = []fhir.EncounterStatusHistory{{Status: fhir.EncounterStatusArrived, Period: fhir.Period{Start: ref(v.at.Add(-time.Hour).Format("2006-01-02T15:04:05-07:00")), End: e.Period.Start}}}
	}
	if r.percent(8) {
		e.Extension = []fhir.Extension{{Url: extensions + "encounter-associatedEncounter", ValueReference: ref(v.encounterOf())}}
	}
	e.ServiceProvider = ref(g.organizationRef(v.organization))
	return g.out.add(encounters, e)
}

func (g *generator) condition(v *visit, id string) error {
	r, w := v.r, g.words
	c := condition{ResourceType: "Condition"}
	c.Id = &id
	c.Meta = g.meta(r, "us-core-condition-problems-health-concerns")
	state := code{bodyOf + "condition-clinical", pick(r, []string{"active", "recurrence", "resolved"}), ""}
	c.ClinicalStatus = ref(state.bare())
	verified := code{bodyOf + "condition-ver-status", "confirmed", ""}
	c.VerificationStatus = ref(verified.bare())
	category := code{bodyOf + "condition-category", "encounter-diagnosis", "Encounter Diagnosis"}
	c.Category = []fhir.CodeableConcept{category.bare()}
	c.Code = ref(g.concept(r, w.conditions))
	c.Subject = v.subject()
	c.Encounter = ref(v.encounterOf())
	switch r.intn(8) {
	case 0:
		c.OnsetAge = &fhir.Age{Value: decimal(r, r.between(1, 90), 0), Unit: ref("a"), System: ref(ucum), Code: ref("a")}
	case 1:
		c.OnsetString = ref("since childhood")
	case 2:
		c.OnsetCompanion = reasonAbsent("asked-unknown")
	default:
		c.OnsetDateTime = ref(dateTime(r, v.at.AddDate(0, 0, -r.intn(900))))
	}
	if state.code == "resolved" {
		c.AbatementDateTime = ref(dateTime(r, v.at.AddDate(0, r.intn(20), 0)))
	}
	c.RecordedDate = ref(v.at.Format("2006-01-02T15:04:05-07:00"))
	c.Recorder = ref(g.practitionerRef(v.practitioner))
	if r.percent(15) {
		c.Note = []fhir.Annotation{{AuthorString: ref("nurse"), Text: pick(r, w.notes)}}
	}
	return g.out.add(conditions, c)
}

func (g *generator) medication(v *visit, conditionID string) error {
	r, w := v.r, g.words
	m := medicationRequest{ResourceType: "MedicationRequest"}
	m.Id = ref(r.uuid())
	m.Meta = g.meta(r, "us-core-medicationrequest")
	m.Status = pick(r, []string{"active", "completed", "stopped"})
	m.Intent = "order"
	drug := w.medications[r.intn(len(w.medications))]
	if r.percent(20) {
		m.Contained = []any{fhir.Medication{Id: ref("med"), Code: ref(drug.concept()), Status: ref("active")}}
		m.MedicationReference = &fhir.Reference{Reference: ref("#med"), Display: ref(drug.display)}
	} else {
		m.MedicationCodeableConcept = ref(drug.concept())
	}
	m.Subject = v.subject()
	m.Encounter = ref(v.encounterOf())
	m.AuthoredOn = ref(v.at.Format("2006-01-02T15:04:05-07:00"))
	m.Requester = ref(g.practitionerRef(v.practitioner))
	m.ReasonReference = []fhir.Reference{reference("Condition", conditionID)}
	dose := *decimal(r, r.between(1, 8)*25, 2)
	m.DosageInstruction = []fhir.Dosage{{
		Sequence: ref(1), Text: ref("Take " + dose.String() + " tablets twice daily"), AsNeededBoolean: ref(r.percent(20)),
		Timing:      &fhir.Timing{Repeat: &fhir.TimingRepeat{Frequency: ref(2), Period: decimal(r, 10, 1), PeriodUnit: ref("d"), TimeOfDay: []string{"08:00:00", "20:00:00"}}},
		DoseAndRate: []fhir.DosageDoseAndRate{{DoseQuantity: quantity(&dose, "tablet", "{tbl}")}},
	}}
	m.DispenseRequest = &fhir.MedicationRequestDispenseRequest{
		NumberOfRepeatsAllowed: ref(r.intn(6)), Quantity: quantity(decimal(r, r.between(10, 90), 0), "tablet", "{tbl}"),
		ValidityPeriod: &fhir.Period{Start: ref(v.at.Format(time.DateOnly)), End: ref(v.at.AddDate(1, 0, 0).Format("2006-01"))},
	}
	if r.percent(20) {
		m.Substitution = &substitution{AllowedBoolean: ref(true)}
	}
	return g.out.add(medications, m)
}

// procedure is written by the model itself, with resourceType as its last
// member.
func (g *generator) procedure(v *visit, conditionID string) error {
	r, w := v.r, g.words
	p := fhir.Procedure{
		Id: ref(r.uuid()), Meta: g.meta(r, "us-core-procedure"), Status: fhir.EventStatusCompleted,
		Code: ref(g.concept(r, w.procedures)), Subject: v.subject(), Encounter: ref(v.encounterOf()),
		Performer:       []fhir.ProcedurePerformer{{Actor: g.practitionerRef(v.practitioner), OnBehalfOf: ref(g.organizationRef(v.organization))}},
		ReasonReference: []fhir.Reference{reference("Condition", conditionID)},
	}
	if r.percent(30) {
		p.PerformedDateTime = ref(dateTime(r, v.at))
	} else {
		p.PerformedPeriod = &fhir.Period{Start: ref(v.at.Format("2006-01-02T15:04:05-07:00")), End: ref(v.at.Add(45 * time.Minute).Format("2006-01-02T15:04:05-07:00"))}
	}
	if r.percent(20) {
		site := code{snomed, "368208006", "Left upper arm structure"}
		p.BodySite = []fhir.CodeableConcept{site.concept()}
		p.Note = []fhir.Annotation{{Text: pick(r, w.notes)}}
	}
	return g.out.add(procedures, p)
}

func (g *generator) immunization(v *visit) error {
	r, w := v.r, g.words
	m := immunization{ResourceType: "Immunization"}
	m.Id = ref(r.uuid())
	m.Meta = g.meta(r, "us-core-immunization")
	m.Status = fhir.ImmunizationStatusCodesCompleted
	m.VaccineCode = g.concept(r, w.vaccines)
	m.Patient = v.subject()
	m.Encounter = ref(v.encounterOf())
	if r.percent(8) {
		m.OccurrenceString = ref("as a child, before school")
	} else {
		m.OccurrenceDateTime = ref(dateTime(r, v.at))
	}
	m.PrimarySource = ref(r.percent(80))
	m.LotNumber = ref("AAJN" + strconv.Itoa(r.intn(90000)))
	m.ExpirationDate = ref(v.at.AddDate(1, 0, 0).Format(time.DateOnly))
	m.DoseQuantity = quantity(decimal(r, 50, 2), "mL", "mL")
	m.Performer = []fhir.ImmunizationPerformer{{Actor: g.practitionerRef(v.practitioner)}}
	if r.percent(40) {
		m.ProtocolApplied = []protocolApplied{{Series: ref("1-dose"), DoseNumberPositiveInt: ref(1 + r.intn(3))}}
	}
	return g.out.add(immunizations, m)
}

func (g *generator) report(v *visit, results []string) error {
	r, w := v.r, g.words
	d := fhir.DiagnosticReport{
		Id: ref(r.uuid()), Meta: g.meta(r, "us-core-diagnosticreport-lab"), Status: fhir.DiagnosticReportStatusFinal,
		Code: g.concept(r, w.reports), Subject: ref(v.subject()), Encounter: ref(v.encounterOf()),
		EffectiveDateTime: ref(dateTime(r, v.at)), Issued: ref(instant(v.at.Add(26 * time.Hour))),
		Performer: []fhir.Reference{g.organizationRef(v.organization)},
	}
	category := code{bodyOf + "v2-0074", "LAB", "Laboratory"}
	d.Category = []fhir.CodeableConcept{category.concept()}
	for _, id := range results {
		d.Result = append(d.Result, reference("Observation", id))
	}
	if r.percent(30) {
		d.Conclusion = ref(pick(r, w.notes))
		d.ConclusionCode = g.concepts(r, w.conditions)
	}
	return g.out.add(reports, d)
}

// document makes a DocumentReference whose attachment is a Binary of its own.
func (g *generator) document(v *visit) error {
	r, w := v.r, g.words
	binaryID := r.uuid()
	text := "History and physical\n\n" + pick(r, w.notes) + "\n" + pick(r, w.notes) + "\n"
	d := fhir.DocumentReference{
		Id: ref(r.uuid()), Meta: g.meta(r, "us-core-documentreference"), Status: fhir.DocumentReferenceStatusCurrent,
		DocStatus: ref(fhir.CompositionStatusFinal), Type: ref(g.concept(r, w.documents)), Subject: ref(v.subject()),
		Date: ref(instant(v.at)), Author: []fhir.Reference{g.practitionerRef(v.practitioner)}, Description: ref(pick(r, w.notes)),
		Content: []fhir.DocumentReferenceContent{{Attachment: fhir.Attachment{
			ContentType: ref("text/plain; charset=utf-8"), Url: ref("Binary/" + binaryID), Size: ref(len(text)),
			Hash: ref(sha1Base64(text)), Title: ref("Note"), Creation: ref(dateTime(r, v.at)),
		}}},
		Context: &fhir.DocumentReferenceContext{Encounter: []fhir.Reference{v.encounterOf()}, Period: &fhir.Period{Start: ref(v.at.Format("2006-01-02T15:04:05-07:00"))}},
	}
	if err := g.out.add(documents, d); err != nil {
		return err
	}
	return g.out.add(binaries, fhir.Binary{
		Id: &binaryID, Meta: g.meta(r, ""), ContentType: "text/plain; charset=utf-8",
		SecurityContext: ref(v.subject()), Data: ref(base64Of(text)),
	})
}
