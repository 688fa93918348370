package verify

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/ndjson"
	"github.com/flue-fhir/flue/sinks/parquet"
)

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

const (
	patientLines = "ndjson/Patient/part-00000.ndjson.gz"
	patientRows  = "parquet/Patient/part-00000.parquet"
	patientDoc   = "parquet/Patient/_schema.json"
)

// patient is the count of the type in the tests.
func patient(m *sinks.Manifest) *sinks.TypeCount {
	for i := range m.Types {
		if m.Types[i].Type == "Patient" {
			return &m.Types[i]
		}
	}
	return new(sinks.TypeCount)
}

func zip(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSound(t *testing.T) {
	w := newWorld(t)
	full := w.publish("r1", map[string]string{"Patient": patients(0, 60), "Group": "", "Unheard": `{"resourceType":"Unheard","id":"u"}` + "\n"})
	delta := w.publish("r2", map[string]string{"Patient": patients(3, 2)})
	second := w.publish("r3", map[string]string{"Patient": patients(3, 2)})
	for _, dir := range []string{full, delta, second, filepath.Join(filepath.Dir(filepath.Dir(full)), "latest")} {
		found := check(t, dir, Options{Rebuild: true})
		if got := failing(found); got != "" {
			t.Errorf("%s: failed: %s: %v", dir, got, found)
		}
		if len(found) != 7 {
			t.Errorf("%s: %d checks, want 7", dir, len(found))
		}
	}
	if got := check(t, second, Options{})["chain"].Text; !strings.HasPrefix(got, "2 deltas on the full snapshot ") {
		t.Errorf("chain: %s", got)
	}
	if got := check(t, full, Options{Rebuild: true})["rebuild"].Text; !strings.HasPrefix(got, "60 resources of 2 types") || !strings.Contains(got, "1 resource of types that R4 does not define") {
		t.Errorf("rebuild: %s", got)
	}
}

// TestDamage: each damage is found by the checks that look for it, and by no
// others.
func TestDamage(t *testing.T) {
	replace := func(name string, data []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) { write(t, filepath.Join(dir, name), data) }
	}
	change := func(f func(*sinks.Manifest)) func(*testing.T, string) {
		return func(t *testing.T, dir string) { edit(t, dir, f) }
	}
	tests := []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   string
		text   string // in one of the problems
	}{
		{"missing file", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, patientDoc)); err != nil {
				t.Fatal(err)
			}
		}, "files columns", "is missing"},
		{"foreign file", replace("parquet/Patient/part-00001.parquet", []byte("PAR1")), "files", "is not in the manifest"},
		{"foreign file with an odd name", replace("a\nb", nil), "files", `"a\nb": is not in the manifest`},
		{"link for a file", func(t *testing.T, dir string) {
			from := filepath.Join(dir, patientLines)
			if err := errors.Join(os.Rename(from, from+"x"), os.Symlink(from+"x", from)); err != nil {
				t.Fatal(err)
			}
		}, "files rebuild", "is no regular file"},
		{"other bytes, same size", func(t *testing.T, dir string) {
			path := filepath.Join(dir, patientDoc)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, bytes.Replace(data, []byte("4.0.1"), []byte("4.0.2"), 1))
		}, "files columns", "its SHA-256 is another one"},
		{"a line less", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, patientLines), zip(t, patients(0, 59)))
			accept(t, dir, patientLines)
		}, "rows rebuild", "has 59 rows, the manifest says 60"},
		{"a truncated line file", func(t *testing.T, dir string) {
			data := zip(t, patients(0, 60))
			write(t, filepath.Join(dir, patientLines), data[:len(data)-9])
			accept(t, dir, patientLines)
		}, "rows rebuild", "cannot be counted"},
		{"a truncated row file", func(t *testing.T, dir string) {
			path := filepath.Join(dir, patientRows)
			if err := os.Truncate(path, 100); err != nil {
				t.Fatal(err)
			}
			accept(t, dir, patientRows)
		}, "rows rebuild", "cannot be counted"},
		{"a changed line", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, patientLines), zip(t, strings.Replace(patients(0, 60), "1.50", "1.5", 1)))
			accept(t, dir, patientLines)
		}, "rebuild", "0 have no line, 1 resources differ"},
		{"lines in another order, with other spaces and ends", func(t *testing.T, dir string) {
			text := "\ufeff\n" + patients(30, 30) + "\r\n \n" + strings.ReplaceAll(patients(0, 30), `,"birthDate"`, ` , "birth\u0044ate"`)
			write(t, filepath.Join(dir, patientLines), zip(t, strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\r\n")))
			accept(t, dir, patientLines)
		}, "", ""},
		{"a line twice, another one lost", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, patientLines), zip(t, patients(0, 59)+patients(0, 1)))
			accept(t, dir, patientLines)
		}, "rebuild", "of 60 lines 1 have no row, of 60 rows 1 have no line, 0 resources differ"},
		{"I3: numbers that do not add up", change(func(m *sinks.Manifest) { patient(m).Delivered++ }), "counts", "61 lines were delivered, 60 are accounted for"},
		{"I3: a count below zero", change(func(m *sinks.Manifest) { patient(m).Headers--; patient(m).Filtered++ }), "counts", "a count is negative"},
		{"I3: sinks that do not agree", change(func(m *sinks.Manifest) { patient(m).Published--; patient(m).Superseded++ }), "counts", "ndjson holds 60 rows, 59 were published"},
		{"a type counted twice", change(func(m *sinks.Manifest) { m.Types = append(m.Types, *patient(m)) }), "counts", "counted twice"},
		{"files that nothing counts", change(func(m *sinks.Manifest) { m.Types = nil }), "counts", "nothing is counted"},
		{"a quarantine that is gone", change(func(m *sinks.Manifest) { patient(m).Quarantined++; patient(m).Delivered++ }), "counts", "quarantine holds 0 lines, 1 are counted"},
		{"I3: a list that does not add up", change(func(m *sinks.Manifest) {
			m.Lists = []sinks.ListCount{{List: "error", Delivered: 3, Left: 2}}
		}), "counts", "error: 3 lines were delivered, 2 are accounted for"},
		{"I3: a list below zero", change(func(m *sinks.Manifest) {
			m.Lists = []sinks.ListCount{{List: "error", Headers: -1, Left: 1}}
		}), "counts", "error: a count is negative"},
		{"outcomes that nothing counts", extra("outcomes/part-00000.ndjson"), "counts", "outcomes holds 2 lines, 0 are counted"},
		{"a quarantine that nothing counts", extra("quarantine/part-00000.ndjson"), "counts", "quarantine holds 2 lines, 0 are counted"},
		{"deletions that nothing counts", extra("deleted/part-00000.ndjson"), "counts", "ndjson holds 2 deletions, 0 were published"},
		{"deletions that are gone", change(func(m *sinks.Manifest) {
			m.Lists = []sinks.ListCount{{List: "deleted", Delivered: 1, Bundles: 1}}
			m.Deletions = &sinks.Deletions{Known: true, Published: 2}
		}), "counts", "no file holds the 2 deletions"},
		{"a type that one sink lacks", func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "parquet/Patient")); err != nil {
				t.Fatal(err)
			}
			edit(t, dir, func(m *sinks.Manifest) {
				m.Files = slices.DeleteFunc(m.Files, func(f sinks.File) bool { return strings.HasPrefix(f.Path, "parquet/Patient/") })
			})
		}, "counts rebuild", "parquet has no file of it, 60 rows were published"},
		{"a sink that is gone", func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "ndjson")); err != nil {
				t.Fatal(err)
			}
			edit(t, dir, func(m *sinks.Manifest) {
				m.Sinks = []string{"ndjson", "parquet"}
				m.Files = slices.DeleteFunc(m.Files, func(f sinks.File) bool { return strings.HasPrefix(f.Path, "ndjson/") })
			})
		}, "counts rebuild", "ndjson has no file of it, 60 rows were published"},
		{"F32: a path that leads out", change(func(m *sinks.Manifest) { m.Files[0].Path = "../../x" }), "manifest files", "is no path of a file"},
		{"a file listed twice", change(func(m *sinks.Manifest) { m.Files = append(m.Files, m.Files[0]) }), "manifest", "is listed twice"},
		{"no version", change(func(m *sinks.Manifest) { m.Version = 0 }), "manifest", "it has no version"},
		{"no kind", change(func(m *sinks.Manifest) { m.Kind = "half" }), "manifest", "neither full nor delta"},
		{"no manifest to read", replace(manifestName, []byte(`{"version":1,`)), "manifest", "unexpected end"},
		{"a full snapshot with a base", change(func(m *sinks.Manifest) { m.Base = "x" }), "chain", "names one that it rests on"},
		{"another run in the footer", change(func(m *sinks.Manifest) { m.Run = "r9" }), "columns", "its footer names another run"},
		{"another record of columns", change(func(m *sinks.Manifest) { m.Schemas["parquet"]["Patient"] = "Patient{id,birthDate,gender}" }), "columns", "the manifest's record has other columns"},
		{"no record of columns", change(func(m *sinks.Manifest) { m.Schemas = nil }), "columns", "the manifest has no record"},
		{"a schema of another file", func(t *testing.T, dir string) {
			other := newWorld(t).publish("r1", map[string]string{"Patient": strings.ReplaceAll(patients(0, 60), `"birthDate":"1970-01-01"`, `"active":true`)})
			data, err := os.ReadFile(filepath.Join(other, patientRows))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, patientRows), data)
			accept(t, dir, patientRows)
		}, "columns rebuild", "has other columns than _schema.json: active is added (4 in all)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := newWorld(t).publish("r1", map[string]string{"Patient": patients(0, 60), "Group": ""})
			tt.damage(t, dir)
			found := check(t, dir, Options{Rebuild: true, most: 7})
			if got := failing(found); got != tt.want {
				t.Errorf("failed: %q, want %q: %+v", got, tt.want, found)
			}
			var all []string
			for _, f := range found {
				all = append(all, f.Problems...)
			}
			if !strings.Contains(strings.Join(all, "\n"), tt.text) {
				t.Errorf("no problem says %q: %q", tt.text, all)
			}
			for _, p := range all {
				if strings.Contains(p, "1970") {
					t.Errorf("I7: a problem holds content: %s", p)
				}
			}
		})
	}
}

