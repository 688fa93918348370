package sandbox

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSourceOpensAPopulation(t *testing.T) {
	src := Source{Patients: 5, Seed: 9, Cache: t.TempDir()}
	data, err := src.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	if n := data.View().Count("Patient"); n != 5 {
		t.Errorf("%d patients", n)
	}
	for _, bad := range []Source{{Patients: 5}, {Cache: t.TempDir()}, {Dir: filepath.Join(t.TempDir(), "x"), Cache: t.TempDir()}} {
		if data, err := bad.Open(t.Context()); err == nil {
			data.Close()
			t.Errorf("%+v was opened", bad)
		}
	}
}

// TestSynthea serves the Synthea sample, whose references are urn:uuid, and
// compares every line with the files.
func TestSynthea(t *testing.T) {
	root := os.Getenv("FLUE_TEST_DATA")
	if root == "" {
		t.Skip("FLUE_TEST_DATA does not name the folder with synthea-100")
	}
	dir := filepath.Join(root, "synthea-100")
	data, err := Source{Dir: dir, Cache: t.TempDir()}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { data.Close() })
	c := serve(t, &Server{Data: data, FileSize: 1 << 20})
	for _, target := range []string{"/$export", "/Patient/$export"} {
		_, lines := c.export(target)
		total := 0
		for typ, got := range lines {
			want := gzipLines(t, filepath.Join(dir, typ+".ndjson.gz"))
			same(t, target+" "+typ, got, want)
			total += len(got)
		}
		if len(lines) != 17 || total != 38_970 {
			t.Errorf("%s: %d resources of %d types, want 38970 of 17", target, total, len(lines))
		}
	}
	id := decode(t, gzipLines(t, filepath.Join(dir, "Patient.ndjson.gz"))[3])["id"].(string)
	for _, typ := range []string{"Observation", "Device", "ExplanationOfBenefit"} {
		want := only(gzipLines(t, filepath.Join(dir, typ+".ndjson.gz")), func(l string) bool { return strings.Contains(l, `"urn:uuid:`+id+`"`) })
		got, _ := c.pages("/" + typ + "?_count=1000&patient=" + id)
		same(t, "search for "+typ, got, want)
	}
}

func gzipLines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return splitLines(text)
}
