package fhirjson

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// counter is a Handler that does next to nothing.
type counter struct{ scalars, others int }

func (c *counter) Struct(*Node)         { c.others++ }
func (c *counter) EndStruct(*Node)      {}
func (c *counter) List(*Node)           { c.others++ }
func (c *counter) EndList(*Node)        {}
func (c *counter) Scalar(*Node, Scalar) { c.scalars++ }
func (c *counter) Null(*Node)           { c.others++ }
func (c *counter) Unmapped(_, _ []byte) { c.others++ }

func benchLines(b *testing.B, name string, data []byte) {
	lines := splitLines(data)
	b.Run(name+"/land", func(b *testing.B) { benchWalk(b, data, lines, nil) })
	b.Run(name+"/shred", func(b *testing.B) { benchWalk(b, data, lines, &counter{}) })
	b.Run(name+"/late", func(b *testing.B) { // resourceType is the last member
		var late [][]byte
		for _, line := range lines {
			if !bytes.HasPrefix(line, []byte(`{"resourceType":`)) {
				late = append(late, line)
				continue
			}
			header, rest, _ := bytes.Cut(line[1:len(line)-1], []byte(","))
			late = append(late, slices.Concat([]byte("{"), rest, []byte(","), header, []byte("}")))
		}
		benchWalk(b, data, late, nil)
	})
	b.Run(name+"/jsontext", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			d := jsontext.NewDecoder(bytes.NewReader(data))
			for {
				if _, err := d.ReadToken(); err == io.EOF {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func benchWalk(b *testing.B, data []byte, lines [][]byte, h Handler) {
	var w Walker
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		for _, line := range lines {
			if _, err := w.Walk(line, h); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkGenerated walks made-up Observations, in the ways that servers write.
func BenchmarkGenerated(b *testing.B) {
	var compact bytes.Buffer
	for i := range 2000 {
		fmt.Fprintf(&compact, `{"resourceType":"Observation","id":"obs-%d","meta":{"versionId":"1","lastUpdated":"2024-03-%02dT10:11:12.345Z","profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab"]},`+
			`"status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory","display":"Laboratory"}]}],`+
			`"code":{"coding":[{"system":"http://loinc.org","code":"%d-6","display":"Blutzucker, nüchtern"}],"text":"glucose"},"subject":{"reference":"Patient/p%d"},"effectiveDateTime":"2024-03-%02dT08:00:00+01:00",`, i, i%28+1, 1000+i%50, i%100, i%28+1)
		if i%3 == 0 {
			fmt.Fprintf(&compact, `"dataAbsentReason":{"text":"insufficient sample"}}`)
		} else {
			fmt.Fprintf(&compact, `"valueQuantity":{"value":%d.%d,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"},"interpretation":[{"text":"normal"}]}`, 70+i%60, i%10)
		}
		compact.WriteByte('\n')
	}
	benchLines(b, "compact", compact.Bytes())
	spaced := strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(compact.String())
	benchLines(b, "spaced", []byte(spaced))
}

// BenchmarkData walks the shared data.
func BenchmarkData(b *testing.B) {
	for _, name := range []string{"Observation", "Claim", "ExplanationOfBenefit", "Encounter", "Patient", "DiagnosticReport"} {
		for _, data := range readData(b, "synthea-100/"+name+".ndjson.gz") {
			benchLines(b, name, data)
		}
	}
	for _, data := range readData(b, "r4-examples.ndjson.gz") {
		benchLines(b, "examples", data)
	}
}
