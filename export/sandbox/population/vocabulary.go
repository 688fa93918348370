package population

import "github.com/samply/golang-fhir-models/fhir-models/fhir"

// The code systems of the population.
const (
	loinc      = "http://loinc.org"
	snomed     = "http://snomed.info/sct"
	rxnorm     = "http://www.nlm.nih.gov/research/umls/rxnorm"
	icd10      = "http://hl7.org/fhir/sid/icd-10-cm"
	cvx        = "http://hl7.org/fhir/sid/cvx"
	ucum       = "http://unitsofmeasure.org"
	cpt        = "http://www.ama-assn.org/go/cpt"
	bodyOf     = "http://terminology.hl7.org/CodeSystem/"
	hospital   = "http://hospital.example.org/"
	extensions = "http://hl7.org/fhir/StructureDefinition/"
	absent     = extensions + "data-absent-reason"
)

type code struct{ system, code, display string }

// concept is the code as a CodeableConcept; its strings are shared.
func (c *code) concept() fhir.CodeableConcept {
	return fhir.CodeableConcept{Coding: []fhir.Coding{c.coding()}, Text: &c.display}
}

// bare is the code as a CodeableConcept without a text.
func (c *code) bare() fhir.CodeableConcept {
	return fhir.CodeableConcept{Coding: []fhir.Coding{c.coding()}}
}

func (c *code) coding() fhir.Coding {
	out := fhir.Coding{System: &c.system, Code: &c.code}
	if c.display != "" {
		out.Display = &c.display
	}
	return out
}

// measurement is an observation with a quantity: values from lo to hi in steps
// of 10^-decimals.
type measurement struct {
	code
	unit, ucum string
	lo, hi     int
	decimals   int
	category   int // index of categories
}

// vocabulary holds the tables that resources draw from. A generator has its
// own, which nothing changes after newVocabulary.
type vocabulary struct {
	conditions, procedures, medications, vaccines, reports, encounters []code
	classes, categories, answers, interpretations, specialties         []code
	billing, adjudications, documents, maritals, races, languages      []code
	measurements                                                       []measurement
	families, givens, streets, places, notes                           []string
}

