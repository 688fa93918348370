package parquet

import (
	"bytes"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// figures.py runs queries with DuckDB and computes the same figures from the
// lines, with nothing but Python's json and decimal.
//
//go:embed testdata/figures.py
var figuresProgram string

// TestDocumentedQueries runs the queries of docs/parquet.md and README.md and
// compares each with what an independent program finds in the NDJSON.
func TestDocumentedQueries(t *testing.T) {
	if os.Getenv("FLUE_TEST_DUCKDB") == "" {
		t.Skip("FLUE_TEST_DUCKDB is not set: the test needs python3 with duckdb")
	}
	t.Run("Made", func(t *testing.T) { compareFigures(t, madeData()) })
	t.Run("Real", func(t *testing.T) { compareFigures(t, testData(t)) })
}

func compareFigures(t *testing.T, data map[string][]byte) {
	dir := t.TempDir()
	for _, typ := range []string{"Patient", "Encounter", "Observation"} {
		write(t, filepath.Join(dir, typ+".ndjson"), data[typ])
		out, dst := roundTrip(t, &Sink{Workers: 2, block: 32 << 10, RowGroup: 1 << 20, TargetSize: 256 << 10}, newInput(t, typ, part{data: data[typ]}))
		for _, f := range out.Files {
			write(t, filepath.Join(dir, filepath.FromSlash(f.Path)), dst.files[f.Path])
		}
	}
	queries := append(documented(t, "docs/parquet.md"), documented(t, "README.md")...)
	cmd := exec.Command("python3", append([]string{"-c", figuresProgram}, queries...)...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	t.Logf("%s", out)
	if n := bytes.Count(out, []byte("\n")); n != len(queries) {
		t.Errorf("%d figures are compared, %d queries are documented", n, len(queries))
	}
}

// documented are the SQL statements of a document, with the folder of its
// examples taken away.
func documented(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	var queries []string
	for _, block := range regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllSubmatch(text, -1) {
		for query := range strings.SplitSeq(string(block[1]), ";\n") {
			if query = strings.TrimSpace(query); query != "" {
				queries = append(queries, regexp.MustCompile(`/data/fhir/[^/]*/latest/`).ReplaceAllString(query, ""))
			}
		}
	}
	if len(queries) == 0 {
		t.Fatalf("no SQL in %s", name)
	}
	return queries
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// madeData has what makes the figures hard: partial dates and offsets at the
// turn of a year, decimals that are halves or have no place, references of many
// forms, and values that no column holds.
func madeData() map[string][]byte {
	rng := rand.New(rand.NewPCG(7, 8))
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	out := map[string][]byte{}
	add := func(typ, format string, args ...any) {
		out[typ] = fmt.Appendf(out[typ], `{"resourceType":%q`+format+"}\n", append([]any{typ}, args...)...)
	}
	for i := range 300 {
		add("Patient", `,"id":"p%d"%s%s%s`, i, pick(``, `,"gender":"male"`, `,"gender":"female"`, `,"gender":5`),
			pick(`,"birthDate":"1980"`, `,"birthDate":"1979-12"`, `,"birthDate":"1979-12-31"`, `,"birthDate":"1980-01-01"`, `,"birthDate":"soon"`, ``),
			pick(``, ``, `,"odd":{"a":[]}`, `,"deceasedBoolean":null`))
	}
	for i := range 2000 {
		add("Encounter", `,"id":"e%d","status":"finished"%s`, i, pick(
			``, `,"subject":{"display":"x"}`, fmt.Sprintf(`,"subject":{"reference":"Patient/p%d"}`, rng.IntN(320)),
			fmt.Sprintf(`,"subject":{"reference":"https://h/fhir/Patient/p%d/_history/2"}`, rng.IntN(320)),
			fmt.Sprintf(`,"subject":{"reference":"urn:uuid:p%d"}`, rng.IntN(320))))
	}
	for i := range 5000 {
		code := rng.IntN(40)
		add("Observation", `,"id":"o%d","status":"final","code":{"coding":[{"code":"c%d","display":"d%d"}%s]}%s%s`, i, code, code,
			pick(``, `,{"code":"c1"}`, `,{"system":"s"}`),
			pick(``, fmt.Sprintf(`,"valueQuantity":{"value":%s,"unit":"u%d"}`, pick("1.50", "-0.0000005", "0.00000049", "2E3", "1e30", "-12345678901234567890.1234565", "7", "1e-900"), code)),
			pick(``, `,"effectiveDateTime":"`+pick("2019", "2018-12", "2019-12-31T23:30:00-01:00", "2020-01-01T00:30:00+01:00", "2018-12-31T23:59:60Z",
				"2019-01-01T00:00:00.000+00:00", "2018-12-31T23:59:59.999Z", "2020-01", "never", "2020-01-01T00:00:00Z")+`"`))
	}
	return out
}
