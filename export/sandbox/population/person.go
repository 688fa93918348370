package population

import (
	"strconv"
	"strings"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// person makes the Patient resource.
func (g *generator) person(r *random, i int, id string, home, doctor int, zone *time.Location) error {
	w := g.words
	gender := pick(r, []fhir.AdministrativeGender{
		fhir.AdministrativeGenderFemale, fhir.AdministrativeGenderMale, fhir.AdministrativeGenderFemale,
		fhir.AdministrativeGenderMale, fhir.AdministrativeGenderOther, fhir.AdministrativeGenderUnknown,
	})
	born := time.Date(1930+r.intn(90), time.Month(1+r.intn(12)), 1+r.intn(28), r.intn(24), r.intn(60), 0, 0, zone)
	p := patient{ResourceType: "Patient"}
	p.Id = &id
	p.Meta = g.meta(r, "us-core-patient")
	p.Active = ref(r.percent(95))
	p.Gender = &gender
	p.Name = g.names(r)
	full := *p.Name[0].HumanName.Family
	p.Text = &fhir.Narrative{
		Status: fhir.NarrativeStatusGenerated,
		Div:    `<div xmlns="http://www.w3.org/1999/xhtml"><p>` + strings.ReplaceAll(full, "'", "&#39;") + `, ` + gender.Display() + `</p><table><tr><td>MRN</td><td>` + strconv.Itoa(100000+i) + `</td></tr></table></div>`,
	}
	p.Extension = g.demographics(r)
	p.Identifier = g.identifiers(r, i)
	p.Telecom = []fhir.ContactPoint{
		{System: ref(fhir.ContactPointSystemPhone), Value: ref("555-" + strconv.Itoa(1000000+r.intn(9000000))), Use: ref(fhir.ContactPointUseHome), Rank: ref(1)},
	}
	if r.percent(60) {
		p.Telecom = append(p.Telecom, fhir.ContactPoint{System: ref(fhir.ContactPointSystemEmail), Value: ref("patient." + strconv.Itoa(i) + "@example.org"), Period: &fhir.Period{Start: ref(born.AddDate(20, 0, 0).Format("2006-01"))}})
	}
	p.Address = []address{g.address(r)}
	if r.percent(25) {
		p.Address = append(p.Address, g.address(r))
	}
	g.birth(r, &p, born)
	if r.percent(80) {
		p.MaritalStatus = ref(g.concept(r, w.maritals))
	}
	language := pick(r, w.languages)
	p.Communication = []fhir.PatientCommunication{{Language: language.concept(), Preferred: ref(true)}}
	p.GeneralPractitioner = []fhir.Reference{g.practitionerRef(doctor)}
	p.ManagingOrganization = ref(g.organizationRef(home))
	if r.percent(30) {
		p.Contact = []fhir.PatientContact{{
			Relationship: []fhir.CodeableConcept{{Coding: []fhir.Coding{{System: ref(bodyOf + "v2-0131"), Code: ref("N")}}}},
			Name:         &fhir.HumanName{Family: ref(pick(r, w.families)), Given: []string{pick(r, w.givens)}},
			Gender:       ref(fhir.AdministrativeGenderFemale),
			Period:       &fhir.Period{Start: ref("2012")},
		}}
	}
	if r.percent(5) {
		clinic := fhir.Organization{Id: ref("clinic"), Name: ref("Former clinic – " + pick(r, w.places)), Active: ref(false)}
		p.Contained = []any{clinic}
		p.GeneralPractitioner = append(p.GeneralPractitioner, fhir.Reference{Reference: ref("#clinic")})
	}
	if i > 0 && r.percent(2) {
		p.Link = []fhir.PatientLink{{Other: reference("Patient", g.patientID(r.intn(i))), Type: fhir.LinkTypeSeealso}}
	}
	return g.out.add(patients, p)
}

// names gives a patient one or two names, some with parts that are only known
// to be unknown.
func (g *generator) names(r *random) []humanName {
	w := g.words
	official := humanName{HumanName: fhir.HumanName{Use: ref(fhir.NameUseOfficial), Family: ref(pick(r, w.families)), Prefix: []string{pick(r, []string{"Ms.", "Mr.", "Mx.", "Dr."})}}}
	for range r.between(1, 3) {
		official.Given = append(official.Given, ref(pick(r, w.givens)))
	}
	if r.percent(10) {
		// A repeated primitive with a null, aligned with its companions.
		official.Given = append(official.Given, nil)
		official.GivenCompanion = make([]*companion, len(official.Given))
		official.GivenCompanion[len(official.Given)-1] = reasonAbsent("masked")
	}
	if r.percent(10) {
		own := "Own"
		official.FamilyCompanion = &companion{ID: ref("family"), Extension: []fhir.Extension{{Url: extensions + "humanname-own-name", ValueString: &own}}}
	}
	names := []humanName{official}
	if r.percent(20) {
		names = append(names, humanName{HumanName: fhir.HumanName{
			Use: ref(fhir.NameUseMaiden), Family: ref(pick(r, w.families)), Period: &fhir.Period{End: ref(strconv.Itoa(1990 + r.intn(30)))},
		}, Given: []*string{ref(pick(r, w.givens))}})
	}
	return names
}

// demographics are the extensions that nearly every US server sends, and a few
// with decimals and nested addresses.
func (g *generator) demographics(r *random) []fhir.Extension {
	race := pick(r, g.words.races)
	coding := race.coding()
	out := []fhir.Extension{
		{Url: "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race", Extension: []fhir.Extension{
			{Url: "ombCategory", ValueCoding: &coding}, {Url: "text", ValueString: ref(race.display)},
		}},
		{Url: "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex", ValueCode: ref(pick(r, []string{"F", "M", "UNK"}))},
		{Url: extensions + "patient-mothersMaidenName", ValueString: ref(pick(r, g.words.families))},
		{Url: extensions + "patient-birthPlace", ValueAddress: &fhir.Address{City: ref(pick(r, g.words.places)), Country: ref("US")}},
		{Url: "http://example.org/fhir/StructureDefinition/disability-adjusted-life-years", ValueDecimal: decimal(r, r.intn(1<<40), 11)},
		{Url: "http://example.org/fhir/StructureDefinition/quality-adjusted-life-years", ValueDecimal: decimal(r, r.intn(1<<50), 14)},
	}
	if r.percent(20) {
		out = append(out, fhir.Extension{Url: extensions + "patient-importance", ValueCodeableConcept: &fhir.CodeableConcept{Text: ref("VIP")}})
	}
	return out
}

func (g *generator) identifiers(r *random, i int) []fhir.Identifier {
	kind := func(c, display string) *fhir.CodeableConcept {
		return ref((&code{bodyOf + "v2-0203", c, display}).concept())
	}
	mrn := identifier("mrn", strconv.Itoa(100000+i))
	mrn.Use, mrn.Type = ref(fhir.IdentifierUseUsual), kind("MR", "Medical Record Number")
	mrn.Assigner = &fhir.Reference{Display: ref("Example General Hospital")}
	ssn := fhir.Identifier{System: ref("http://hl7.org/fhir/sid/us-ssn"), Value: ref("999-" + strconv.Itoa(10+r.intn(90)) + "-" + strconv.Itoa(1000+r.intn(9000))), Type: kind("SS", "Social Security Number")}
	out := []fhir.Identifier{mrn, ssn}
	if r.percent(50) {
		out = append(out, fhir.Identifier{System: ref("urn:oid:2.16.840.1.113883.4.3.25"), Value: ref("S" + strconv.Itoa(10000000+r.intn(90000000))), Type: kind("DL", "Driver's License"), Period: &fhir.Period{Start: ref("2019-05-01"), End: ref("2029-05")}})
	}
	return out
}

func (g *generator) address(r *random) address {
	out := address{Address: fhir.Address{
		Use: ref(fhir.AddressUseHome), Line: []string{strconv.Itoa(1+r.intn(900)) + " " + pick(r, g.words.streets)}, City: ref(pick(r, g.words.places)),
		State: ref("MA"), PostalCode: ref("0" + strconv.Itoa(1000+r.intn(1800))), Country: ref("US"),
		Extension: []fhir.Extension{{Url: extensions + "geolocation", Extension: []fhir.Extension{
			{Url: "latitude", ValueDecimal: decimal(r, 4100000000000+r.intn(200000000000), 11)},
			{Url: "longitude", ValueDecimal: decimal(r, -7300000000000+r.intn(300000000000), 11)},
		}}},
	}}
	if r.percent(20) {
		out.Line = append(out.Line, "Apt "+strconv.Itoa(r.intn(99)))
		out.LineCompanion = []*companion{nil, {Extension: []fhir.Extension{{Url: "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-unitID", ValueString: ref("unit")}}}}
	}
	return out
}

// birth sets what is known of birth and death.
func (g *generator) birth(r *random, p *patient, born time.Time) {
	switch r.intn(20) {
	case 0:
		p.BirthDate = ref(born.Format("2006"))
	case 1:
		p.BirthDate = ref(born.Format("2006-01"))
	case 2:
		p.BirthDateCompanion = reasonAbsent("unknown")
	case 3, 4, 5, 6:
		p.BirthDate = ref(born.Format(time.DateOnly))
		p.BirthDateCompanion = &companion{Extension: []fhir.Extension{{Url: extensions + "patient-birthTime", ValueDateTime: ref(born.Format("2006-01-02T15:04:05-07:00"))}}}
	default:
		p.BirthDate = ref(born.Format(time.DateOnly))
	}
	switch r.intn(20) {
	case 0:
		p.DeceasedDateTime = ref(dateTime(r, born.AddDate(40+r.intn(50), 0, r.intn(300))))
	case 1, 2:
		p.DeceasedBoolean = ref(false)
	}
	switch r.intn(20) {
	case 0:
		p.MultipleBirthInteger = ref(1 + r.intn(3))
	case 1, 2, 3:
		p.MultipleBirthBoolean = ref(false)
	}
	if r.percent(5) {
		p.GenderCompanion = &companion{Extension: []fhir.Extension{{Url: extensions + "patient-genderIdentity", ValueCodeableConcept: &fhir.CodeableConcept{Text: ref("non-binary")}}}}
	}
}
