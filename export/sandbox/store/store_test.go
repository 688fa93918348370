package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/flue-fhir/flue/export/sandbox/fhirpath"
	"github.com/flue-fhir/flue/internal/definition"
)

// folder writes files; a name that ends in .gz is packed.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		data := []byte(content)
		if strings.HasSuffix(name, ".gz") {
			var buf bytes.Buffer
			z := gzip.NewWriter(&buf)
			if _, err := z.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			data = buf.Bytes()
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// linesOf reads the rows of a set.
func linesOf(t testing.TB, v *View, typ string, rows *Rows) []string {
	t.Helper()
	r := v.Reader(typ)
	defer r.Close()
	var out []string
	for n := uint32(0); ; {
		row, ok, err := r.Next(n, rows)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return out
		}
		line, err := r.Line(row)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(line))
		n = row.N + 1
	}
}

func ids(lines []string) string {
	var out []string
	for _, l := range lines {
		out = append(out, IDOf([]byte(l)))
	}
	return strings.Join(out, " ")
}

// pieceBytes joins the pieces of a type.
func pieceBytes(t testing.TB, v *View, typ string, maxBytes int64, maxLines int) (data string, lines []int) {
	t.Helper()
	pieces, err := v.Pieces(typ, maxBytes, maxLines)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		f, err := os.ReadFile(p.Path)
		if err != nil {
			t.Fatal(err)
		}
		part := f[p.Offset : p.Offset+p.Length]
		data += string(part)
		lines = append(lines, p.Lines)
		if n := len(nonBlank(part)); n != p.Lines {
			t.Errorf("a piece has %d lines and says %d", n, p.Lines)
		}
	}
	return data, lines
}

func nonBlank(data []byte) []string {
	var out []string
	for line := range bytes.Lines(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			out = append(out, string(line))
		}
	}
	return out
}

const (
	alice = `{"resourceType":"Patient","id":"alice","meta":{"lastUpdated":"2024-01-02T03:04:05.678+01:00"},"name":[{"text":"\"}{"}]}`
	bob   = `{"id":"bob","active":true,"resourceType":"Patient"}`
	obs1  = `{"resourceType":"Observation","id":"o1","subject":{"reference":"Patient/alice"},"performer":[{"reference":"urn:uuid:bob"}]}`
	obs2  = `{"resourceType":"Observation","id":"o2","subject":{"reference":"http://example.org/fhir/Patient/bob/_history/3"}}`
	obs3  = `{"resourceType":"Observation","id":"o3","subject":{"reference":"Patient/nobody"},"performer":[{"reference":"urn:uuid:org"}]}`
	org   = `{"resourceType":"Organization","id":"org"}`
)

// TestFolderForms: packed, mixed and untidy files are all served line by line.
func TestFolderForms(t *testing.T) {
	untidy := "\xef\xbb\xbf" + alice + "\r\n\r\n\n" + bob // BOM, CRLF, blank lines, no last line end
	s := open(t, folder(t, map[string]string{
		"a.ndjson": untidy, "b.ndjson.gz": obs1 + "\n" + obs2 + "\n", "mixed.ndjson.gz": obs3 + "\n" + org + "\n" + "garbage\n", "notes.txt": "no",
		"empty.ndjson": "",
	}))
	v := s.View()
	if got := strings.Join(v.Types(), " "); got != "Observation Organization Patient" {
		t.Errorf("types: %s", got)
	}
	for typ, want := range map[string][]string{"Patient": {alice, bob}, "Observation": {obs1, obs2, obs3}, "Organization": {org}} {
		if got := linesOf(t, v, typ, nil); !slices.Equal(got, want) {
			t.Errorf("%s: %q", typ, got)
		}
		if v.Count(typ) != len(want) {
			t.Errorf("%s: count %d", typ, v.Count(typ))
		}
	}
	if got, _ := pieceBytes(t, v, "Patient", 0, 0); got != untidy {
		t.Errorf("the pieces are %q", got)
	}
	if got, lines := pieceBytes(t, v, "Patient", 10, 0); got != untidy || !slices.Equal(lines, []int{1, 1}) {
		t.Errorf("small pieces: %v %q", lines, got)
	}
}

