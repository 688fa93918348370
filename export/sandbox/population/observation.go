package population

import (
	"strconv"
	"strings"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// concept is one of the codes as a CodeableConcept.
func (g *generator) concept(r *random, codes []code) fhir.CodeableConcept {
	return codes[r.intn(len(codes))].concept()
}

// concepts is one of the codes as a list of one CodeableConcept.
func (g *generator) concepts(r *random, codes []code) []fhir.CodeableConcept {
	return []fhir.CodeableConcept{g.concept(r, codes)}
}

func (g *generator) observation(v *visit, id string) error {
	r, w := v.r, g.words
	m := &w.measurements[r.intn(len(w.measurements))]
	o := observation{ResourceType: "Observation"}
	o.Id = &id
	o.Meta = g.meta(r, "us-core-observation-lab")
	o.Status = fhir.ObservationStatusFinal
	if r.percent(5) {
		o.Status = fhir.ObservationStatusAmended
	}
	o.Identifier = []fhir.Identifier{identifier("observation", id[:8])}
	o.Subject = ref(v.subject())
	o.Encounter = ref(v.encounterOf())
	o.Performer = []fhir.Reference{g.practitionerRef(v.practitioner)}
	o.Issued = ref(instant(v.at.Add(time.Duration(r.intn(86400000)) * time.Millisecond)))
	switch r.intn(10) {
	case 0:
		o.EffectivePeriod = &fhir.Period{Start: ref(dateTime(r, v.at)), End: ref(v.at.Add(time.Hour).Format("2006-01-02T15:04:05-07:00"))}
	case 1:
		o.EffectiveInstant = ref(instant(v.at))
	case 2:
		o.EffectiveCompanion = reasonAbsent("unknown")
	default:
		o.EffectiveDateTime = ref(dateTime(r, v.at))
	}
	g.value(r, &o, m)
	if r.percent(10) {
		o.Note = []fhir.Annotation{{AuthorReference: ref(g.practitionerRef(v.practitioner)), Time: ref(v.at.Format("2006-01-02T15:04:05-07:00")), Text: pick(r, w.notes)}}
	}
	if r.percent(6) {
		o.Contained = []any{fhir.Specimen{Id: ref("spec"), Subject: ref(v.subject()), Type: &fhir.CodeableConcept{Text: ref("Venous blood")}, ReceivedTime: ref(dateTime(r, v.at))}}
		o.Specimen = &fhir.Reference{Reference: ref("#spec"), Display: ref("Venous blood")}
	}
	if r.percent(4) {
		o.Device = &fhir.Reference{Identifier: ref(identifier("device", strconv.Itoa(r.intn(5000)))), Display: ref("Analyzer")}
	}
	return g.out.add(observations, o)
}

// value gives the observation its code and one of the choices of value[x], a
// reason why it has none, or components.
func (g *generator) value(r *random, o *observation, m *measurement) {
	w := g.words
	o.Category = []fhir.CodeableConcept{w.categories[m.category].bare()}
	o.Code = m.concept()
	number := func() *fhir.Quantity { return quantity(decimal(r, r.between(m.lo, m.hi), m.decimals), m.unit, m.ucum) }
	switch n := r.intn(100); {
	case n < 62:
		o.ValueQuantity = number()
		if r.percent(5) {
			o.ValueQuantity.Comparator = ref(fhir.QuantityComparatorLessThan)
		}
		if r.percent(40) {
			o.Interpretation = g.concepts(r, w.interpretations)
			o.ReferenceRange = []fhir.ObservationReferenceRange{{
				Low: quantity(decimal(r, m.lo, m.decimals), m.unit, m.ucum), High: quantity(decimal(r, m.hi, m.decimals), m.unit, m.ucum), Text: ref("normal for adults"),
			}}
		}
	case n < 72:
		g.bloodPressure(r, o)
	case n < 80:
		o.Category = []fhir.CodeableConcept{w.categories[2+r.intn(2)].bare()}
		o.Code = (&code{loinc, "72166-2", "Tobacco smoking status"}).concept()
		o.ValueCodeableConcept = ref(g.concept(r, w.answers))
	case n < 84:
		o.ValueString = ref(pick(r, w.notes))
		if r.percent(30) {
			o.ValueCompanion = &companion{Extension: []fhir.Extension{{Url: extensions + "translation", Extension: []fhir.Extension{{Url: "lang", ValueCode: ref("de")}, {Url: "content", ValueString: ref("Übersetzung")}}}}}
		}
	case n < 86:
		o.ValueBoolean = ref(r.percent(50))
	case n < 89:
		o.ValueInteger = ref(r.intn(30))
	case n < 91:
		o.ValueRange = &fhir.Range{Low: number(), High: quantity(decimal(r, m.hi, m.decimals), m.unit, m.ucum)}
	case n < 93:
		o.ValueRatio = &fhir.Ratio{Numerator: quantity(decimal(r, 1, 0), "", "1"), Denominator: quantity(decimal(r, 1<<r.intn(9), 0), "", "1")}
	case n < 94:
		o.ValueSampledData = sampled(r)
	case n < 95:
		o.ValueTime = ref("0" + strconv.Itoa(r.intn(10)) + ":30:00")
	case n < 97:
		o.ValueDateTime = ref(strconv.Itoa(1990+r.intn(30)) + "-0" + strconv.Itoa(1+r.intn(9)))
	case n < 98:
		o.ValuePeriod = &fhir.Period{Start: ref("2019-02"), End: ref("2019-02-28")}
	default:
		o.DataAbsentReason = ref((&code{bodyOf + "data-absent-reason", "not-performed", "Not Performed"}).concept())
	}
}

func (g *generator) bloodPressure(r *random, o *observation) {
	o.Category = []fhir.CodeableConcept{g.words.categories[0].bare()}
	o.Code = (&code{loinc, "85354-9", "Blood pressure panel with all children optional"}).concept()
	systolic := fhir.ObservationComponent{
		Code:          (&code{loinc, "8480-6", "Systolic blood pressure"}).concept(),
		ValueQuantity: quantity(decimal(r, r.between(90, 190), 0), "mm[Hg]", "mm[Hg]"),
	}
	diastolic := fhir.ObservationComponent{
		Code:          (&code{loinc, "8462-4", "Diastolic blood pressure"}).concept(),
		ValueQuantity: quantity(decimal(r, r.between(50, 110), 0), "mm[Hg]", "mm[Hg]"),
	}
	if r.percent(5) {
		diastolic.ValueQuantity = nil
		diastolic.DataAbsentReason = ref((&code{bodyOf + "data-absent-reason", "error", "Error"}).concept())
	}
	o.Component = []fhir.ObservationComponent{systolic, diastolic}
}

func sampled(r *random) *fhir.SampledData {
	var data strings.Builder
	for i := range r.between(20, 60) {
		if i > 0 {
			data.WriteByte(' ')
		}
		data.WriteString(strconv.Itoa(r.intn(4096) - 2048))
	}
	return &fhir.SampledData{
		Origin: *quantity(decimal(r, 0, 0), "mV", "mV"), Period: "10", Factor: decimal(r, r.intn(9999), 6),
		LowerLimit: decimal(r, -3300, 3), UpperLimit: decimal(r, 3300, 3), Dimensions: 1, Data: ref(data.String()),
	}
}