func newVocabulary() *vocabulary {
	return &vocabulary{
		conditions: []code{
			{snomed, "44054006", "Diabetes mellitus type 2"},
			{snomed, "38341003", "Hypertensive disorder, systemic arterial"},
			{snomed, "195662009", "Acute viral pharyngitis"},
			{snomed, "10509002", "Acute bronchitis"},
			{snomed, "55822004", "Hyperlipidemia"},
			{snomed, "40055000", "Chronic sinusitis"},
			{icd10, "E11.9", "Type 2 diabetes mellitus without complications"},
			{icd10, "J45.909", "Unspecified asthma, uncomplicated"},
			{icd10, "I10", "Essential (primary) hypertension"},
			{icd10, "M54.50", "Low back pain, unspecified"},
			{snomed, "73211009", "Diabète sucré"},
			{snomed, "53741008", "Koronare Herzkrankheit"},
		},
		procedures: []code{
			{snomed, "430193006", "Medication reconciliation"},
			{snomed, "73761001", "Colonoscopy"},
			{snomed, "180325003", "Electrical cardioversion"},
			{snomed, "71388002", "Procedure"},
			{cpt, "99213", "Office or other outpatient visit"},
			{cpt, "93000", "Electrocardiogram, complete"},
			{snomed, "80146002", "Excision of appendix"},
			{snomed, "265764009", "Renal dialysis"},
		},
		medications: []code{
			{rxnorm, "860975", "24 HR metformin hydrochloride 500 MG Extended Release Oral Tablet"},
			{rxnorm, "314076", "lisinopril 10 MG Oral Tablet"},
			{rxnorm, "617311", "atorvastatin 40 MG Oral Tablet"},
			{rxnorm, "895994", "120 ACTUAT fluticasone propionate 0.044 MG/ACTUAT Metered Dose Inhaler"},
			{rxnorm, "308136", "amlodipine 2.5 MG Oral Tablet"},
			{rxnorm, "197361", "amlodipine 5 MG Oral Tablet"},
			{rxnorm, "562251", "amoxicillin 250 MG / clavulanate 125 MG Oral Tablet"},
		},
		vaccines: []code{
			{cvx, "140", "Influenza, seasonal, injectable, preservative free"},
			{cvx, "113", "Td (adult) preservative free"},
			{cvx, "121", "zoster"},
			{cvx, "133", "Pneumococcal conjugate PCV 13"},
			{cvx, "207", "COVID-19, mRNA, LNP-S, PF, 100 mcg/0.5 mL dose"},
		},
		reports: []code{
			{loinc, "51990-0", "Basic metabolic panel - Blood"},
			{loinc, "57698-3", "Lipid panel with direct LDL - Serum or Plasma"},
			{loinc, "58410-2", "CBC panel - Blood by Automated count"},
			{loinc, "24323-8", "Comprehensive metabolic 2000 panel - Serum or Plasma"},
		},
		encounters: []code{
			{snomed, "185345009", "Encounter for symptom"},
			{snomed, "162673000", "General examination of patient"},
			{snomed, "50849002", "Emergency room admission"},
			{snomed, "390906007", "Follow-up encounter"},
			{snomed, "32485007", "Hospital admission"},
		},
		classes: []code{
			{bodyOf + "v3-ActCode", "AMB", "ambulatory"},
			{bodyOf + "v3-ActCode", "EMER", "emergency"},
			{bodyOf + "v3-ActCode", "IMP", "inpatient encounter"},
			{bodyOf + "v3-ActCode", "VR", "virtual"},
		},
		categories: []code{
			{bodyOf + "observation-category", "vital-signs", "Vital Signs"},
			{bodyOf + "observation-category", "laboratory", "Laboratory"},
			{bodyOf + "observation-category", "survey", "Survey"},
			{bodyOf + "observation-category", "social-history", "Social History"},
		},
		answers: []code{
			{snomed, "266919005", "Never smoked tobacco"},
			{snomed, "8517006", "Ex-smoker"},
			{snomed, "449868002", "Smokes tobacco daily"},
			{loinc, "LA6576-8", "Positive"},
			{loinc, "LA6577-6", "Negative"},
		},
		interpretations: []code{
			{bodyOf + "v3-ObservationInterpretation", "N", "Normal"},
			{bodyOf + "v3-ObservationInterpretation", "H", "High"},
			{bodyOf + "v3-ObservationInterpretation", "L", "Low"},
			{bodyOf + "v3-ObservationInterpretation", "A", "Abnormal"},
		},
		specialties: []code{
			{bodyOf + "v2-0360/2.7", "MD", "Doctor of Medicine"},
			{bodyOf + "v2-0360/2.7", "RN", "Registered Nurse"},
			{bodyOf + "v2-0360/2.7", "PHD", "Doctor of Philosophy"},
		},
		billing: []code{
			{cpt, "99214", "Office visit, established patient, 30 minutes"},
			{cpt, "80053", "Comprehensive metabolic panel"},
			{cpt, "36415", "Collection of venous blood by venipuncture"},
			{cpt, "71046", "Radiologic examination, chest, 2 views"},
			{cpt, "90686", "Influenza virus vaccine, quadrivalent"},
			{snomed, "185349003", "Encounter for check up"},
		},
		adjudications: []code{
			{"https://bluebutton.cms.gov/resources/variables/line_coinsrnc_amt", "line_coinsrnc_amt", "Line Beneficiary Coinsurance Amount"},
			{"https://bluebutton.cms.gov/resources/variables/line_prvdr_pmt_amt", "line_prvdr_pmt_amt", "Line Provider Payment Amount"},
			{bodyOf + "adjudication", "submitted", "Submitted Amount"},
			{bodyOf + "adjudication", "benefit", "Benefit Amount"},
			{bodyOf + "adjudication", "deductible", "Deductible"},
		},
		documents: []code{
			{loinc, "34117-2", "History and physical note"}, {loinc, "18842-5", "Discharge summary"}, {loinc, "11506-3", "Progress note"},
		},
		maritals: []code{
			{bodyOf + "v3-MaritalStatus", "M", "Married"},
			{bodyOf + "v3-MaritalStatus", "S", "Never Married"},
			{bodyOf + "v3-MaritalStatus", "D", "Divorced"},
			{bodyOf + "v3-MaritalStatus", "W", "Widowed"},
		},
		races: []code{
			{"urn:oid:2.16.840.1.113883.6.238", "2106-3", "White"},
			{"urn:oid:2.16.840.1.113883.6.238", "2054-5", "Black or African American"},
			{"urn:oid:2.16.840.1.113883.6.238", "2028-9", "Asian"},
			{"urn:oid:2.16.840.1.113883.6.238", "1002-5", "American Indian or Alaska Native"},
		},
		languages: []code{
			{"urn:ietf:bcp:47", "en-US", "English"},
			{"urn:ietf:bcp:47", "es", "Español"},
			{"urn:ietf:bcp:47", "de", "Deutsch"},
			{"urn:ietf:bcp:47", "zh", "中文"},
			{"urn:ietf:bcp:47", "ar", "العربية"},
		},
		measurements: []measurement{
			{code{loinc, "8302-2", "Body Height"}, "cm", "cm", 1450, 2050, 1, 0},
			{code{loinc, "29463-7", "Body Weight"}, "kg", "kg", 4200, 14000, 2, 0},
			{code{loinc, "39156-5", "Body Mass Index"}, "kg/m2", "kg/m2", 170, 420, 1, 0},
			{code{loinc, "8867-4", "Heart rate"}, "/min", "/min", 48, 120, 0, 0},
			{code{loinc, "8310-5", "Body temperature"}, "Cel", "Cel", 360, 405, 1, 0},
			{code{loinc, "4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood"}, "%", "%", 400, 1300, 2, 1},
			{code{loinc, "2339-0", "Glucose [Mass/volume] in Blood"}, "mg/dL", "mg/dL", 6000, 24000, 2, 1},
			{code{loinc, "2160-0", "Creatinine [Mass/volume] in Serum or Plasma"}, "mg/dL", "mg/dL", 40, 320, 2, 1},
			{code{loinc, "2823-3", "Potassium [Moles/volume] in Serum or Plasma"}, "mmol/L", "mmol/L", 280, 630, 2, 1},
			{code{loinc, "718-7", "Hemoglobin [Mass/volume] in Blood"}, "g/dL", "g/dL", 700, 1900, 2, 1},
			{code{loinc, "6690-2", "Leukocytes [#/volume] in Blood by Automated count"}, "10*3/uL", "10*3/uL", 20000, 150000, 4, 1},
			{code{loinc, "2571-8", "Triglycerides"}, "mg/dL", "mg/dL", 4000, 52000, 2, 1},
		},
		families: []string{
			"Lemke", "O'Connor", "García-Márquez", "Nguyễn", "Müller", "Łukasiewicz", "Sørensen", "Þórðarson", "Иванова", "王", "佐藤", "김",
			"Al-Farsi", "de la Cruz", "Öztürk", "Papadopoulos", "Smith", "Johnson", "Okonkwo", "Çelik", "van der Berg", "Dvořák",
		},
		givens: []string{
			"Abram", "María José", "Zoë", "Łucja", "Björk", "Анна", "伟", "花子", "지우", "Fatima", "Kwame", "Siobhán", "Renée", "Noah", "Emma",
			"Jürgen", "Ines", "Olu", "Tadeáš", "Ayşe", "Mary-Ann", "X Æ A-12",
		},
		streets: []string{"Nikolaus Gate", "Champs-Élysées", "Kaiser-Wilhelm-Straße", "O’Keefe Road", "Rua São João", "Main Street", "Gata \"Vid Ån\"", "1/2 Elm Court"},
		places:  []string{"Easthampton", "Zürich", "São Paulo", "Kraków", "Reykjavík", "Springfield", "東京", "Saint-Étienne", "Boston"},
		notes: []string{
			"Patient tolerated the procedure well.", "Wert bestätigt; Kontrolle in 3 Monaten.", "Repeat if > 24 h old & fasting < 8 h.",
			"Line one.\nLine two with a tab\tand \"quotes\".", "Résultat à confirmer – échantillon hémolysé.", "検体は溶血していた。", "Doing fine 🙂, back on 3/4.",
			"Path C:\\lab\\run7 rejected; re-run accepted.",
		},
	}
}
