package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/internal/definition"
	"github.com/flue-fhir/flue/internal/fhirjson"
	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/ndjson"
	"github.com/flue-fhir/flue/sinks/parquet"
	"github.com/flue-fhir/flue/sinks/store/local"
)

// text is a sinks.Part of lines.
type text string

func (p text) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(p))), nil }

func (p text) Lines() int64                                       { return int64(strings.Count(string(p), "\n")) }
func (p text) Bytes() int64                                       { return int64(len(p)) }
func (p text) Skips() func(func(int64) bool)                      { return nil }
func (p text) Raw() (func() (io.ReadCloser, error), string, bool) { return nil, "", false }

// world is a job's folder with its snapshots.
type world struct {
	t     *testing.T
	store *local.Store
	sinks []sinks.Sink
	last  *sinks.Manifest
}

func newWorld(t *testing.T, formats ...sinks.Sink) *world {
	t.Helper()
	if formats == nil {
		formats = []sinks.Sink{&ndjson.Sink{Compression: "gzip"}, &parquet.Sink{RowGroup: 1 << 16}}
	}
	return &world{t: t, store: &local.Store{Path: t.TempDir()}, sinks: formats}
}

// publish publishes the lines of each type as the run; a delta when there is a
// snapshot before it. It returns the folder.
func (w *world) publish(run string, lines map[string]string) string {
	w.t.Helper()
	ctx := context.Background()
	stage, err := w.store.Stage(ctx, "job", run)
	if err != nil {
		w.t.Fatal(err)
	}
	m := &sinks.Manifest{Kind: sinks.Full, Schemas: map[string]map[string]string{}}
	if w.last != nil {
		m.Kind, m.Base, m.Previous = sinks.Delta, w.last.Base, w.last.Name
		if m.Base == "" {
			m.Base = w.last.Name
		}
	}
	for _, typ := range slices.Sorted(maps.Keys(lines)) {
		all := lines[typ]
		n := text(all).Lines()
		m.Types = append(m.Types, sinks.TypeCount{Type: typ, Delivered: n, Published: n, Complete: true})
		in := sinks.Input{Type: typ, Run: run, Parts: []sinks.Part{text(all)}}
		var walker fhirjson.Walker
		for line := range strings.Lines(all) {
			if _, err := walker.Walk([]byte(strings.TrimSpace(line)), nil); err != nil {
				w.t.Fatal(err)
			}
		}
		in.Columns = walker.Tree(typ)
		for _, s := range w.sinks {
			if s.Name() == "parquet" && definition.Type(typ) == nil {
				continue
			}
			out, err := s.Convert(ctx, in, stage)
			if err != nil {
				w.t.Fatal(err)
			}
			m.Files = append(m.Files, out.Files...)
			if out.Schema != nil {
				if m.Schemas[s.Name()] == nil {
					m.Schemas[s.Name()] = map[string]string{}
				}
				m.Schemas[s.Name()][typ] = string(out.Schema)
			}
		}
	}
	dir, err := stage.Publish(ctx, m)
	if err != nil {
		w.t.Fatal(err)
	}
	w.last = m
	return dir
}

// publishAttachments publishes a snapshot of attachments: so many with a content,
// of which every third has that of the one before it, and one that failed.
func (w *world) publishAttachments(run string, n int) string {
	w.t.Helper()
	ctx := context.Background()
	stage, err := w.store.Stage(ctx, "job", run)
	if err != nil {
		w.t.Fatal(err)
	}
	put := func(name string, text []byte) sinks.File {
		f, err := stage.Create(ctx, name)
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := f.Write(text); err != nil {
			w.t.Fatal(err)
		}
		size, sum, err := f.Commit()
		if err != nil {
			w.t.Fatal(err)
		}
		return sinks.File{Path: name, Bytes: size, SHA256: sum}
	}
	a := &sinks.Attachments{Types: []string{"DocumentReference"}, Found: int64(n) + 1, Fetched: int64(n), Failed: 1}
	var index bytes.Buffer
	enc := json.NewEncoder(&index)
	for i := range n + 1 {
		row := sinks.Attachment{Type: "DocumentReference", ID: "d", Path: "content[0].attachment", Status: sinks.Failed, Code: "gone"}
		if i < n {
			text := []byte("content " + string(rune('a'+i-i%3/2)))
			row.Status, row.Code, row.Size, row.SHA256 = sinks.Fetched, "", int64(len(text)), sum(text)
			put(sinks.AttachmentFolder+"/"+row.SHA256, text)
			if i%3 != 2 {
				a.Contents, a.Bytes = a.Contents+1, a.Bytes+row.Size
			}
		}
		if err := enc.Encode(row); err != nil {
			w.t.Fatal(err)
		}
	}
	file := put(sinks.AttachmentIndex, index.Bytes())
	file.Rows = int64(n) + 1
	dir, err := stage.Publish(ctx, &sinks.Manifest{Kind: sinks.Full, Files: []sinks.File{file}, Attachments: a})
	if err != nil {
		w.t.Fatal(err)
	}
	return dir
}

// edit changes the manifest of a snapshot.
func edit(t *testing.T, dir string, f func(*sinks.Manifest)) {
	t.Helper()
	path := filepath.Join(dir, manifestName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m sinks.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	f(&m)
	if data, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	write(t, path, data)
}

// accept makes the manifest agree with the bytes of a file as it is now.
func accept(t *testing.T, dir, name string) {
	t.Helper()
	edit(t, dir, func(m *sinks.Manifest) {
		for i := range m.Files {
			if f := &m.Files[i]; f.Path == name {
				data, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				f.Bytes, f.SHA256 = int64(len(data)), sum(data)
			}
		}
	})
}

// extra adds a file of two lines that the manifest lists.
func extra(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), []byte("{}\n{}\n"))
		edit(t, dir, func(m *sinks.Manifest) { m.Files = append(m.Files, sinks.File{Path: name, Rows: 2}) })
		accept(t, dir, name)
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, dir string, o Options) map[string]Finding {
	t.Helper()
	r, err := Snapshot(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]Finding{}
	for _, f := range r.Findings {
		if _, twice := found[f.Check]; twice {
			t.Errorf("check %s is told twice", f.Check)
		}
		found[f.Check] = f
		if (f.Status == Failed) != (len(f.Problems) > 0) {
			t.Errorf("%s: status %s with problems %q", f.Check, f.Status, f.Problems)
		}
	}
	return found
}

// failing are the checks that failed, in the order of the report's checks.
func failing(found map[string]Finding) string {
	var names []string
	for _, name := range []string{"manifest", "files", "rows", "counts", "attachments", "columns", "chain", "rebuild"} {
		if found[name].Status == Failed {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// patients are lines with ids from first on.
func patients(first, n int) string {
	var b bytes.Buffer
	for i := first; i < first+n; i++ {
		b.WriteString(`{"resourceType":"Patient","id":"p` + strings.Repeat("x", i%5) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) +
			`","birthDate":"1970-01-01","extension":[{"url":"u","valueDecimal":1.50}]}` + "\n")
	}
	return b.String()
}
