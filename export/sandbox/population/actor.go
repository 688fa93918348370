package population

import (
	"crypto/sha1"
	"encoding/base64"
	"strconv"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// The cohorts of a population. A cohort's size is bounded, so that one line of
// Group.ndjson stays small beside the data.
const (
	everyTenth = "every-tenth"
	smallGroup = "small"
	maxMembers = 10_000
	maxSmall   = 20
)

// actors makes what the patients' resources refer to, and the groups.
func (g *generator) actors() error {
	for i := range g.organizations {
		if err := g.organization(i); err != nil {
			return err
		}
	}
	for i := range g.practitioners {
		if err := g.practitioner(i); err != nil {
			return err
		}
	}
	if err := g.group(everyTenth, "Every tenth patient", 10, maxMembers); err != nil {
		return err
	}
	return g.group(smallGroup, "The first patients", 1, maxSmall)
}

func (g *generator) organization(i int) error {
	rnd := newRandom(g.Seed, forOrganization, uint64(i))
	r, w := &rnd, g.words
	o := organization{ResourceType: "Organization"}
	o.Id = ref(organizationID(i))
	o.Meta = g.meta(r, "us-core-organization")
	o.Active = ref(true)
	o.Identifier = []fhir.Identifier{identifier("organization", strconv.Itoa(i))}
	kind := code{bodyOf + "organization-type", "prov", "Healthcare Provider"}
	o.Type = []fhir.CodeableConcept{kind.concept()}
	o.Name = ref(pick(r, w.places) + " Medical Center")
	o.Telecom = []fhir.ContactPoint{{System: ref(fhir.ContactPointSystemPhone), Value: ref("555-" + strconv.Itoa(1000000+r.intn(9000000)))}}
	o.OtherOrganization.Address = []fhir.Address{{Line: []string{"1 " + pick(r, w.streets)}, City: ref(pick(r, w.places)), Country: ref("US")}}
	if i%3 == 0 {
		// Nulls stand where the companion says why there is no value.
		o.Alias = []*string{ref("Center " + strconv.Itoa(i)), nil, ref("Клиника")}
		o.AliasCompanion = []*companion{nil, reasonAbsent("masked"), {ID: ref("cyrillic")}}
	}
	if i > 0 && r.percent(30) {
		o.PartOf = ref(g.organizationRef(r.intn(i)))
	}
	return g.out.add(organizations, o)
}

func (g *generator) practitioner(i int) error {
	rnd := newRandom(g.Seed, forPractitioner, uint64(i))
	r, w := &rnd, g.words
	given, family := pick(r, w.givens), pick(r, w.families)
	return g.out.add(practitioners, fhir.Practitioner{
		Id: ref(practitionerID(i)), Meta: g.meta(r, "us-core-practitioner"), Active: ref(true),
		Identifier: []fhir.Identifier{{System: ref("http://hl7.org/fhir/sid/us-npi"), Value: ref(strconv.Itoa(9999000000 + i))}},
		Name:       []fhir.HumanName{{Family: &family, Given: []string{given}, Prefix: []string{"Dr."}}},
		Telecom:    []fhir.ContactPoint{{System: ref(fhir.ContactPointSystemEmail), Value: ref("practitioner." + strconv.Itoa(i) + "@example.org"), Use: ref(fhir.ContactPointUseWork)}},
		Gender:     ref(fhir.AdministrativeGenderFemale),
		Qualification: []fhir.PractitionerQualification{{
			Code: g.concept(r, w.specialties), Period: &fhir.Period{Start: ref(strconv.Itoa(1980 + r.intn(40)))}, Issuer: ref(g.organizationRef(r.intn(g.organizations))),
		}},
	})
}

// group makes a cohort of every step-th patient. Its last member, where there
// are several, is no longer active.
func (g *generator) group(id, name string, step, limit int) error {
	rnd := newRandom(g.Seed, forGroup, uint64(step))
	r := &rnd
	out := group{ResourceType: "Group"}
	out.Id = &id
	out.Meta = g.meta(r, "")
	out.Type = fhir.GroupTypePerson
	out.Actual = true
	out.Active = ref(true)
	out.Name = &name
	out.Identifier = []fhir.Identifier{identifier("cohort", id)}
	for i := 0; i < g.Patients && len(out.Member) < limit; i += step {
		out.Member = append(out.Member, fhir.GroupMember{Entity: reference("Patient", g.patientID(i)), Period: &fhir.Period{Start: ref("2022-01-01")}})
	}
	if n := len(out.Member); n > 2 {
		out.Member[n-1].Inactive = ref(true)
	}
	out.Quantity = ref(len(out.Member))
	return g.out.add(groups, out)
}

func sha1Base64(s string) string {
	sum := sha1.Sum([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
