package query

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/flue-fhir/flue/internal/definition"
)

const observation = `{"resourceType":"Observation","id":"o","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"1234-5"},{"code":"local"}],"text":"Text"},
	"subject":{"reference":"Patient/p"},"effectivePeriod":{"start":"2020-03","end":"2020-03-20"},"issued":"2020-03-01T10:00:00.500+01:00",
	"valueQuantity":{"value":6.30,"unit":"mmol","system":"http://unitsofmeasure.org","code":"mmol/L"},"encounter":{"reference":"Encounter/e/_history/1"}}`

const patient = `{"resourceType":"Patient","id":"p","active":true,"name":[{"family":"O'Brien","given":["Zoë","Anna"]}],"gender":"female","birthDate":"1980-02",
	"address":[{"city":"Zürich","line":["Main, Street 1"]}],"telecom":[{"system":"phone","value":"555-1"}],"identifier":[{"system":"urn:a","value":"1|2"}],
	"generalPractitioner":[{"reference":"urn:uuid:abc"}]}`

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		typ, query string
		want       bool
	}{
		{"Observation", "code=1234-5", true},
		{"Observation", "code=http://loinc.org|1234-5", true},
		{"Observation", "code=http://loinc.org|", true},
		{"Observation", "code=|local", true},
		{"Observation", "code=|1234-5", false},
		{"Observation", "code=http://snomed.info/sct|1234-5", false},
		{"Observation", "code=x,y,local", true},
		{"Observation", "code=1234-5&status=final", true},
		{"Observation", "code=1234-5&status=amended", false},
		{"Observation", "code:not=1234-5", false},
		{"Observation", "code:not=5", true},
		{"Observation", "code:missing=false", true},
		{"Observation", "performer:missing=true", true},
		{"Observation", "performer:missing=false", false},
		{"Observation", "date=2020-03", true},
		{"Observation", "date=2020", true},
		{"Observation", "date=2020-03-10", false},
		{"Observation", "date=ge2020-03-10", true},
		{"Observation", "date=gt2020-03-20", false},
		{"Observation", "date=lt2020-03-01", false},
		{"Observation", "date=le2020-03-01", false}, // it begins in that day and ends after it
		{"Observation", "date=sa2020-02", true},
		{"Observation", "date=eb2020-04", true},
		{"Observation", "date=ne2020-03", false},
		{"Observation", "date=ap2020-03-05", true},
		{"Observation", "date=ge2020-03-01&date=lt2020-04-01", true},
		{"Observation", "value-quantity=6.3", true},
		{"Observation", "value-quantity=6.31", false},
		{"Observation", "value-quantity=gt6|http://unitsofmeasure.org|mmol/L", true},
		{"Observation", "value-quantity=6.3||mmol", true},
		{"Observation", "value-quantity=6.3||kg", false},
		{"Observation", "value-quantity=lt6.30", false},
		{"Observation", "value-quantity=le6.30", true},
		{"Observation", "value-quantity=63e-1", true},
		{"Observation", "value-quantity=ap6", true},
		{"Observation", "encounter=Encounter/e", true},
		{"Observation", "encounter=e", true},
		{"Observation", "encounter=http://x/Encounter/e", true},
		{"Observation", "encounter=Encounter/f", false},
		{"Patient", "family=o'b", true},
		{"Patient", "family=brien", false},
		{"Patient", "family:contains=brien", true},
		{"Patient", "family:exact=o'brien", false},
		{"Patient", "family:exact=O'Brien", true},
		{"Patient", "name=anna", true},
		{"Patient", "name=zoë,xyz", true},
		{"Patient", "address=main\\, street", true},
		{"Patient", "address=main\\, street 2", false},
		{"Patient", "address-city=ZÜRICH", true},
		{"Patient", "gender=female", true},
		{"Patient", "gender=male", false},
		{"Patient", "active=true", true},
		{"Patient", "birthdate=1980", true},
		{"Patient", "birthdate=1980-02-01", false},
		{"Patient", "birthdate=lt1981", true},
		{"Patient", "phone=555-1", true},
		{"Patient", "email=555-1", false},
		{"Patient", "identifier=urn:a|1\\|2", true},
		{"Patient", "identifier=urn:a|1", false},
		{"Patient", "deceased=false", true},
		{"Patient", "deceased=true", false},
		{"Patient", "general-practitioner:Practitioner=abc", true},
		{"Patient", "general-practitioner=Organization/abc", true}, // a urn:uuid does not tell its type
	} {
		q, err := ParseTypeFilter(tt.typ + "?" + strings.ReplaceAll(tt.query, "+", "%2B"))
		if err != nil {
			t.Errorf("%s: %v", tt.query, err)
			continue
		}
		line := observation
		if tt.typ == "Patient" {
			line = patient
		}
		if got := q.MatchLine([]byte(line)); got != tt.want {
			t.Errorf("%s?%s = %v", tt.typ, tt.query, got)
		}
		if q.MatchLine([]byte("{torn")) && !q.Indexed() {
			t.Errorf("%s matches a line that is not JSON", tt.query)
		}
	}
}

