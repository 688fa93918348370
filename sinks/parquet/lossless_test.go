package parquet

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/internal/fhirjson"
	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/parquet/rebuild"
)

// roundTrip converts the lines and rebuilds them. It fails the test when a
// resource differs; files are returned for further looks.
func roundTrip(t testing.TB, s *Sink, in sinks.Input) (sinks.Output, *staging) {
	t.Helper()
	dst := newStaging()
	out, err := s.Convert(context.Background(), in, dst)
	if err != nil {
		t.Fatalf("convert %s: %v", in.Type, err)
	}
	compareRows(t, in, out, dst)
	return out, dst
}

// compareRows compares the published lines with the rebuilt rows as sets of
// canonical texts.
func compareRows(t testing.TB, in sinks.Input, out sinks.Output, dst *staging) {
	t.Helper()
	var want, got []string
	for _, p := range in.Parts {
		p := p.(part)
		for number, line := range bytes.Split(bytes.TrimPrefix(p.data, bom), []byte{'\n'}) {
			line = trim(line)
			if len(line) == 0 || slices.Contains(p.skips, int64(number)) {
				continue
			}
			want = append(want, canonical(t, line))
		}
	}
	var rows int64
	for _, f := range out.Files {
		if !strings.HasSuffix(f.Path, ".parquet") {
			continue
		}
		data := dst.files[f.Path]
		if int64(len(data)) != f.Bytes {
			t.Fatalf("%s has %d bytes, want %d", f.Path, len(data), f.Bytes)
		}
		rows += f.Rows
		if err := rebuild.Rebuild(bytes.NewReader(data), int64(len(data)), func(row []byte) error {
			got = append(got, canonical(t, row))
			return nil
		}); err != nil {
			t.Fatalf("rebuild %s: %v", f.Path, err)
		}
	}
	if rows != int64(len(want)) || len(got) != len(want) {
		t.Fatalf("%s: %d rows declared, %d read, %d lines", in.Type, rows, len(got), len(want))
	}
	slices.Sort(want)
	slices.Sort(got)
	differences := 0
	for i := range want {
		if want[i] != got[i] {
			if differences++; differences <= 2 {
				t.Errorf("%s: a resource differs\n got %s\nwant %s", in.Type, shorten(got[i], want[i]), shorten(want[i], got[i]))
			}
		}
	}
	if differences > 0 {
		t.Fatalf("%s: %d of %d resources differ", in.Type, differences, len(want))
	}
}

// shorten returns a stretch of a around the first difference from b.
func shorten(a, b string) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return fmt.Sprintf("…%.300q", a[max(0, i-60):])
}

func canonical(t testing.TB, text []byte) string {
	t.Helper()
	c, err := rebuild.Canonical(nil, text)
	if err != nil {
		t.Fatalf("canonical form: %v", err)
	}
	return string(c)
}

// TestLosslessData rebuilds every resource of the shared data: 0 differences. The
// counts of what is held otherwise than in its own column are those that another
// reader of the lines comes to.
func TestLosslessData(t *testing.T) {
	for typ, data := range testData(t) {
		t.Run(typ, func(t *testing.T) {
			out, dst := roundTrip(t, &Sink{}, newInput(t, typ, part{data: data}))
			t.Logf("%s: %+v", typ, out.Losses)
			want := sinks.Losses{}
			d := json.NewDecoder(bytes.NewReader(data))
			d.UseNumber()
			for d.More() {
				var resource map[string]any
				if err := d.Decode(&resource); err != nil {
					t.Fatal(err)
				}
				for _, v := range resource {
					countLosses(t, v, &want)
				}
			}
			for _, f := range parquetFiles(out) {
				for _, text := range column(t, dst, f.Path, columnUnmapped) {
					var members map[string]string
					if text != "NULL" && json.Unmarshal([]byte(text), &members) != nil {
						t.Errorf("__unmapped is no object of strings")
					}
					want.Unmapped += int64(len(members))
				}
			}
			if out.Losses != want {
				t.Errorf("losses: got %+v, want %+v", out.Losses, want)
			}
		})
	}
}

// countLosses counts resources within the resource, and numbers that six places
// or 26 digits cannot hold. No element of R4 but a decimal holds such a number.
func countLosses(t *testing.T, v any, l *sinks.Losses) {
	switch v := v.(type) {
	case map[string]any:
		_, resource := v["resourceType"]
		if _, instance := v["resourceId"]; resource && !instance { // that is ExampleScenario.instance
			l.Contained++
			return
		}
		for _, member := range v {
			countLosses(t, member, l)
		}
	case []any:
		for _, item := range v {
			countLosses(t, item, l)
		}
	case json.Number:
		x, ok := new(big.Rat).SetString(v.String())
		if !ok {
			t.Fatal("not a number")
		}
		switch scaled := new(big.Rat).Mul(x, big.NewRat(1_000_000, 1)); {
		case x.Abs(x).Cmp(new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(26), nil))) >= 0:
			l.Overflow++
		case !scaled.IsInt():
			l.Rounded++
		}
	}
}

// testData reads the folder of FLUE_TEST_DATA: lines by type.
func testData(t testing.TB) map[string][]byte {
	t.Helper()
	dir := os.Getenv("FLUE_TEST_DATA")
	if dir == "" {
		t.Skip("FLUE_TEST_DATA is not set: it names a folder of NDJSON files of real resources")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(filepath.Join(dir, "*.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	byType := map[string][]byte{}
	for _, name := range append(files, more...) {
		readLines(t, name, byType)
	}
	if len(byType) == 0 {
		t.Fatalf("no NDJSON files in %s", dir)
	}
	return byType
}

func readLines(t testing.TB, name string, byType map[string][]byte) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(z)
	var w fhirjson.Walker
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			found, e := w.Walk(line, nil)
			if e != nil {
				t.Fatalf("%s: %v", name, e)
			}
			byType[found.Type] = append(byType[found.Type], bytes.TrimSpace(line)...)
			byType[found.Type] = append(byType[found.Type], '\n')
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestCorruptFiles: a file with broken bytes gives an error or other rows, and
// never a panic.
func TestCorruptFiles(t *testing.T) {
	out, dst := roundTrip(t, &Sink{}, newInput(t, "Patient", text(patients(300)...)))
	data := dst.files[out.Files[0].Path]
	random := rand.New(rand.NewPCG(1, 2))
	broken := 0
	for range 300 {
		bad := bytes.Clone(data)
		for range 3 {
			bad[random.IntN(len(bad))] ^= byte(1 + random.IntN(255))
		}
		if rebuild.Rebuild(bytes.NewReader(bad), int64(len(bad)), func([]byte) error { return nil }) != nil {
			broken++
		}
	}
	if broken == 0 {
		t.Error("no broken byte is ever noticed")
	}
	stop := errors.New("stop")
	if err := rebuild.Rebuild(bytes.NewReader(data), int64(len(data)), func([]byte) error { return stop }); err != stop {
		t.Errorf("got %v, want the caller's error", err)
	}
}
