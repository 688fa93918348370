package population

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// What a sequence of random numbers is for.
const (
	forPatient = iota + 1
	forPatientID
	forPractitioner
	forOrganization
	forGroup
)

// The instants between which resources were last updated. They are fixed: the
// bytes must not depend on the day.
var (
	firstUpdate = time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)
	lastUpdate  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

// generator makes the resources of one population. It is used by one goroutine.
type generator struct {
	Population
	words         *vocabulary
	practitioners int
	organizations int
	out           *batch
}

func newGenerator(p Population) *generator {
	return &generator{
		Population:    p,
		words:         newVocabulary(),
		practitioners: 8 + p.Patients/20,
		organizations: 4 + p.Patients/100,
		out:           newBatch(),
	}
}

// visit is what the resources of one encounter share.
type visit struct {
	r            *random
	patient      string // id
	encounter    string // id
	practitioner int
	organization int
	at           time.Time
	zone         *time.Location
}

func (g *generator) patientID(i int) string {
	r := newRandom(g.Seed, forPatientID, uint64(i))
	return r.uuid()
}

func practitionerID(i int) string { return "practitioner-" + strconv.Itoa(i) }

func organizationID(i int) string { return "org." + strconv.Itoa(i) }

func reference(typ, id string) fhir.Reference {
	s := typ + "/" + id
	return fhir.Reference{Reference: &s}
}

func (g *generator) practitionerRef(i int) fhir.Reference {
	out := reference("Practitioner", practitionerID(i))
	r := newRandom(g.Seed, forPractitioner, uint64(i))
	out.Display = ref("Dr. " + pick(&r, g.words.givens) + " " + pick(&r, g.words.families))
	return out
}

func (g *generator) organizationRef(i int) fhir.Reference {
	return reference("Organization", organizationID(i))
}

// meta says when the resource was last updated: some servers send milliseconds,
// some do not, some write an offset.
func (g *generator) meta(r *random, profile string) *fhir.Meta {
	at := firstUpdate.Add(time.Duration(r.intn(int(lastUpdate.Sub(firstUpdate)/time.Millisecond))) * time.Millisecond)
	layout := "2006-01-02T15:04:05.000Z07:00"
	switch r.intn(8) {
	case 0:
		at, layout = at.Truncate(time.Second), time.RFC3339
	case 1:
		at = at.In(time.FixedZone("", 2*3600))
	}
	out := &fhir.Meta{VersionId: ref(strconv.Itoa(1 + r.intn(5))), LastUpdated: ref(at.Format(layout))}
	if profile != "" {
		out.Profile = []string{"http://hl7.org/fhir/us/core/StructureDefinition/" + profile}
	}
	return out
}

// dateTime writes an instant the way clinical systems do, sometimes in part.
func dateTime(r *random, at time.Time) string {
	switch r.intn(12) {
	case 0:
		return at.Format("2006")
	case 1:
		return at.Format("2006-01")
	case 2:
		return at.Format(time.DateOnly)
	case 3:
		return at.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return at.Format("2006-01-02T15:04:05-07:00")
}

func instant(at time.Time) string { return at.Format("2006-01-02T15:04:05.000-07:00") }

// decimal writes n * 10^-decimals as servers do: trailing zeros are kept and
// now and then there is an exponent.
func decimal(r *random, n, decimals int) *json.Number {
	negative := n < 0
	if negative {
		n = -n
	}
	digits := strconv.Itoa(n)
	for len(digits) <= decimals {
		digits = "0" + digits
	}
	text := digits
	if decimals > 0 {
		text = digits[:len(digits)-decimals] + "." + digits[len(digits)-decimals:]
		if r.intn(200) == 0 {
			text = strconv.Itoa(n) + "E-" + strconv.Itoa(decimals)
		}
	}
	if negative {
		text = "-" + text
	}
	out := json.Number(text)
	return &out
}

func quantity(value *json.Number, unit, ucumCode string) *fhir.Quantity {
	out := &fhir.Quantity{Value: value}
	if unit != "" {
		out.Unit = &unit
	}
	if ucumCode != "" {
		out.System, out.Code = ref(ucum), &ucumCode
	}
	return out
}

func money(r *random, n int) *fhir.Money {
	return &fhir.Money{Value: decimal(r, n, 2), Currency: ref("USD")}
}

func identifier(system, value string) fhir.Identifier {
	return fhir.Identifier{System: ref(hospital + system), Value: &value}
}

// patient makes patient i with everything that belongs to it.
func (g *generator) patient(i int) error {
	rnd := newRandom(g.Seed, forPatient, uint64(i))
	r := &rnd
	id := g.patientID(i)
	zone := time.FixedZone("", (r.intn(25)-12)*3600+r.intn(2)*1800)
	home := r.intn(g.organizations)
	doctor := r.intn(g.practitioners)
	if err := g.person(r, i, id, home, doctor, zone); err != nil {
		return fmt.Errorf("patient %d: %w", i, err)
	}
	for n := range r.between(2, 4) {
		v := &visit{
			r: r, patient: id, encounter: r.uuid(), practitioner: doctor, organization: home, zone: zone,
			at: time.Date(2015+2*n+r.intn(2), time.Month(1+r.intn(12)), 1+r.intn(28), r.intn(24), r.intn(60), r.intn(60), 0, zone),
		}
		if r.percent(30) {
			v.practitioner = r.intn(g.practitioners)
		}
		if err := g.visit(v); err != nil {
			return fmt.Errorf("patient %d: %w", i, err)
		}
	}
	return nil
}

// visit makes an encounter and what came of it.
func (g *generator) visit(v *visit) error {
	conditionID := v.r.uuid()
	results := make([]string, v.r.between(3, 6))
	for i := range results {
		results[i] = v.r.uuid()
	}
	if err := g.encounter(v, conditionID); err != nil {
		return err
	}
	if err := g.condition(v, conditionID); err != nil {
		return err
	}
	for _, id := range results {
		if err := g.observation(v, id); err != nil {
			return err
		}
	}
	claimID := v.r.uuid()
	if err := g.claim(v, claimID, conditionID); err != nil {
		return err
	}
	if err := g.explanation(v, claimID, conditionID); err != nil {
		return err
	}
	if v.r.percent(60) {
		if err := g.medication(v, conditionID); err != nil {
			return err
		}
	}
	if v.r.percent(40) {
		if err := g.procedure(v, conditionID); err != nil {
			return err
		}
	}
	if v.r.percent(70) {
		if err := g.immunization(v); err != nil {
			return err
		}
	}
	if v.r.percent(40) {
		if err := g.report(v, results); err != nil {
			return err
		}
	}
	if v.r.percent(15) {
		return g.document(v)
	}
	return nil
}

func (v *visit) subject() fhir.Reference     { return reference("Patient", v.patient) }
func (v *visit) encounterOf() fhir.Reference { return reference("Encounter", v.encounter) }