func TestUpdatedAndID(t *testing.T) {
	at := time.Date(2024, 5, 6, 7, 8, 9, 123456e3, time.UTC)
	for query, want := range map[string]bool{
		"_lastUpdated=2024-05-06": true, "_lastUpdated=gt2024-05-06T07:08:09.123Z": false, "_lastUpdated=ge2024-05-06T07:08:09.123Z": true,
		"_lastUpdated=ge2024-05-06T09:08:09%2B02:00": true, "_lastUpdated=lt2024-05-06T07:08:09.124Z": true, "_lastUpdated=lt2024": false,
		"_lastUpdated=ge2024&_lastUpdated=lt2025": true, "_lastUpdated=2023,2024": true,
	} {
		q, err := ParseTypeFilter("Patient?" + query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := q.MatchUpdated(at.UnixMicro()); got != want || !q.Indexed() {
			t.Errorf("%s = %v", query, got)
		}
	}
	q, err := ParseTypeFilter(`Patient?_id=a,b\,c`)
	if err != nil || !q.MatchID("a") || !q.MatchID("b,c") || q.MatchID("b") {
		t.Errorf("_id: %v %+v", err, q)
	}
}

func TestPatients(t *testing.T) {
	for query, want := range map[string]string{
		"Observation?patient=a,Patient/b":         "patient=[a b]",
		"Observation?subject=Patient/a":           "subject=[a]",
		"Observation?subject:Patient=a":           "subject=[a]",
		"Observation?subject=a":                   "",
		"Observation?subject=Patient/a,Group/b":   "",
		"Observation?subject=Device/a":            "",
		"Claim?patient=http://x/fhir/Patient/a":   "patient=[a]",
		"Observation?performer=Practitioner/a":    "",
		"Observation?patient=urn:uuid:a":          "patient=[a]",
		"Observation?performer:Patient=Patient/x": "performer=[x]",
	} {
		q, err := ParseTypeFilter(query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		got := ""
		for _, p := range q.Patients {
			got += fmt.Sprintf("%s=%v", p.Code, p.IDs)
		}
		if got != want || (want == "") == q.Indexed() {
			t.Errorf("%s: patients %q, want %q", query, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for filter, unsupported := range map[string]bool{
		"Observation": false, "Observation?": false, "?code=x": false, "Nonsense?code=x": false, "Observation?code=%zz": false,
		"Observation?code=": false, "Observation?code=a,,b": false, "Observation?code=|": false, "Observation?date=yesterday": false, "Observation?date=2020-13": false,
		"Observation?value-quantity=x": false, "Observation?value-quantity=1|x": false, "Observation?value-quantity=0x10": false, "Observation?value-quantity=1e999": false, "Observation?value-quantity=NaN": false,
		"Observation?encounter=a/b": false, "Observation?encounter:Encounter=Patient/1": false, "Observation?code:missing=maybe": false,
		"Observation?foo=x": true, "Observation?code:text=x": true, "Observation?patient.name=x": true, "Observation?code-value-quantity=a$b": true,
		"Observation?_include=Observation:subject": true, "Observation?_sort=date": true, "Observation?_has:Group:member:_id=1": true,
		"Observation?subject:Nonsense=1": true, "Observation?date:exact=2020": true, "Observation?_count=1": true, "Observation?_lastUpdated:exact=2020": true,
	} {
		_, err := ParseTypeFilter(filter)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		if e.Unsupported != unsupported {
			t.Errorf("%s: %v: unsupported is %v", filter, err, e.Unsupported)
		}
	}
	many := url.Values{}
	for i := range maxParameters + 1 {
		many.Add("status", fmt.Sprint(i))
	}
	if _, err := Parse("Observation", many); err == nil {
		t.Error("too many parameters are accepted")
	}
	if _, err := Parse("Observation", url.Values{"status": {strings.Repeat("x,", maxValues) + "x"}}); err == nil {
		t.Error("too many values are accepted")
	}
}

// FuzzTypeFilter: whatever the filter, there is a query or an *Error, and the
// query can be asked.
func FuzzTypeFilter(f *testing.F) {
	for _, p := range definition.SearchParams("Observation") {
		f.Add("Observation?" + p.Code + "=x")
	}
	for _, seed := range []string{"Observation?date=ge2020-01-01T00:00:00%2B01:00", `Patient?name=a\,b,c&_id=1`, "Observation?value-quantity=lt5.4e-3|http://u|c", "Patient?general-practitioner:Practitioner=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, filter string) {
		q, err := ParseTypeFilter(filter)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || q != nil || len(err.Error()) > 300 {
				t.Fatalf("%v %v", q, err)
			}
			return
		}
		q.MatchLine([]byte(observation))
		q.MatchLine([]byte(patient))
		q.MatchUpdated(1 << 50)
		q.MatchID("x")
	})
}
