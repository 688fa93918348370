package fhirjson

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// readData returns the decoded NDJSON files of the shared test data that match
// the pattern, by name.
func readData(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	dir := os.Getenv("FLUE_TEST_DATA")
	if dir == "" {
		t.Skip("FLUE_TEST_DATA does not name the folder with test data")
	}
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no file matches %s: %v", pattern, err)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		files[filepath.Base(path)] = data
	}
	return files
}

func splitLines(data []byte) [][]byte {
	return bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
}

// Every resource of the shared data comes back from its events, by a tree that
// grows and by the frozen columns.
func TestDataRebuilds(t *testing.T) {
	for _, pattern := range []string{"r4-examples.ndjson.gz", "synthea-100/*.ndjson.gz"} {
		t.Run(filepath.Dir(pattern), func(t *testing.T) {
			for name, data := range readData(t, pattern) {
				rebuildAll(t, name, splitLines(data))
			}
		})
	}
}

func rebuildAll(t *testing.T, name string, lines [][]byte) {
	t.Helper()
	var landing, growing, converting Walker
	for i, line := range lines {
		if _, err := landing.Walk(line, nil); err != nil {
			t.Fatalf("%s line %d: %v", name, i, err)
		}
	}
	for _, tree := range landing.Trees() {
		converting.Use(tree.Columns())
	}
	unmapped := 0
	r := &rebuilder{t: t}
	for i, line := range lines {
		for _, w := range []*Walker{&growing, &converting} {
			typ := canonical(t, line).(map[string]any)["resourceType"].(string)
			r.begin(typ)
			out, err := w.Walk(line, r)
			if err != nil || out.Type != typ || !out.Known {
				t.Fatalf("%s line %d: %+v, %v", name, i, out, err)
			}
			for _, e := range r.events {
				if e[0] == '?' {
					unmapped++
					if unmapped < 20 {
						t.Logf("%s line %d: %.100s", name, i, e)
					}
				}
			}
			if got := r.json(); !sameJSON(t, got, line) {
				t.Errorf("%s line %d: differs", name, i)
			}
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}
