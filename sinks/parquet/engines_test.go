package parquet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// engines reads every Parquet file below a folder with three engines and prints
// what they found, a line of JSON an engine.
const engines = `
import sys, json, glob, os
import duckdb, pyarrow as pa, pyarrow.parquet as pq, pyarrow.dataset as ds, pyarrow.compute as pc, polars as pl
root = sys.argv[1]
out = {"duckdb": {}, "pyarrow": {}, "polars": {}}
for folder in sorted(glob.glob(root + "/parquet/*")):
    typ, files = os.path.basename(folder), sorted(glob.glob(folder + "/*.parquet"))
    c = duckdb.connect()
    c.execute("create table t as select * from read_parquet(?)", [files])
    rows = c.execute("select count(*), count(id) from t").fetchall()[0]
    out["duckdb"][typ] = [rows[0], rows[1]]
    t = pa.concat_tables([pq.ParquetFile(f, page_checksum_verification=True).read() for f in files])
    t.validate(full=True)
    # The whole folder, as engines that are given no pattern read it.
    assert ds.dataset(folder, format="parquet").count_rows() == t.num_rows, typ
    out["pyarrow"][typ] = [t.num_rows, t.num_rows - t["id"].null_count]
    p = pl.concat([pl.read_parquet(f) for f in files])
    out["polars"][typ] = [p.height, p.height - p["id"].null_count()]
    if typ == "Observation":
        q = "select count(valueQuantity.value), sum(valueQuantity.__value_numeric), count(subject.__reference_id), sum(len(category)), epoch_us(max(__issued_end)) from t"
        out["duckdb"][typ] += [str(v) for v in c.execute(q).fetchall()[0]]
        v = t["valueQuantity"].combine_chunks()
        num = pc.struct_field(v, "__value_numeric")
        out["pyarrow"][typ] += [str(len(num) - pc.struct_field(v, "value").null_count), str(pc.sum(num.cast(pa.decimal256(60, 6))).as_py()),
            str(len(t) - pc.struct_field(t["subject"].combine_chunks(), "__reference_id").null_count),
            str(pc.sum(pc.list_value_length(t["category"])).as_py()), str(pc.max(t["__issued_end"]).cast(pa.int64()).as_py())]
        s = p["valueQuantity"].struct
        out["polars"][typ] += [str(s.field("value").drop_nulls().len()), str(s.field("__value_numeric").sum()),
            str(p["subject"].struct.field("__reference_id").drop_nulls().len()), str(p["category"].list.len().sum()),
            str(p["__issued_end"].cast(pl.Int64).max())]
print(json.dumps(out))
`

// TestEngines reads what is written with DuckDB, pyarrow and polars, and
// compares counts and sums with those that encoding/json finds in the lines.
func TestEngines(t *testing.T) {
	if os.Getenv("FLUE_TEST_DUCKDB") == "" {
		t.Skip("FLUE_TEST_DUCKDB is not set: the test needs python3 with duckdb, pyarrow and polars")
	}
	data := testData(t)
	dir := t.TempDir()
	want := map[string][]any{}
	for typ, lines := range data {
		// Small row groups and files, so that engines put them together.
		s := &Sink{Workers: 2, block: 32 << 10, RowGroup: 1 << 20, TargetSize: 256 << 10}
		out, dst := roundTrip(t, s, newInput(t, typ, part{data: lines}))
		for _, f := range out.Files {
			path := filepath.Join(dir, filepath.FromSlash(f.Path))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, dst.files[f.Path], 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want[typ] = figures(t, typ, lines)
	}
	cmd := exec.Command("python3", "-c", engines, dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var got map[string]map[string][]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for _, engine := range []string{"duckdb", "pyarrow", "polars"} {
		if diff := cmp.Diff(want, got[engine]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", engine, diff)
		}
	}
	t.Logf("%d types, Observation: %v", len(want), want["Observation"])
}

// figures computes what the engines are asked, from the lines.
func figures(t *testing.T, typ string, lines []byte) []any {
	var rows, ids, values, subjects, categories int
	sum := new(big.Int)
	latest := int64(0)
	for line := range bytes.Lines(lines) {
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		var r struct {
			ID            *string
			ValueQuantity struct{ Value json.Number }
			Subject       struct{ Reference string }
			Category      []any
			Issued        string
		}
		if err := d.Decode(&r); err != nil {
			// A member of another shape in another type.
			if _, ok := err.(*json.UnmarshalTypeError); !ok {
				t.Fatal(err)
			}
		}
		rows++
		if r.ID != nil {
			ids++
		}
		if typ != "Observation" {
			continue
		}
		categories += len(r.Category)
		if r.ValueQuantity.Value != "" {
			values++
			x, ok := new(big.Rat).SetString(string(r.ValueQuantity.Value))
			if !ok {
				t.Fatalf("not a number")
			}
			x.Mul(x, big.NewRat(1_000_000, 1))
			half := big.NewRat(int64(x.Sign()), 2)
			x.Add(x, half)
			sum.Add(sum, new(big.Int).Quo(x.Num(), x.Denom()))
		}
		if strings.Contains(r.Subject.Reference, "/") || strings.HasPrefix(r.Subject.Reference, "urn:uuid:") {
			subjects++
		}
		if at, err := parseInstant(r.Issued); err == nil {
			latest = max(latest, at)
		}
	}
	out := []any{float64(rows), float64(ids)}
	if typ == "Observation" {
		text := fmt.Sprintf("%07s", sum)
		text = text[:len(text)-6] + "." + text[len(text)-6:]
		out = append(out, fmt.Sprint(values), text, fmt.Sprint(subjects), fmt.Sprint(categories), fmt.Sprint(latest))
	}
	return out
}

// parseInstant is the last microsecond of an instant by package time.
func parseInstant(text string) (int64, error) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, err
	}
	unit := int64(1_000_000)
	if _, fraction, ok := strings.Cut(strings.TrimRight(text, "Z"), "."); ok {
		fraction, _, _ = strings.Cut(fraction, "+")
		fraction, _, _ = strings.Cut(fraction, "-")
		for range min(len(fraction), 6) {
			unit /= 10
		}
	}
	return at.UnixMicro() + unit - 1, nil
}