func TestCompartments(t *testing.T) {
	s := open(t, folder(t, map[string]string{"Patient.ndjson": alice + "\n" + bob + "\n", "Observation.ndjson": obs1 + "\n" + obs2 + "\n" + obs3 + "\n", "Organization.ndjson": org + "\n"}))
	v := s.View()
	for who, want := range map[string]string{"alice": "o1", "bob": "o1 o2", "alice,bob": "o1 o2", "nobody": "", "org": ""} {
		rows, err := v.OfPatients("Observation", strings.Split(who, ","))
		if err != nil {
			t.Fatal(err)
		}
		if got := ids(linesOf(t, v, "Observation", rows)); got != want {
			t.Errorf("%s: %q, want %q", who, got, want)
		}
	}
	if got := ids(linesOf(t, v, "Observation", v.Members("Observation"))); got != "o1 o2" {
		t.Errorf("members: %q", got)
	}
	if v.Members("Patient") != nil {
		t.Error("not all patients are members")
	}
	if got := linesOf(t, v, "Organization", v.Members("Organization")); got != nil {
		t.Errorf("organizations of patients: %q", got)
	}
}

// TestPatientParametersAreIndexed: the index must hold whatever the search
// parameter "patient" of a type, or one of its compartment, can select.
func TestPatientParametersAreIndexed(t *testing.T) {
	for _, typ := range definition.Resources() {
		tree := members(typ)
		for _, code := range append(definition.Compartment(typ), "patient") {
			p, ok := definition.Search(typ, code)
			if !ok || p.Kind != "reference" || typ == "Patient" {
				continue
			}
			path, err := fhirpath.Compile(typ, p.Expression)
			if err != nil {
				t.Errorf("%s.%s: %v", typ, code, err)
				continue
			}
			for _, b := range path.Branches {
				n := tree
				for _, step := range b.Steps {
					if n = n.children[step.Members[0].Name]; n == nil {
						t.Errorf("%s.%s is not indexed", typ, code)
						break
					}
				}
			}
		}
	}
}

func TestFind(t *testing.T) {
	s := open(t, folder(t, map[string]string{"Patient.ndjson": alice + "\n" + bob + "\n"}))
	row, ok, err := s.View().Find("Patient", "alice")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if want := time.Date(2024, 1, 2, 2, 4, 5, 678e6, time.UTC); row.Updated != want.UnixMicro() {
		t.Errorf("lastUpdated %v, want %v", time.UnixMicro(row.Updated).UTC(), want)
	}
	for _, key := range []Reference{{"Patient", "al"}, {"Patient", ""}, {"Nonsense", "alice"}} {
		if _, ok, err := s.View().Find(key.Type, key.ID); ok || err != nil {
			t.Errorf("%v: %v %v", key, ok, err)
		}
	}
	// bob has no lastUpdated: the file's time stands for it.
	row, _, _ = s.View().Find("Patient", "bob")
	if age := time.Since(time.UnixMicro(row.Updated)); age < 0 || age > time.Minute {
		t.Errorf("the file is %v old", age)
	}
}

