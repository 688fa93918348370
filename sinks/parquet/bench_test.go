package parquet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/flue-fhir/flue/sinks"
)

// discard is a staging that keeps nothing.
type discard struct{}

func (discard) Create(context.Context, string) (sinks.FileWriter, error) { return &discarded{}, nil }
func (discard) Remove(context.Context, string) error                     { return nil }
func (discard) Publish(context.Context, *sinks.Manifest) (string, error) { return "", nil }
func (discard) Discard(context.Context) error                            { return nil }
func (d *discarded) Write(b []byte) (int, error)                         { d.n += int64(len(b)); return len(b), nil }
func (d *discarded) Commit() (size int64, sha256 string, err error)      { return d.n, "", nil }
func (d *discarded) Abort() error                                        { return nil }

type discarded struct{ n int64 }

// repeated is a part that gives the same lines many times.
type repeated struct {
	part
	times int
}

func (r repeated) Open() (io.ReadCloser, error) {
	readers := make([]io.Reader, r.times)
	for i := range readers {
		readers[i] = bytes.NewReader(r.data)
	}
	return io.NopCloser(io.MultiReader(readers...)), nil
}

func (r repeated) Lines() int64 { return r.lines * int64(r.times) }
func (r repeated) Bytes() int64 { return int64(len(r.data)) * int64(r.times) }

func benchmarkConvert(b *testing.B, s *Sink, typ string, lines []byte) {
	p := part{data: lines}
	p.lines = p.Lines()
	in := newInput(b, typ, p)
	times := max(1, 32<<20/len(lines))
	in.Parts = []sinks.Part{repeated{p, times}}
	b.SetBytes(int64(len(lines) * times))
	b.ReportAllocs()
	rows := 0
	for b.Loop() {
		out, err := s.Convert(context.Background(), in, discard{})
		if err != nil {
			b.Fatal(err)
		}
		rows += int(out.Files[0].Rows)
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkConvert converts made-up Observations and Patients; -cpu sets the
// number of workers.
func BenchmarkConvert(b *testing.B) {
	var observations []string
	for i := range 4000 {
		observations = append(observations, fmt.Sprintf(
			`{"resourceType":"Observation","id":"%08x-0000-4000-8000-%012x","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs","display":"vital-signs"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"%d-%d","display":"Measure %d"}],"text":"Measure %d"},"subject":{"reference":"Patient/%d"},"encounter":{"reference":"Encounter/%d"},"effectiveDateTime":"2020-%02d-%02dT%02d:00:00-05:00","issued":"2020-%02d-%02dT%02d:00:00.123-05:00","valueQuantity":{"value":%d.%02d,"unit":"kg","system":"http://unitsofmeasure.org","code":"kg"}}`,
			i*2654435761, i*40503, i%90, i%10, i%90, i%90, i/100, i/10, i%12+1, i%28+1, i%24, i%12+1, i%28+1, i%24, i*7%500, i%100))
	}
	b.Run("Observation", func(b *testing.B) {
		benchmarkConvert(b, &Sink{}, "Observation", text(observations...).data)
	})
	b.Run("Patient", func(b *testing.B) {
		benchmarkConvert(b, &Sink{}, "Patient", text(patients(4000)...).data)
	})
}

// BenchmarkConvertData converts the resources of FLUE_TEST_DATA.
func BenchmarkConvertData(b *testing.B) {
	data := testData(b)
	for _, typ := range []string{"Observation", "ExplanationOfBenefit", "Encounter", "Claim", "Patient"} {
		b.Run(typ, func(b *testing.B) {
			benchmarkConvert(b, &Sink{}, typ, data[typ])
		})
	}
}

// BenchmarkShred is the walk and the column buffers without the encoding.
func BenchmarkShred(b *testing.B) {
	data := testData(b)
	for _, typ := range []string{"Observation", "ExplanationOfBenefit", "Encounter", "Claim", "Patient"} {
		b.Run(typ, func(b *testing.B) {
			s := &Sink{}
			in := newInput(b, typ, part{data: data[typ]})
			tree, err := s.columns(in)
			if err != nil {
				b.Fatal(err)
			}
			l, err := newLayout(tree)
			if err != nil {
				b.Fatal(err)
			}
			t, err := s.newTeam(1, defaultBudget, in, l, nil)
			if err != nil {
				b.Fatal(err)
			}
			k := t.workers[0]
			k.feeder = &feeder{maxLine: mostLine}
			b.SetBytes(int64(len(data[typ])))
			b.ReportAllocs()
			for b.Loop() {
				block := block{data: data[typ]}
				if err := block.each(k.line); err != nil {
					b.Fatal(err)
				}
				k.shredder.reset()
			}
		})
	}
}
