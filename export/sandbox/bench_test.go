package sandbox

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/flue-fhir/flue/export/sandbox/population"
	"github.com/flue-fhir/flue/export/sandbox/store"
)

// bigDir is a folder with one file of at least 64 MB.
func bigDir(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	line, err := os.ReadFile(filepath.Join(populationDir(b), "ExplanationOfBenefit.ndjson"))
	if err != nil {
		b.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "ExplanationOfBenefit.ndjson"))
	if err != nil {
		b.Fatal(err)
	}
	for size := 0; size < 64<<20; size += len(line) {
		if _, err := f.Write(line); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return dir
}

// BenchmarkDownload measures one stream over loopback, the client's reads
// included.
func BenchmarkDownload(b *testing.B) {
	dir := bigDir(b)
	for _, coding := range []string{"identity", "gzip"} {
		b.Run(coding, func(b *testing.B) {
			c := serve(b, &Server{Data: openData(b, dir), FileSize: 1 << 30})
			f := c.wait(c.kickOff("/$export")).Output[0]
			buf := make([]byte, 1<<20)
			var size int64
			for b.Loop() {
				req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, f.URL, nil)
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("Accept-Encoding", coding)
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				size, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, buf)
				if err != nil || size != resp.ContentLength {
					b.Fatal(err, size, resp.ContentLength)
				}
				resp.Body.Close()
			}
			b.SetBytes(size)
		})
	}
}

// BenchmarkIndex measures the indexing of a folder that was never seen.
func BenchmarkIndex(b *testing.B) {
	dir := bigDir(b)
	for b.Loop() {
		data, err := store.Open(b.Context(), store.Options{Dir: dir, Cache: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		data.Close()
	}
	info, err := os.Stat(filepath.Join(dir, "ExplanationOfBenefit.ndjson"))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
}

// BenchmarkFilteredExport measures an export whose lines are looked at: by the
// index alone, and by a search parameter.
func BenchmarkFilteredExport(b *testing.B) {
	for name, target := range map[string]string{
		"since":      "/$export?_type=Observation&_since=2020-01-01T00:00:00Z",
		"typeFilter": "/$export?_type=Observation&_typeFilter=Observation%3Fcode%3D8302-2",
	} {
		b.Run(name, func(b *testing.B) {
			cache := b.TempDir()
			dir, err := population.Population{Patients: 1000, Seed: 1}.Dir(b.Context(), cache)
			if err != nil {
				b.Fatal(err)
			}
			c := serve(b, &Server{Data: openData(b, dir)})
			for b.Loop() {
				location := c.kickOff(target)
				c.wait(location)
				c.do(http.MethodDelete, location, "")
			}
			info, err := os.Stat(filepath.Join(dir, "Observation.ndjson"))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(info.Size())
		})
	}
}

// BenchmarkSearch measures pages of patients' observations.
func BenchmarkSearch(b *testing.B) {
	c := serve(b, &Server{})
	refs, err := openData(b, populationDir(b)).View().First("Patient", 20)
	if err != nil {
		b.Fatal(err)
	}
	target := "/Observation?_count=500&patient="
	for i, ref := range refs {
		if i > 0 {
			target += ","
		}
		target += ref.ID
	}
	size := 0
	for b.Loop() {
		a := c.get(target)
		if a.StatusCode != http.StatusOK {
			b.Fatal(fmt.Errorf("status %d", a.StatusCode))
		}
		size = len(a.body)
	}
	b.SetBytes(int64(size))
}
