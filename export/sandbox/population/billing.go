package population

import (
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

func (g *generator) diagnosis(v *visit, conditionID string) []diagnosis {
	out := []diagnosis{{Sequence: 1, DiagnosisReference: ref(reference("Condition", conditionID))}}
	if v.r.percent(40) {
		kind := code{bodyOf + "ex-diagnosistype", "principal", ""}
		out = append(out, diagnosis{Sequence: 2, DiagnosisCodeableConcept: ref(g.concept(v.r, g.words.conditions)), Type: []fhir.CodeableConcept{kind.bare()}})
	}
	return out
}

func (g *generator) claim(v *visit, id, conditionID string) error {
	r, w := v.r, g.words
	c := claim{ResourceType: "Claim"}
	c.Id = &id
	c.Meta = g.meta(r, "")
	c.Identifier = []fhir.Identifier{identifier("claim", id)}
	c.Status = fhir.FinancialResourceStatusCodesActive
	kind := code{bodyOf + "claim-type", pick(r, []string{"professional", "institutional", "pharmacy"}), ""}
	c.Type = kind.bare()
	c.Use = fhir.UseClaim
	c.Patient = v.subject()
	c.BillablePeriod = &fhir.Period{Start: ref(v.at.Format("2006-01-02T15:04:05-07:00")), End: ref(v.at.Add(time.Hour).Format("2006-01-02T15:04:05-07:00"))}
	c.Created = v.at.Add(90 * time.Minute).Format("2006-01-02T15:04:05-07:00")
	c.Provider = g.organizationRef(v.organization)
	priority := code{bodyOf + "processpriority", "normal", ""}
	c.Priority = priority.bare()
	c.CareTeam = []fhir.ClaimCareTeam{{Sequence: 1, Provider: g.practitionerRef(v.practitioner), Responsible: ref(true)}}
	c.Diagnosis = g.diagnosis(v, conditionID)
	c.Insurance = []fhir.ClaimInsurance{{Sequence: 1, Focal: true, Coverage: fhir.Reference{Display: ref(pick(r, []string{"Medicaid", "Blue Example", "NO_INSURANCE"}))}}}
	total := 0
	for n := range r.between(1, 5) {
		net := r.between(500, 90000)
		total += net
		item := fhir.ClaimItem{
			Sequence: n + 1, ProductOrService: g.concept(r, w.billing), Quantity: &fhir.Quantity{Value: decimal(r, 1, 0)},
			UnitPrice: money(r, net), Net: money(r, net), ServicedDate: ref(v.at.Format(time.DateOnly)), DiagnosisSequence: []int{1},
		}
		if n == 0 {
			item.Encounter = []fhir.Reference{v.encounterOf()}
		}
		if r.percent(10) {
			item.Factor = decimal(r, r.between(80, 120), 2)
			item.Modifier = []fhir.CodeableConcept{{Coding: []fhir.Coding{{System: ref(cpt), Code: ref("25")}}}}
		}
		c.Item = append(c.Item, item)
	}
	c.Total = money(r, total)
	return g.out.add(claims, c)
}

func (g *generator) explanation(v *visit, claimID, conditionID string) error {
	r, w := v.r, g.words
	e := explanation{ResourceType: "ExplanationOfBenefit"}
	e.Id = ref(r.uuid())
	e.Meta = g.meta(r, "")
	e.Contained = []any{fhir.Coverage{
		Id: ref("coverage"), Status: fhir.FinancialResourceStatusCodesActive, Beneficiary: v.subject(),
		Type: &fhir.CodeableConcept{Text: ref("Blue Example")}, Payor: []fhir.Reference{{Display: ref("Blue Example")}},
	}}
	e.Identifier = []fhir.Identifier{{System: ref("https://bluebutton.cms.gov/resources/variables/clm_id"), Value: &claimID}}
	e.Status = fhir.ExplanationOfBenefitStatusActive
	kind := code{bodyOf + "claim-type", "professional", "Professional"}
	e.Type = kind.concept()
	e.Use = fhir.UseClaim
	e.Patient = v.subject()
	e.BillablePeriod = &fhir.Period{Start: ref(v.at.Format("2006-01-02T15:04:05-07:00")), End: ref(v.at.AddDate(1, 0, 0).Format("2006-01-02T15:04:05-07:00"))}
	e.Created = v.at.AddDate(0, 0, 14).Format(time.DateOnly)
	e.Insurer = fhir.Reference{Display: ref("Blue Example")}
	e.Provider = g.practitionerRef(v.practitioner)
	e.Facility = &fhir.Reference{Display: ref(pick(r, w.places) + " General")}
	e.Claim = ref(reference("Claim", claimID))
	e.Outcome = fhir.ClaimProcessingCodesComplete
	e.Disposition = ref("Processed")
	role := code{bodyOf + "claimcareteamrole", "primary", "Primary provider"}
	e.CareTeam = []fhir.ExplanationOfBenefitCareTeam{{Sequence: 1, Provider: g.practitionerRef(v.practitioner), Role: ref(role.concept())}}
	e.Diagnosis = g.diagnosis(v, conditionID)
	e.Insurance = []fhir.ExplanationOfBenefitInsurance{{Focal: true, Coverage: fhir.Reference{Reference: ref("#coverage"), Display: ref("Blue Example")}}}
	total := 0
	for n := range r.between(1, 4) {
		net := r.between(500, 90000)
		total += net
		category := code{"https://bluebutton.cms.gov/resources/variables/line_cms_type_srvc_cd", "1", "Medical care"}
		item := fhir.ExplanationOfBenefitItem{
			Sequence: n + 1, DiagnosisSequence: []int{1}, CareTeamSequence: []int{1}, Category: ref(category.bare()),
			ProductOrService: g.concept(r, w.billing), Quantity: &fhir.Quantity{Value: decimal(r, 1, 0)}, Net: money(r, net),
			ServicedPeriod: &fhir.Period{Start: ref(v.at.Format("2006-01-02T15:04:05-07:00")), End: ref(v.at.Add(15 * time.Minute).Format("2006-01-02T15:04:05-07:00"))},
			Encounter:      []fhir.Reference{v.encounterOf()},
		}
		for _, part := range w.adjudications[:r.between(2, len(w.adjudications))] {
			item.Adjudication = append(item.Adjudication, fhir.ExplanationOfBenefitItemAdjudication{Category: part.bare(), Amount: money(r, net*r.between(5, 95)/100)})
		}
		e.Item = append(e.Item, item)
	}
	submitted := code{bodyOf + "adjudication", "submitted", "Submitted Amount"}
	e.Total = []fhir.ExplanationOfBenefitTotal{{Category: submitted.concept(), Amount: *money(r, total)}}
	e.Payment = &fhir.ExplanationOfBenefitPayment{Date: ref(v.at.AddDate(0, 0, 21).Format(time.DateOnly)), Amount: money(r, total*80/100)}
	return g.out.add(explanations, e)
}