// TestChain: what a delta rests on must be there.
func TestChain(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, full, first, second string)
		want   string
	}{
		{"the full one is gone", func(t *testing.T, full, _, _ string) { remove(t, full) }, "is missing"},
		{"one between is gone", func(t *testing.T, _, first, _ string) { remove(t, first) }, "is missing"},
		{"another base", func(t *testing.T, _, _, second string) {
			edit(t, second, func(m *sinks.Manifest) { m.Base = "x" })
		}, "rests on another base"},
		{"no previous", func(t *testing.T, _, _, second string) {
			edit(t, second, func(m *sinks.Manifest) { m.Previous = "" })
		}, "names no snapshot before it"},
		{"F32: a path for a name", func(t *testing.T, _, _, second string) {
			edit(t, second, func(m *sinks.Manifest) { m.Previous = "../snapshots" })
		}, "names no snapshot before it"},
		{"itself", func(t *testing.T, _, _, second string) {
			edit(t, second, func(m *sinks.Manifest) { m.Previous = m.Name })
		}, "names a later one"},
		{"a chain without a full one", func(t *testing.T, full, _, _ string) {
			edit(t, full, func(m *sinks.Manifest) { m.Kind = sinks.Delta })
		}, "no full snapshot is under it"},
		{"a damaged one", func(t *testing.T, full, _, _ string) { write(t, filepath.Join(full, manifestName), []byte("{")) }, "read manifest"},
		{"of another job", func(t *testing.T, full, _, _ string) {
			edit(t, full, func(m *sinks.Manifest) { m.Job = "other" })
		}, "holds another snapshot"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			lines := map[string]string{"Patient": patients(0, 3)}
			full, first, second := w.publish("r1", lines), w.publish("r2", lines), w.publish("r3", lines)
			tt.damage(t, full, first, second)
			found := check(t, second, Options{})
			if got := failing(found); got != "chain" {
				t.Errorf("failed: %q, want chain: %+v", got, found)
			}
			if got := strings.Join(found["chain"].Problems, "\n"); !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func remove(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

// TestOneFormat: what cannot be compared is not called good.
func TestOneFormat(t *testing.T) {
	lines := map[string]string{"Patient": patients(0, 3)}
	for _, tt := range []struct {
		sink             sinks.Sink
		columns, rebuild Status
		text             string
	}{
		{&ndjson.Sink{Compression: "zstd"}, Skipped, Skipped, "has no Parquet"},
		{&parquet.Sink{}, OK, Skipped, "3 resources can be rebuilt"},
	} {
		found := check(t, newWorld(t, tt.sink).publish("r1", lines), Options{Rebuild: true})
		if found["columns"].Status != tt.columns || found["rebuild"].Status != tt.rebuild || failing(found) != "" {
			t.Errorf("%s: %+v", tt.sink.Name(), found)
		}
		if got := found["rebuild"].Text; !strings.Contains(got, tt.text) {
			t.Errorf("%s: %s", tt.sink.Name(), got)
		}
	}
}

func TestNoSnapshot(t *testing.T) {
	newer := newWorld(t).publish("r1", map[string]string{"Patient": patients(0, 3)})
	edit(t, newer, func(m *sinks.Manifest) { m.Version = 99 })
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "nosuch"), filepath.Join(newer, patientLines), newer} {
		r, err := Snapshot(context.Background(), dir, Options{})
		var no *NotSnapshotError
		if !errors.As(err, &no) || no.Class() != "usage" || no.Hint() == "" || r != nil && r.Manifest != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// TestI8Passes: however few resources may be held at a time, the differences are
// the same.
func TestI8Passes(t *testing.T) {
	dir := newWorld(t).publish("r1", map[string]string{"Patient": patients(0, 400)})
	text := strings.ReplaceAll(patients(0, 300), "1970", "1971") + patients(300, 70)
	write(t, filepath.Join(dir, patientLines), zip(t, text))
	for _, most := range []int{1, 50, 0} {
		got := check(t, dir, Options{Rebuild: true, most: most, Workers: 1})["rebuild"].Resources[0]
		want := Comparison{Type: "Patient", Lines: 370, Rows: 400, Missing: 0, Extra: 30, Changed: 300}
		if got != want {
			t.Errorf("%d at a time: %+v, want %+v", most, got, want)
		}
	}
}

func TestCancelled(t *testing.T) {
	dir := newWorld(t).publish("r1", map[string]string{"Patient": patients(0, 3)})
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("stop")
	cancel(stop)
	if _, err := Snapshot(ctx, dir, Options{Rebuild: true}); !errors.Is(err, stop) {
		t.Errorf("got %v, want %v", err, stop)
	}
}
