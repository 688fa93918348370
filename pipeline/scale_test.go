package pipeline

import (
	"runtime"
	"testing"
	"time"
)

// BenchmarkSmallFiles runs a job over many files of twenty lines: what the
// ledger, the spool and the manifest cost beside the data.
func BenchmarkSmallFiles(b *testing.B) {
	const files = 10_000
	for b.Loop() {
		b.StopTimer()
		s := newExportServer(b)
		s.population(files/2, 20, "Patient", "Observation")
		w := &world{Dir: b.TempDir(), URL: s.URL + "/fhir", Job: newWorldJob()}
		r, err := w.runner()
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		began := time.Now()
		sum, err := r.Run(b.Context(), Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/10,000-files")
		b.ReportMetric(float64(len(sum.Manifest.Files)), "files-published")
		b.StopTimer()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.Sys)/(1<<20), "MiB-from-system")
		_ = r.Ledger.Close()
		s.Close()
		b.StartTimer()
	}
}
