package parquet

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/internal/fhirjson"
	"github.com/flue-fhir/flue/sinks"
)

// patients makes n lines of some variety.
func patients(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"resourceType":"Patient","id":"id-%06d","active":%t,"birthDate":"19%02d-0%d","name":[{"family":"F%d","given":["G%d","H"]}],"multipleBirthInteger":%d,"managingOrganization":{"reference":"Organization/%d"}}`,
			i, i%3 == 0, i%100, i%9+1, i%50, i, i%7, i%11)
		if i%10 == 0 {
			lines[i] = fmt.Sprintf(`{"resourceType":"Patient","id":"id-%06d","communication":[{"language":{"text":"l%d"}},{"preferred":true}],"odd":%d}`, i, i%4, i)
		}
	}
	return lines
}

func parquetFiles(out sinks.Output) []sinks.File {
	return slices.DeleteFunc(slices.Clone(out.Files), func(f sinks.File) bool { return !strings.HasSuffix(f.Path, ".parquet") })
}

// TestRowGroupsAndFiles: many small parts are gathered, large ones are split,
// whatever the number of workers.
func TestRowGroupsAndFiles(t *testing.T) {
	lines := patients(4000)
	var parts []part
	for chunk := range slices.Chunk(lines, 37) {
		parts = append(parts, text(chunk...))
	}
	in := newInput(t, "Patient", parts...)
	for _, s := range []*Sink{
		{Workers: 1},
		{Workers: 1, block: 4096, RowGroup: 60_000},
		{Workers: 3, block: 1024, RowGroup: 20_000},
		{Workers: 2, block: 512, RowGroup: 30_000, TargetSize: 4000},
		{Workers: 2, block: 512, RowGroup: 1, TargetSize: 1},
	} {
		out, dst := roundTrip(t, s, in)
		groups := 0
		for _, f := range parquetFiles(out) {
			r := open(t, dst, f.Path)
			groups += r.NumRowGroups()
			if r.NumRows() != f.Rows {
				t.Errorf("%s: %d rows, want %d", f.Path, r.NumRows(), f.Rows)
			}
		}
		if s.RowGroup > 0 && groups < 4 || s.RowGroup == 0 && groups != 1 {
			t.Errorf("%+v: %d row groups", s, groups)
		}
		if files := len(parquetFiles(out)); s.TargetSize > 0 && files < 4 || s.TargetSize == 0 && files != 1 {
			t.Errorf("%+v: %d files", s, files)
		}
	}
}

// TestSameBytes: the same input gives the same bytes (I5).
func TestSameBytes(t *testing.T) {
	lines := patients(3000)
	lines[1000] = `{"resourceType":"Patient","id":"long","name":[{"text":"` + strings.Repeat("x", 30_000) + `"}]}`
	in := newInput(t, "Patient", text(lines...))
	for name, c := range map[string]struct {
		sink   Sink
		budget int64
		groups int // at least
	}{
		"size":       {sink: Sink{RowGroup: 60_000, TargetSize: 20_000}, groups: 4},
		"memory":     {budget: 300_000, groups: 4},
		"a long row": {budget: 4 * 29_000, groups: 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.sink
			s.Workers, s.block, s.least = 3, 1024, 1
			in := in
			in.Budget = c.budget
			out, first := roundTrip(t, &s, in)
			groups := 0
			for _, f := range parquetFiles(out) {
				groups += open(t, first, f.Path).NumRowGroups()
			}
			if groups < c.groups {
				t.Errorf("%d row groups, want %d or more", groups, c.groups)
			}
			for range 5 {
				_, again := roundTrip(t, &s, in)
				if !maps.EqualFunc(first.files, again.files, bytes.Equal) {
					t.Fatal("two conversions of the same input differ")
				}
			}
		})
	}
}

// TestEmptyRowGroups: row groups end at long lines, also where these are not
// published and nothing else has come, and the workers stay together.
func TestEmptyRowGroups(t *testing.T) {
	var p part
	var lines []string
	for i, line := range patients(600) {
		lines = append(lines, line)
		for range i % 4 {
			p.skips = append(p.skips, int64(len(lines)))
			lines = append(lines, `{"resourceType":"Patient","language":"`+strings.Repeat("x", 700)+`"}`)
		}
	}
	p.data = text(lines...).data
	in := newInput(t, "Patient", p)
	in.Budget = 4
	for _, workers := range []int{1, 2, 4} {
		roundTrip(t, &Sink{Workers: workers, block: 256, least: 1}, in)
	}
}

// TestLongRowsTogether: rows longer than a block do not make a row group each.
func TestLongRowsTogether(t *testing.T) {
	var lines []string
	for i := range 300 {
		lines = append(lines, fmt.Sprintf(`{"resourceType":"Binary","id":"%d","data":"%s"}`, i, strings.Repeat("QUJD", 100)))
	}
	for _, workers := range []int{1, 3} {
		out, dst := roundTrip(t, &Sink{Workers: workers, block: 256}, newInput(t, "Binary", text(lines...)))
		if n := open(t, dst, out.Files[0].Path).NumRowGroups(); n != 1 {
			t.Errorf("%d workers: %d row groups", workers, n)
		}
	}
}

// TestSkips: superseded, quarantined and other types' lines are not published.
func TestSkips(t *testing.T) {
	p := text(
		`{"resourceType":"Patient","id":"a"}`,
		`not JSON`,
		``,
		`{"resourceType":"Observation","id":"o"}`,
		`{"resourceType":"Patient","id":"b"}`,
		`{"resourceType":"Patient","id":"a"}`)
	p.skips = []int64{0, 1, 3}
	for _, block := range []int{0, 16} {
		out, dst := roundTrip(t, &Sink{Workers: 1, block: block}, newInput(t, "Patient", p))
		wantColumn(t, dst, "parquet/Patient/part-00000.parquet", "id", "b", "a")
		if out.Files[0].Rows != 2 {
			t.Errorf("%d rows", out.Files[0].Rows)
		}
	}
}

// TestF38: what servers send besides lines is tolerated.
func TestF38ToleratedLines(t *testing.T) {
	p := part{data: []byte("\xef\xbb\xbf {\"resourceType\":\"Patient\",\"id\":\"a\"} \r\n\r\n\n\t{\"resourceType\":\"Patient\",\"id\":\"b\"}")}
	for _, block := range []int{0, 8} {
		_, dst := roundTrip(t, &Sink{Workers: 1, block: block}, newInput(t, "Patient", p, text(`{"resourceType":"Patient","id":"c"}`)))
		wantColumn(t, dst, "parquet/Patient/part-00000.parquet", "id", "a", "b", "c")
	}
}

// TestNoRows: a requested type without rows has one file with the schema.
func TestNoRows(t *testing.T) {
	out, dst := roundTrip(t, &Sink{}, sinks.Input{Type: "Patient", Run: "r"})
	if len(parquetFiles(out)) != 1 || out.Files[0].Rows != 0 {
		t.Fatalf("files: %+v", out.Files)
	}
	r := open(t, dst, out.Files[0].Path)
	for _, name := range []string{"resourceType", "id", "meta.lastUpdated", "meta.__lastUpdated_start", "__unmapped", "__run"} {
		if !hasColumn(r, name) {
			t.Errorf("no column %s", name)
		}
	}
	in := sinks.Input{Type: "Patient", Run: "r", Earlier: []byte("Patient{id,birthDate}")}
	out, dst = roundTrip(t, &Sink{}, in)
	if r := open(t, dst, out.Files[0].Path); !hasColumn(r, "__birthDate_start") || hasColumn(r, "meta.lastUpdated") {
		t.Errorf("schema: %s", schemaText(r))
	}
}

// TestEarlierColumns: a published column never vanishes.
func TestEarlierColumns(t *testing.T) {
	s := &Sink{}
	monday, _ := roundTrip(t, s, newInput(t, "Patient", text(`{"resourceType":"Patient","id":"a","maritalStatus":{"text":"x"},"_gender":{"id":"g"}}`)))
	in := newInput(t, "Patient", text(`{"resourceType":"Patient","id":"b","birthDate":"2000"}`))
	in.Earlier = monday.Schema
	tuesday, dst := roundTrip(t, s, in)
	const path = "parquet/Patient/part-00000.parquet"
	wantColumn(t, dst, path, "maritalStatus.text", "NULL")
	wantColumn(t, dst, path, "_gender.id", "NULL")
	wantColumn(t, dst, path, "birthDate", "2000")
	if got, want := string(tuesday.Schema), "Patient{id,_gender{id},birthDate,maritalStatus{text}}"; got != want {
		t.Errorf("schema: got %s, want %s", got, want)
	}
	in.Earlier = []byte("Patient{nonsense}")
	if _, err := s.Convert(context.Background(), in, newStaging()); err == nil {
		t.Error("earlier columns that R4 does not know are accepted")
	}
}

// TestEncodings drives columns through a dictionary, no dictionary, and a
// dictionary that grew too large, with pages of every kind.
func TestEncodings(t *testing.T) {
	var lines []string
	for i := range 40_000 {
		lines = append(lines, fmt.Sprintf(
			`{"resourceType":"Observation","id":"%032d","status":"final","note":[{"text":"%0300d"},{"text":"n"}],"valueQuantity":{"value":%d.%d},"subject":{"reference":"Patient/%d"},"issued":"20%02d-01-01T00:00:%02d.%03dZ","effectiveDateTime":"%04d"}`,
			i*7919, i%16_000, i%3000, i%10, i/20, i%50, i%60, i%1000, i%4000))
	}
	in := newInput(t, "Observation", text(lines...))
	roundTrip(t, &Sink{Workers: 3}, in)
	out, dst := roundTrip(t, &Sink{Workers: 1}, in)
	pages := map[string]string{}
	r := open(t, dst, observation0)
	g := r.MetaData().RowGroup(0)
	for i := range g.NumColumns() {
		c, err := g.ColumnChunk(i)
		if err != nil {
			t.Fatal(err)
		}
		pages[strings.ReplaceAll(c.PathInSchema().String(), ".list.element", "")] = fmt.Sprint(c.Encodings())
	}
	for name, want := range map[string]string{
		"status":    "[RLE_DICTIONARY PLAIN RLE]",
		"id":        "[PLAIN RLE]",
		"note.text": "[RLE_DICTIONARY PLAIN RLE PLAIN]",
	} {
		if pages[name] != want {
			t.Errorf("encodings of %s: got %s, want %s", name, pages[name], want)
		}
	}
	if got := column(t, dst, observation0, "subject.__reference_id"); got[39_999] != "1999" || got[0] != "0" {
		t.Errorf("reference ids: %s, %s", got[0], got[39_999])
	}
	starts := column(t, dst, observation0, "__effectiveDateTime_start")
	for i, got := range starts {
		want := fmt.Sprintf("%04d-01-01T00:00:00Z", i%4000)
		if i%4000 == 0 {
			want = "NULL" // there is no year 0
		}
		if got != want {
			t.Fatalf("start of row %d: got %s, want %s", i, got, want)
		}
	}
	if out.Losses != (sinks.Losses{}) {
		t.Errorf("losses: %+v", out.Losses)
	}
}

// TestPlainDerived: columns derived from texts that are not in a dictionary,
// some of which are null or lose digits.
func TestPlainDerived(t *testing.T) {
	var lines []string
	for i := range 6000 {
		date := fmt.Sprintf("%04d-01-01T00:00:%02dZ", i+1, i%60)
		if i%100 == 0 {
			date = fmt.Sprintf("bad %d", i)
		}
		lines = append(lines, fmt.Sprintf(`{"resourceType":"Observation","issued":%q,"valueQuantity":{"value":%d.0000001},"subject":{"reference":"Patient/%d"},"encounter":{"reference":"#%d"}}`, date, i, i, i))
	}
	out, dst := roundTrip(t, &Sink{Workers: 1}, newInput(t, "Observation", text(lines...)))
	starts := column(t, dst, observation0, "__issued_start")
	numbers := column(t, dst, observation0, "valueQuantity.__value_numeric")
	for i := range lines {
		want := fmt.Sprintf("%04d-01-01T00:00:%02dZ", i+1, i%60)
		if i%100 == 0 {
			want = "NULL"
		}
		if starts[i] != want {
			t.Fatalf("start of row %d: got %s, want %s", i, starts[i], want)
		}
		if want := fmt.Sprint(i * 1_000_000); numbers[i] != want {
			t.Fatalf("number of row %d: got %s, want %s", i, numbers[i], want)
		}
	}
	if out.Losses.Rounded != 6000 {
		t.Errorf("rounded: %d", out.Losses.Rounded)
	}
	for _, id := range column(t, dst, observation0, "encounter.__reference_id") {
		if id != "NULL" {
			t.Fatalf("id of a contained reference: %s", id)
		}
	}
}

// TestStatistics: bounds stand on the id, lastUpdated and dates of the resource,
// and on no text.
func TestStatistics(t *testing.T) {
	_, dst := rows(t, "Patient",
		`{"resourceType":"Patient","id":"b","birthDate":"1970-01-02","meta":{"lastUpdated":"2020-01-01T00:00:00Z"},"name":[{"family":"Z"}]}`,
		`{"resourceType":"Patient","id":"a","birthDate":"1969"}`,
		`{"resourceType":"Patient","name":[{"family":"Y","period":{"start":"2020"}}]}`)
	got := map[string]string{}
	g := open(t, dst, "parquet/Patient/part-00000.parquet").MetaData().RowGroup(0)
	for i := range g.NumColumns() {
		c, err := g.ColumnChunk(i)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.Statistics()
		if err != nil {
			t.Fatal(err)
		}
		if s == nil {
			continue
		}
		text := fmt.Sprintf("nulls %d", s.NullCount())
		if s.HasMinMax() {
			text += fmt.Sprintf(" %x %x", s.EncodeMin(), s.EncodeMax())
		}
		got[strings.ReplaceAll(c.PathInSchema().String(), ".list.element", "")] = text
	}
	want := map[string]string{
		"resourceType":              "nulls 0",
		"id":                        "nulls 1 61 62",
		"meta.lastUpdated":          fmt.Sprintf("nulls 2 %x %x", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
		"meta.__lastUpdated_start":  spanBounds(2, "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
		"meta.__lastUpdated_end":    spanBounds(2, "2020-01-01T00:00:00.999999Z", "2020-01-01T00:00:00.999999Z"),
		"name.family":               "nulls 1",
		"name.period.start":         "nulls 2",
		"name.period.__start_start": "nulls 2",
		"name.period.__start_end":   "nulls 2",
		"birthDate":                 fmt.Sprintf("nulls 1 %x %x", "1969", "1970-01-02"),
		"__birthDate_start":         spanBounds(1, "1969-01-01T00:00:00Z", "1970-01-02T00:00:00Z"),
		"__birthDate_end":           spanBounds(1, "1969-12-31T23:59:59.999999Z", "1970-01-02T23:59:59.999999Z"),
		"__unmapped":                "nulls 3",
		"__run":                     "nulls 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statistics (-want +got):\n%s", diff)
	}
}

// spanBounds is what TestStatistics wants of a timestamp column.
func spanBounds(nulls int, low, high string) string {
	encode := func(text string) []byte {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			panic(err)
		}
		return binary.LittleEndian.AppendUint64(nil, uint64(at.UnixMicro()))
	}
	return fmt.Sprintf("nulls %d %x %x", nulls, encode(low), encode(high))
}

func TestFooter(t *testing.T) {
	s := &Sink{Version: "1.2.3"}
	out, dst := roundTrip(t, s, newInput(t, "Patient", text(`{"resourceType":"Patient","id":"a"}`)))
	m := open(t, dst, out.Files[0].Path).MetaData()
	if got := m.GetCreatedBy(); got != "flue version 1.2.3" {
		t.Errorf("created by %q", got)
	}
	for key, want := range map[string]string{"flue.version": "1.2.3", "flue.run": "run-1", "flue.resourceType": "Patient", "fhir.version": "4.0.1"} {
		if got := m.KeyValueMetadata().FindValue(key); got == nil || *got != want {
			t.Errorf("%s: got %v, want %s", key, got, want)
		}
	}
	if got := m.KeyValueMetadata().FindValue("flue.schema"); got == nil || !strings.HasPrefix(*got, "sha256:") {
		t.Errorf("flue.schema: %v", got)
	}
}

func TestDocument(t *testing.T) {
	out, dst := rows(t, "Patient", `{"resourceType":"Patient","birthDate":"2000","_birthDate":{"id":"x"},"name":[{"given":["g"]}]}`)
	if last := out.Files[len(out.Files)-1]; last.Path != "parquet/Patient/_schema.json" || last.Rows != 0 || last.SHA256 == "" {
		t.Errorf("file of the schema: %+v", last)
	}
	var got Document
	if err := json.Unmarshal(dst.files["parquet/Patient/_schema.json"], &got); err != nil {
		t.Fatal(err)
	}
	for i := range got.Columns {
		got.Columns[i].Doc = ""
	}
	want := Document{ResourceType: "Patient", FHIRVersion: "4.0.1", Leaves: 8, Columns: []Column{
		{Name: "resourceType", Type: "string", Required: true},
		{Name: "name", Type: "struct", List: true, FHIRPath: "Patient.name", FHIRType: "HumanName", Columns: []Column{
			{Name: "given", Type: "string", List: true, FHIRPath: "Patient.name.given", FHIRType: "string"},
		}},
		{Name: "birthDate", Type: "string", FHIRPath: "Patient.birthDate", FHIRType: "date"},
		{Name: "__birthDate_start", Type: "timestamp", FHIRPath: "Patient.birthDate", FHIRType: "date"},
		{Name: "__birthDate_end", Type: "timestamp", FHIRPath: "Patient.birthDate", FHIRType: "date"},
		{Name: "_birthDate", Type: "struct", FHIRPath: "Patient._birthDate", FHIRType: "Element", Columns: []Column{
			{Name: "id", Type: "string", FHIRPath: "Patient._birthDate.id", FHIRType: "string"},
		}},
		{Name: "__unmapped", Type: "string"},
		{Name: "__run", Type: "string"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("_schema.json (-want +got):\n%s", diff)
	}
}

func TestCompressions(t *testing.T) {
	in := newInput(t, "Patient", text(patients(3000)...))
	sizes := map[string]int64{}
	for _, s := range []*Sink{{}, {Compression: Snappy}, {Compression: None}, {Level: 11}} {
		out, _ := roundTrip(t, s, in)
		sizes[fmt.Sprint(s.Compression, s.Level)] = out.Files[0].Bytes
	}
	if !(sizes["11"] <= sizes["0"] && sizes["0"] < sizes["snappy0"] && sizes["snappy0"] < sizes["none0"]) {
		t.Errorf("sizes: %v", sizes)
	}
}

// TestBudget: a small budget cuts row groups before they have their size (I8).
func TestBudget(t *testing.T) {
	in := newInput(t, "Patient", text(patients(20_000)...))
	in.Budget = 1 << 20
	out, dst := roundTrip(t, &Sink{Workers: 4, block: 4096}, in)
	if n := open(t, dst, out.Files[0].Path).NumRowGroups(); n < 3 {
		t.Errorf("%d row groups", n)
	}
}

// TestI5Sweep: files of an earlier try that was killed do not stay.
func TestI5Sweep(t *testing.T) {
	dst := newStaging()
	in := newInput(t, "Patient", text(patients(2000)...))
	if _, err := (&Sink{block: 2048, RowGroup: 1, TargetSize: 10_000}).Convert(context.Background(), in, dst); err != nil {
		t.Fatal(err)
	}
	if len(dst.files) < 4 {
		t.Fatalf("%d files", len(dst.files))
	}
	out, err := (&Sink{TargetSize: 10_000}).Convert(context.Background(), in, dst)
	if err != nil {
		t.Fatal(err)
	}
	if len(dst.files) != len(out.Files) {
		t.Errorf("%d files stand, %d are declared", len(dst.files), len(out.Files))
	}
	compareRows(t, in, out, dst)
}

// TestWideLists: one row with more items than a page has entries.
func TestWideLists(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute under the race detector")
	}
	items := strings.Repeat(`{"text":"a"},{"time":"2020"},`, 600_000)
	in := newInput(t, "Observation", text(
		`{"resourceType":"Observation","id":"a","note":[`+strings.TrimSuffix(items, ",")+`]}`,
		`{"resourceType":"Observation","id":"b","note":[{"text":"b"}]}`))
	roundTrip(t, &Sink{}, in)
}

// TestColumnsBeyondTheRoom: columns that the merged tree has no room for are
// kept in __unmapped.
func TestColumnsBeyondTheRoom(t *testing.T) {
	in := newInput(t, "Patient", text(`{"resourceType":"Patient","id":"a","gender":"male","birthDate":"2000","name":[{"family":"f"}]}`))
	in.Earlier = []byte("Patient{language,active}")
	out, _ := roundTrip(t, &Sink{MaxColumns: 4}, in)
	if out.Losses.Unmapped == 0 {
		t.Error("nothing is unmapped")
	}
}

var _ fhirjson.Handler = (*shredder)(nil)