// TestIndexIsReused and made anew when a file changes.
func TestIndexIsReused(t *testing.T) {
	dir, cache := folder(t, map[string]string{"Patient.ndjson": alice + "\n"}), t.TempDir()
	count := func() (int, int) {
		t.Helper()
		s, err := Open(t.Context(), Options{Dir: dir, Cache: cache})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		entries, err := os.ReadDir(cache)
		if err != nil {
			t.Fatal(err)
		}
		return s.View().Count("Patient"), len(entries)
	}
	for range 2 {
		if n, indexes := count(); n != 1 || indexes != 1 {
			t.Errorf("%d patients, %d entries in the cache", n, indexes)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "Patient.ndjson"), []byte(alice+"\n"+bob+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, indexes := count(); n != 2 || indexes != 2 {
		t.Errorf("after a change: %d patients, %d entries in the cache", n, indexes)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, opt := range map[string]Options{
		"no cache":  {Dir: t.TempDir()},
		"no folder": {Dir: filepath.Join(t.TempDir(), "x"), Cache: t.TempDir()},
		"no file":   {Dir: t.TempDir(), Cache: t.TempDir()},
		"torn gzip": {Dir: folder(t, map[string]string{"x.ndjson": "", "Patient.ndjson": alice}), Cache: t.TempDir()},
	} {
		if name == "torn gzip" {
			if err := os.WriteFile(filepath.Join(opt.Dir, "y.ndjson.gz"), []byte("\x1f\x8b\x08nonsense"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if s, err := Open(t.Context(), opt); err == nil {
			s.Close()
			t.Errorf("%s: no error", name)
		}
		if opt.Cache != "" {
			if left, err := os.ReadDir(opt.Cache); err == nil && len(left) > 0 {
				t.Errorf("%s: the cache holds %v", name, left)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, Options{Dir: folder(t, map[string]string{"Patient.ndjson": alice}), Cache: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestSortBeyondMemory deals the keys into files and gets them back in order.
func TestSortBeyondMemory(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	const limit = 1000
	keys := make([]key, 10*limit+7)
	for i := range keys {
		keys[i] = key{rnd.Uint64() >> (i & 1), uint32(i)}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	err := sortKeys(path, len(keys), limit, func(yield func(key) error) error {
		for _, k := range keys {
			if err := yield(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i].less(keys[j]) })
	records, err := openRecords(path, keySize)
	if err != nil {
		t.Fatal(err)
	}
	defer records.close()
	i := 0
	if err := records.each(func(k key) {
		if k != keys[i] {
			t.Fatalf("key %d is %v, want %v", i, k, keys[i])
		}
		i++
	}); err != nil || i != len(keys) {
		t.Fatal(i, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("the folder holds %d files", len(left))
	}
}

// TestMemoryIsBounded opens 100,000 resources and reads them by every way that
// an export has.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 30 MB")
	}
	dir := t.TempDir()
	var patients, observations bytes.Buffer
	const n = 100_000
	for i := range n {
		if i%10 == 0 {
			fmt.Fprintf(&patients, `{"resourceType":"Patient","id":"p%d"}`+"\n", i)
		}
		fmt.Fprintf(&observations, `{"resourceType":"Observation","id":"o%d","note":[{"text":"%0200d"}],"subject":{"reference":"Patient/p%d"}}`+"\n", i, i, i/10*10)
	}
	for name, data := range map[string]*bytes.Buffer{"Patient.ndjson": &patients, "Observation.ndjson": &observations} {
		if err := os.WriteFile(filepath.Join(dir, name), data.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	patients, observations = bytes.Buffer{}, bytes.Buffer{}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	s := open(t, dir)
	v := s.View()
	if v.Count("Observation") != n || v.Members("Observation") != nil {
		t.Fatal("not all observations are there, and in a compartment")
	}
	rows, err := v.OfPatients("Observation", []string{"p0", "p50", "p99990"})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(linesOf(t, v, "Observation", rows)); got != 30 {
		t.Errorf("%d observations of three patients", got)
	}
	if _, err := v.Pieces("Observation", 1<<20, 0); err != nil {
		t.Fatal(err)
	}
	if grown := int64(heap()) - int64(before); grown > 4<<20 {
		t.Errorf("an open store of %d resources holds %d bytes", n, grown)
	}
	runtime.KeepAlive(s)
}

// TestPiecesCoverEverything for many limits.
func TestPiecesCoverEverything(t *testing.T) {
	var whole strings.Builder
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 500 {
		fmt.Fprintf(&whole, `{"resourceType":"Basic","id":"b%d","x":"%s"}`+"\n", i, strings.Repeat("y", rnd.IntN(300)))
		if rnd.IntN(20) == 0 {
			whole.WriteString("\n")
		}
	}
	v := open(t, folder(t, map[string]string{"Basic.ndjson": whole.String()})).View()
	for _, maxBytes := range []int64{0, 1, 100, 1000, 4096, 1 << 20} {
		for _, maxLines := range []int{0, 1, 7, 499, 500, 501} {
			data, lines := pieceBytes(t, v, "Basic", maxBytes, maxLines)
			if data != whole.String() {
				t.Fatalf("%d bytes, %d lines: the pieces are not the file", maxBytes, maxLines)
			}
			for _, n := range lines {
				if maxLines > 0 && n > maxLines || n == 0 {
					t.Fatalf("%d lines: a piece of %d", maxLines, n)
				}
			}
		}
	}
	pieces, err := v.Pieces("Basic", 4096, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pieces[:len(pieces)-1] {
		if p.Length > 4096+64 || p.Length < 3000 {
			t.Errorf("piece %d has %d bytes", i, p.Length)
		}
	}
}
