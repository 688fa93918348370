package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/parquet"
	"github.com/flue-fhir/flue/sinks/parquet/rebuild"
	"github.com/flue-fhir/flue/sinks/verify"
)

// snapshot is the folder of the latest snapshot.
func (w *world) snapshot() string { return filepath.Join(w.Dir, "out", w.Job.Name, "latest") }

// wantWhole demands that the latest snapshot is what its manifest says, and that
// its Parquet holds the resources of its NDJSON.
func (w *world) wantWhole(t *testing.T) {
	t.Helper()
	report, err := verify.Snapshot(t.Context(), w.snapshot(), verify.Options{Rebuild: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		if f.Status != verify.OK && f.Check != "chain" {
			t.Errorf("%s is %s: %s %v", f.Check, f.Status, f.Text, f.Problems)
		}
	}
}

// duckDB runs a query over $FILES, a type's Parquet files, and returns its rows;
// nil where the test has no DuckDB.
func (w *world) duckDB(t *testing.T, typ, query string) [][]any {
	t.Helper()
	if os.Getenv("FLUE_TEST_DUCKDB") == "" {
		t.Log("FLUE_TEST_DUCKDB is not set: DuckDB is not asked")
		return nil
	}
	query = strings.ReplaceAll(query, "$FILES", "'"+filepath.Join(w.snapshot(), "parquet", typ, "*.parquet")+"'")
	cmd := exec.Command("python3", "-c", "import duckdb, json, sys\nprint(json.dumps(duckdb.connect().execute(sys.argv[1]).fetchall()))", query)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]any
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// onceSink counts how often lines are converted.
type onceSink struct {
	sinks.Sink
	mu          sync.Mutex
	conversions map[string]int   // by type
	lines       map[string]int64 // by type: of all parts of all conversions
	opened      map[string]int   // by type: parts that were read
}

func (s *onceSink) Convert(ctx context.Context, in sinks.Input, dst sinks.Staging) (sinks.Output, error) {
	s.mu.Lock()
	s.conversions[in.Type]++
	in.Parts = slices.Clone(in.Parts) // the other sink has the same
	for i, p := range in.Parts {
		s.lines[in.Type] += p.Lines()
		in.Parts[i] = oncePart{p, s, in.Type}
	}
	s.mu.Unlock()
	return s.Sink.Convert(ctx, in, dst)
}

type oncePart struct {
	sinks.Part
	sink *onceSink
	typ  string
}

func (p oncePart) Open() (io.ReadCloser, error) {
	p.sink.mu.Lock()
	p.sink.opened[p.typ]++
	p.sink.mu.Unlock()
	return p.Part.Open()
}

// One schema for each type of a snapshot, and each part converted once, even
// where the last file that lands is the first with some element.
func TestOneSchemaWhenTheLastFileBringsANewLeaf(t *testing.T) {
	const files, lines = 400, 40
	s := newExportServer(t)
	for i := range files {
		f := exportFile{typ: "Observation", name: fmt.Sprintf("o.%d.ndjson", i)}
		for k := range lines {
			f.lines = append(f.lines, fmt.Sprintf(`{"resourceType":"Observation","id":"o%d-%d","status":"final","subject":{"reference":"Patient/patient-%d"},"note":[{"text":%q}]}`,
				i, k, k%15, strings.Repeat("x", 300)))
		}
		s.output = append(s.output, f)
	}
	last := &s.output[len(s.output)-1]
	last.lines[lines-1] = `{"resourceType":"Observation","id":"new","component":[{"valueSampledData":{"period":1.50,"_data":{"extension":[{"url":"u","valueDate":"2020"}]}}}]}`
	s.last = last.name

	w := newWorld(t, s)
	r := w.open(t)
	once := &onceSink{
		Sink:        &parquet.Sink{RowGroup: 1 << 18, TargetSize: 1, Workers: 1}, // a file for each row group
		conversions: map[string]int{}, lines: map[string]int64{}, opened: map[string]int{},
	}
	r.Sinks = append(r.Sinks, once)
	steps := map[string]int{}
	r.probe = func(step string) {
		once.mu.Lock()
		defer once.mu.Unlock()
		steps[step]++
	}
	sum, err := r.Run(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.publishedAll(t, s)
	w.wantWhole(t)

	// Two sinks, two types, one of them without rows: four conversions in the ledger, none of them undone.
	if steps["conversion recorded"] != 4 || steps["conversion forgotten"] != 0 {
		t.Errorf("%d conversions were recorded and %d forgotten, want 4 and none", steps["conversion recorded"], steps["conversion forgotten"])
	}
	if d := cmp.Diff(map[string]int{"Observation": 1, "Patient": 1}, once.conversions); d != "" {
		t.Errorf("conversions (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]int{"Observation": files}, once.opened); d != "" {
		t.Errorf("parts read (-want +got):\n%s", d)
	}
	if got := once.lines["Observation"]; got != files*lines {
		t.Errorf("%d lines were converted, want %d", got, files*lines)
	}

	doc, err := os.ReadFile(filepath.Join(w.snapshot(), "parquet/Observation", parquet.SchemaName))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), `"Observation.component.valueSampledData.period"`) {
		t.Error("the new leaf has no column")
	}
	digest := sha256.Sum256(doc)
	var first *parquet.Footer
	count := 0
	for _, f := range sum.Manifest.Files {
		if !strings.HasPrefix(f.Path, "parquet/Observation/") || !strings.HasSuffix(f.Path, ".parquet") {
			continue
		}
		footer := footerOf(t, filepath.Join(w.snapshot(), f.Path))
		if first == nil {
			first = footer
		}
		if d := cmp.Diff(first.Columns, footer.Columns); d != "" {
			t.Errorf("%s has other columns (-first +this):\n%s", f.Path, d)
		}
		if want := "sha256:" + hex.EncodeToString(digest[:]); footer.SchemaHash != want {
			t.Errorf("the footer of %s names %s, want %s", f.Path, footer.SchemaHash, want)
		}
		count++
	}
	if count < 10 {
		t.Fatalf("%d Parquet files, want many", count)
	}
	if rows := w.duckDB(t, "Observation", `SELECT count(*), sum(component[1].valueSampledData.__period_numeric)::VARCHAR, any_value(component[1].valueSampledData._data.extension[1].valueDate) FROM read_parquet($FILES)`); rows != nil {
		if d := cmp.Diff([][]any{{float64(files * lines), "1.500000", "2020"}}, rows); d != "" {
			t.Errorf("DuckDB (-want +got):\n%s", d)
		}
	}
}

func footerOf(t *testing.T, path string) *parquet.Footer {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	footer, err := parquet.ReadFooter(f, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	return footer
}

// sort: patient, in a run whose type does not fit the memory: the rows of all
// files are in one order, and nothing is left on the disk.
func TestSortedRun(t *testing.T) {
	const patients = 500
	s := newExportServer(t)
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 6 {
		f := exportFile{typ: "Observation", name: fmt.Sprintf("o.%d.ndjson", i), gzip: i%2 == 0}
		for k := range 5000 {
			f.lines = append(f.lines, fmt.Sprintf(`{"resourceType":"Observation","id":"o%d-%d","status":"final","subject":{"reference":"Patient/%03d"},"effectiveDateTime":"20%02d-0%d-11","note":[{"text":"%0200d"}]}`,
				i, k, rng.IntN(patients), rng.IntN(25), 1+rng.IntN(9), rng.Int64()))
		}
		s.output = append(s.output, f)
	}
	w := newWorld(t, s)
	w.Job.Policies.Memory = 16 << 20
	r := w.open(t)
	r.Sinks = append(r.Sinks, &parquet.Sink{Sort: parquet.Patient, RowGroup: 1 << 19, TargetSize: 100_000, Workers: 1})
	sum, err := r.Run(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Ledger.Close(); err != nil {
		t.Fatal(err)
	}
	w.publishedAll(t, s)
	w.wantWhole(t)
	w.clean(t)
	var keys []string
	for _, file := range sum.Manifest.Files {
		if !strings.HasPrefix(file.Path, "parquet/Observation/part") {
			continue
		}
		f, err := os.Open(filepath.Join(w.snapshot(), file.Path))
		if err != nil {
			t.Fatal(err)
		}
		err = rebuild.Rebuild(f, file.Bytes, func(row []byte) error {
			var o struct {
				Subject           struct{ Reference string }
				EffectiveDateTime string
			}
			err := json.Unmarshal(row, &o)
			keys = append(keys, o.Subject.Reference+" "+o.EffectiveDateTime)
			return err
		})
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(keys) != 30_000 || !slices.IsSorted(keys) {
		t.Errorf("%d rows, by patient and date: %t", len(keys), slices.IsSorted(keys))
	}
	rows := w.duckDB(t, "Observation", `SELECT count(*), count(*) FILTER (stats_min_value <= '123' AND stats_max_value >= '123')
		FROM parquet_metadata($FILES) WHERE path_in_schema = 'subject, __reference_id'`)
	if rows != nil && (rows[0][0].(float64) < 8 || rows[0][1].(float64) > 2) {
		t.Errorf("by their statistics %v of %v row groups may hold a patient, want one or two of many", rows[0][1], rows[0][0])
	}
}
