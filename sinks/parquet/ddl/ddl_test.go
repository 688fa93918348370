package ddl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/sinks/parquet"
)

// columns has one of each kind of column.
const columns = "Patient{id,active,_birthDate{extension{url,valueDecimal}},birthDate,multipleBirthInteger,contact{name{given}},contained,generalPractitioner{reference}}"

// TestGolden: the scripts are those of testdata. FLUE_UPDATE=1 writes them anew.
func TestGolden(t *testing.T) {
	doc, err := parquet.Describe("Patient", []byte(columns))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range Engines() {
		got, err := Script(e, doc.Explain(), Options{Folder: "/data/it's $HOME/parquet"})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", string(e)+".sql")
		if os.Getenv("FLUE_UPDATE") != "" {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", e, diff)
		}
	}
}

func TestPlaces(t *testing.T) {
	doc, err := parquet.Define("Patient", 1)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		engine Engine
		o      Options
		want   string
	}{
		{DuckDB, Options{}, "read_parquet('SNAPSHOT/parquet/Patient/*.parquet')"},
		{Spark, Options{}, "LOCATION 'SNAPSHOT/parquet/Patient/'"},
		{Spark, Options{Location: "abfss://lake/fhir/"}, "LOCATION 'abfss://lake/fhir/Patient/'"},
		{Athena, Options{}, "LOCATION 's3://BUCKET/PREFIX/Patient/'"},
		{Athena, Options{Location: "s3://lake/fhir"}, "LOCATION 's3://lake/fhir/Patient/'"},
		{BigQuery, Options{Location: "gs://lake"}, "uris = ['gs://lake/Patient/*.parquet']"},
		{Snowflake, Options{}, "FROM @STAGE/PREFIX/Patient/"},
	}
	for _, tt := range tests {
		got, err := Script(tt.engine, doc, tt.o)
		if err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("%s: no %s in\n%s%v", tt.engine, tt.want, got, err)
		}
	}
	if _, err := Script("oracle", doc, Options{}); err == nil {
		t.Error("an unknown engine is taken")
	}
}

// TestEveryColumnHasAType: no leaf of any kind is without a type in any engine.
func TestEveryColumnHasAType(t *testing.T) {
	for _, typ := range []string{"Patient", "Observation", "Claim", "Bundle"} {
		doc, err := parquet.Define(typ, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range Engines() {
			got, err := Script(e, doc, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(got) {
				for _, bad := range []string{"` ,", "`,", `" ,`, ": ,", ": >", "<>", "%!"} {
					if e != DuckDB && !strings.Contains(line, `\copy`) && strings.Contains(line, bad) {
						t.Fatalf("%s of %s: %s", e, typ, line)
					}
				}
			}
		}
	}
}
