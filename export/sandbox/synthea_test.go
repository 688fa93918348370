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

// TestSynthea serves the Synthea sample, whose references are urn:uuid, and
// compares every line with the files.
func TestSynthea(t *testing.T) {
	root := os.Getenv("FLUE_TEST_DATA")
	if root == "" {
		t.Skip("FLUE_TEST_DATA does not name the folder with synthea-100")
	}
	dir := filepath.Join(root, "synthea-100")
	c := serve(t, &Server{Data: openData(t, dir), FileSize: 1 << 20})
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
