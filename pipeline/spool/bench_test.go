package spool

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// benchBodies are bodies to land: those of FLUE_TEST_DATA, or made ones.
func benchBodies(b *testing.B) [][]byte {
	b.Helper()
	dir := os.Getenv("FLUE_TEST_DATA")
	if dir == "" {
		return [][]byte{patients(1, 200_000)}
	}
	paths, err := filepath.Glob(filepath.Join(dir, "synthea-100", "*.ndjson.gz"))
	if err != nil || len(paths) == 0 {
		b.Fatalf("no data in %s: %v", dir, err)
	}
	var bodies [][]byte
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			b.Fatal(err)
		}
		data, err := io.ReadAll(z)
		if err != nil {
			b.Fatal(err)
		}
		_ = f.Close()
		bodies = append(bodies, data)
	}
	return bodies
}

// BenchmarkLand lands whole bodies: bytes to disk, every line walked, hashed and
// indexed. MB/s are of decoded bytes.
func BenchmarkLand(b *testing.B) {
	plain := benchBodies(b)
	var packed [][]byte
	var total int64
	for _, body := range plain {
		packed = append(packed, gz(b, body))
		total += int64(len(body))
	}
	for name, bodies := range map[string][][]byte{"Identity": plain, "Gzip": packed} {
		b.Run(name, func(b *testing.B) {
			r := newRun(b)
			b.SetBytes(total)
			b.ReportAllocs()
			for b.Loop() {
				for i, body := range bodies {
					key := strconv.Itoa(i)
					land(b, r, key, unknown, source(body))
					if err := r.Drop(key); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkLandSmall lands bodies of 20 lines.
func BenchmarkLandSmall(b *testing.B) {
	r := newRun(b)
	body := gz(b, patients(1, 20))
	b.ReportAllocs()
	var n int
	for b.Loop() {
		n++
		land(b, r, strconv.Itoa(n), unknown, source(body))
	}
}

// BenchmarkOpen reads landed parts.
func BenchmarkOpen(b *testing.B) {
	body := bytes.Join(benchBodies(b), nil)
	for name, sent := range map[string][]byte{"Identity": body, "Gzip": gz(b, body)} {
		b.Run(name, func(b *testing.B) {
			p := land(b, newRun(b), "k", unknown, source(sent))
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				r, err := p.Open()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
				_ = r.Close()
			}
		})
	}
}

// BenchmarkSelect selects among 400,000 lines in 20 parts.
func BenchmarkSelect(b *testing.B) {
	r := newRun(b)
	var parts []*Part
	for i := range 20 {
		parts = append(parts, land(b, r, strconv.Itoa(i), unknown, source(patients(uint64(i), 20_000))))
	}
	b.ReportAllocs()
	for b.Loop() {
		s, err := r.Select(b.Context(), "Patient", parts, SelectOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(400_000*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}
