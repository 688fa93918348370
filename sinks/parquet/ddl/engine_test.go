package ddl

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/internal/fhirjson"
	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/parquet"
	"github.com/flue-fhir/flue/sinks/store/local"
)

// part is a sinks.Part of lines.
type part string

func (p part) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(p))), nil }

func (p part) Lines() int64                                       { return int64(strings.Count(string(p), "\n")) }
func (p part) Bytes() int64                                       { return int64(len(p)) }
func (p part) Skips() func(func(int64) bool)                      { return nil }
func (p part) Raw() (func() (io.ReadCloser, error), string, bool) { return nil, "", false }

// rows are resources with values that a quoting mistake would change.
func rows() string {
	var b strings.Builder
	for i := range 20 {
		fmt.Fprintf(&b, `{"resourceType":"Observation","id":"o%d","status":"final","issued":"2020-01-01T00:00:%02d+02:00",`+
			`"category":[{"text":"a, \"b\" 'c' \\d\n$e"},{"coding":[{"code":"x"}]}],"valueQuantity":{"value":%d.50,"unit":"°C"},"hasMember":[{"reference":"Observation/o1"}]}`+"\n", i, i, i)
	}
	return b.String()
}

// snapshot writes Parquet files and returns their folder and columns.
func snapshot(t *testing.T) (string, *parquet.Document) {
	t.Helper()
	ctx := context.Background()
	stage, err := (&local.Store{Path: filepath.Join(t.TempDir(), "it's here")}).Stage(ctx, "job", "r")
	if err != nil {
		t.Fatal(err)
	}
	in := sinks.Input{Type: "Observation", Run: "r", Parts: []sinks.Part{part(rows())}}
	var w fhirjson.Walker
	for line := range strings.Lines(rows()) {
		if _, err := w.Walk([]byte(strings.TrimSpace(line)), nil); err != nil {
			t.Fatal(err)
		}
	}
	in.Columns = w.Tree("Observation")
	out, err := (&parquet.Sink{}).Convert(ctx, in, stage)
	if err != nil {
		t.Fatal(err)
	}
	location, err := stage.Publish(ctx, &sinks.Manifest{Kind: sinks.Full, Files: out.Files})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := parquet.Describe("Observation", out.Schema)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(location, "parquet"), doc.Explain()
}

func output(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// want are count, sum, greatest instant and a text of rows.
const want = `20|200.000000|2019-12-31 22:00:19.999999|a, "b" 'c' \d|20`

func TestDuckDB(t *testing.T) {
	if os.Getenv("FLUE_TEST_DUCKDB") == "" {
		t.Skip("FLUE_TEST_DUCKDB is not set: the test needs python3 with duckdb")
	}
	folder, doc := snapshot(t)
	script, err := Script(DuckDB, doc, Options{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	got := output(t, script+`SELECT concat_ws('|', count(*), sum(valueQuantity.__value_numeric), strftime(max(__issued_end) AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S.%f'),
		split_part(min(category[1].text), chr(10), 1), count(hasMember[1].__reference_id)) FROM "Observation";`,
		"python3", "-c", "import duckdb, sys\nprint(duckdb.connect().execute(sys.stdin.read()).fetchall()[0][0])")
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestSpark also reads the folder without any statement: _schema.json is passed
// over.
func TestSpark(t *testing.T) {
	python := os.Getenv("FLUE_TEST_SPARK")
	if python == "" {
		t.Skip("FLUE_TEST_SPARK is not set: the test needs a Python with pyspark")
	}
	folder, doc := snapshot(t)
	script, err := Script(Spark, doc, Options{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	got := output(t, script+`SELECT concat_ws('|', count(*), sum(valueQuantity.__value_numeric), date_format(max(__issued_end), 'yyyy-MM-dd HH:mm:ss.SSSSSS'),
		split_part(min(category[0].text), char(10), 1), count(hasMember[0].__reference_id)) FROM `+"`Observation`;", python, "-c", `
import sys
from pyspark.sql import SparkSession
s = (SparkSession.builder.master("local[1]").config("spark.sql.session.timeZone", "UTC").config("spark.ui.enabled", "false")
    .config("spark.sql.warehouse.dir", sys.argv[1]).getOrCreate())
for statement in sys.stdin.read().split(";\n"):
    rows = s.sql(statement.rstrip(";")).collect()
assert s.read.parquet(sys.argv[2]).count() == 20
print(rows[0][0])
`, t.TempDir(), filepath.Join(folder, "Observation"))
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPostgres(t *testing.T) {
	database := os.Getenv("FLUE_TEST_POSTGRES")
	if database == "" {
		t.Skip("FLUE_TEST_POSTGRES is not set: the test needs the connection string of a database, and the commands psql and duckdb")
	}
	folder, doc := snapshot(t)
	script, err := Script(Postgres, doc, Options{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	got := output(t, "BEGIN; CREATE SCHEMA flue_test; SET search_path = flue_test;\n"+script+
		`SELECT concat_ws('|', count(*), sum(("valueQuantity"->>'__value_numeric')::numeric), to_char(max("__issued_end") AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'),
		split_part(min("category"->0->>'text'), chr(10), 1), count("hasMember"->0->>'__reference_id')) FROM "Observation";
		ROLLBACK;`,
		"psql", database, "-qAtX", "-v", "ON_ERROR_STOP=1")
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
