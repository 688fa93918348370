package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
)

// newRun opens a run in a spool of its own.
func newRun(t testing.TB) *Run {
	t.Helper()
	return openRun(t, &Spool{Dir: tempDir(t), MinFree: 1})
}

// fineRun is newRun with small chunks: a body need not be large to have many.
func fineRun(t testing.TB) *Run {
	t.Helper()
	return openRun(t, &Spool{Dir: tempDir(t), MinFree: 1, chunk: 32 << 10})
}

// apartRun is newRun where small parts have files of their own, too.
func apartRun(t testing.TB) *Run {
	t.Helper()
	return openRun(t, &Spool{Dir: tempDir(t), MinFree: 1, apart: true})
}

// tempDir is a folder in memory where there is one: the tests sync often.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "spool-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func openRun(t testing.TB, s *Spool) *Run {
	t.Helper()
	r, err := s.Run("r1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// reopen is what another process would see.
func reopen(t testing.TB, r *Run) *Run {
	t.Helper()
	s := r.spool
	return openRun(t, &Spool{Dir: s.Dir, MaxLine: s.MaxLine, MinFree: s.MinFree, MaxRatio: s.MaxRatio, MaxBody: s.MaxBody, chunk: s.chunk, apart: s.apart})
}

var unknown = Options{Type: "Patient", Expect: -1}

// source is a body that comes at once.
func source(body []byte) Source {
	return Source{Body: bytes.NewReader(body), Length: int64(len(body)), Validator: `"v1"`}
}

// from is the body from an offset on.
func from(body []byte, offset int64, validator string) Source {
	return Source{Body: bytes.NewReader(body[offset:]), Offset: offset, Length: int64(len(body)), Validator: validator}
}

func land(t testing.TB, r *Run, key string, o Options, s Source) *Part {
	t.Helper()
	l, err := r.Land(key, o)
	if err != nil {
		t.Fatalf("Land: %v", err)
	}
	defer l.Close()
	if err := l.Copy(t.Context(), s); err != nil {
		t.Fatalf("Copy: %v", err)
	}
	p, err := l.Commit()
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	return p
}

// patients makes lines of Patient resources with random content, ended by line
// feeds.
func patients(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `{"resourceType":"Patient","id":"p%d","meta":{"lastUpdated":"2024-01-%02dT03:04:05.%03dZ"},"name":[{"family":"%x"}],"birthDate":"19%02d"}`+"\n",
			i, 1+rng.IntN(28), rng.IntN(1000), rng.Uint64(), rng.IntN(100))
	}
	return b.Bytes()
}

func gz(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readAll(t testing.TB, open func() (io.ReadCloser, error)) []byte {
	t.Helper()
	r, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// wantSame compares two parts: what is known of them and what they hold.
func wantSame(t *testing.T, what string, got, want *Part) {
	t.Helper()
	if diff := cmp.Diff(want.Info(), got.Info()); diff != "" {
		t.Errorf("%s: the part is not that of a whole landing (-want +got):\n%s", what, diff)
	}
	if !bytes.Equal(readAll(t, got.Open), readAll(t, want.Open)) {
		t.Errorf("%s: the decoded bytes differ", what)
	}
	if !bytes.Equal(readAll(t, got.openSent), readAll(t, want.openSent)) {
		t.Errorf("%s: the bytes as sent differ", what)
	}
	if g, w := records(t, got), records(t, want); !slices.Equal(g, w) {
		t.Errorf("%s: the index differs: %d records, want %d", what, len(g), len(w))
	}
	g, gerr := got.trees()
	w, werr := want.trees()
	if gerr != nil || werr != nil || !cmp.Equal(g, w) {
		t.Errorf("%s: the columns differ: %v, %v", what, gerr, werr)
	}
}

func records(t testing.TB, p *Part) []record {
	t.Helper()
	var all []record
	if err := p.eachRecord(context.Background(), func(r *record) bool { all = append(all, *r); return true }); err != nil {
		t.Fatal(err)
	}
	return all
}

func files(t testing.TB, r *Run) []string {
	t.Helper()
	entries, err := os.ReadDir(r.dir.Path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestLand(t *testing.T) {
	body := patients(1, 15_000) // several chunks
	packed := gz(t, body)
	for name, c := range map[string]struct {
		sent     []byte
		encoding string // as the client says
		want     string
		layers   int
	}{
		"Identity":      {body, "", "", 0},
		"Gzip":          {packed, "gzip", "gzip", 1},
		"F36Unasked":    {packed, "", "gzip", 1},
		"F36NotPacked":  {body, "gzip", "", 0},
		"F36Doubled":    {gz(t, packed), "gzip", "gzip", 2},
		"GzipOfMembers": {append(gz(t, body[:1000]), gz(t, body[1000:])...), "gzip", "gzip", 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t)
			s := source(c.sent)
			s.Encoding = c.encoding
			p := land(t, r, "output/Patient/0", Options{Type: "Patient", Expect: 15_000}, s)
			info := p.Info()
			if info.Lines != 15_000 || info.Of("Patient").Lines != 15_000 || len(info.Types) != 1 || !info.Types[0].Known {
				t.Errorf("%d lines, types %+v, want 15000 of Patient", info.Lines, info.Types)
			}
			if info.Encoding != c.want || info.Layers != c.layers {
				t.Errorf("encoding %q with %d layers, want %q with %d", info.Encoding, info.Layers, c.want, c.layers)
			}
			if info.Bytes != int64(len(body)) || info.RawBytes != int64(len(c.sent)) || !info.Plain {
				t.Errorf("%d bytes of %d, plain %t, want %d of %d, plain", info.Bytes, info.RawBytes, info.Plain, len(body), len(c.sent))
			}
			if !bytes.Equal(readAll(t, p.Open), body) {
				t.Error("Open does not give what was sent, decoded")
			}
			if !bytes.Equal(readAll(t, p.openSent), c.sent) {
				t.Error("the bytes as sent are not kept")
			}
			again, err := reopen(t, r).Part("output/Patient/0")
			if err != nil || again == nil {
				t.Fatalf("Part: %v, %v", again, err)
			}
			wantSame(t, "reopened", again, p)
			if got := files(t, r); len(got) != 1 {
				t.Errorf("files %v, want one", got)
			}
		})
	}
}

// TestIncompressible lands noise, of which no packing makes less: it comes back
// as it was.
func TestIncompressible(t *testing.T) {
	noise := make([]byte, 3*maxData+100)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(noise) // never fails
	noise[0] = 'x'         // no gzip
	for _, body := range [][]byte{noise, noise[:maxData], noise[:1000]} {
		p := land(t, newRun(t), "k", unknown, source(append(bytes.Clone(body), '\n')))
		if !bytes.Equal(readAll(t, p.openSent), append(bytes.Clone(body), '\n')) {
			t.Errorf("noise of %d bytes came back changed", len(body))
		}
	}
}

func TestPartIsThereOnlyAfterCommit(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *Run{"File": apartRun, "Shelf": newRun} {
		t.Run(name, func(t *testing.T) {
			r := open(t)
			l, err := r.Land("k", unknown)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Commit(); err == nil {
				t.Error("Commit before Copy succeeded")
			}
			if err := l.Copy(t.Context(), source(patients(1, 10))); err != nil {
				t.Fatal(err)
			}
			if p, err := r.Part("k"); p != nil || err != nil {
				t.Errorf("Part before Commit: %v, %v", p, err)
			}
			if _, err := r.Land("k", unknown); err == nil {
				t.Error("a second landing of the same key was begun")
			}
			if err := r.Drop("k"); err == nil {
				t.Error("a part that is being landed was dropped")
			}
			if _, err := l.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Errorf("Close after Commit: %v", err)
			}
			if p, err := r.Part("k"); p == nil || err != nil {
				t.Errorf("Part after Commit: %v, %v", p, err)
			}
			if _, err := r.Land("k", unknown); err == nil {
				t.Error("a landed part was landed again")
			}
			if err := r.Drop("k"); err != nil {
				t.Fatal(err)
			}
			if got := files(t, r); len(got) != 0 && name == "File" {
				t.Errorf("files %v after Drop, want none", got)
			}
			land(t, r, "k", unknown, source(patients(2, 10)))
		})
	}
}

func TestEmptyBody(t *testing.T) {
	for name, s := range map[string]Source{
		"Empty":       {Body: strings.NewReader(""), Length: 0},
		"NoLength":    {Body: strings.NewReader(""), Length: -1},
		"GzipOfEmpty": source(gz(t, nil)),
		"BlankLines":  source([]byte("\n \r\n")),
		"OneByte":     source([]byte("\n")),
	} {
		t.Run(name, func(t *testing.T) {
			p := land(t, newRun(t), "k", Options{Expect: 0}, s)
			if info := p.Info(); info.Lines != 0 || len(info.Types) != 0 {
				t.Errorf("%+v, want no lines", info)
			}
			if got := readAll(t, p.Open); int64(len(got)) != p.Info().Bytes || s.Length >= 0 && p.Info().RawBytes != s.Length {
				t.Errorf("Open gives %d bytes of %d, of %d as sent", len(got), p.Info().Bytes, p.Info().RawBytes)
			}
			if got := records(t, p); len(got) != 0 {
				t.Errorf("%d records, want none", len(got))
			}
		})
	}
}

// TestF32HostileKeys lands under keys that are no file names.
func TestF32HostileKeys(t *testing.T) {
	r := apartRun(t)
	keys := []string{"", ".", "..", "../../etc/passwd", "/abs", "a/b", "a-b", "a\x00b", "a b", "A/B", strings.Repeat("x", 5000), "é", "\xff\xfe"}
	for i, key := range keys {
		land(t, r, key, unknown, source(patients(uint64(i), i+1)))
	}
	shelf := newRun(t)
	for i, key := range keys {
		land(t, shelf, key, unknown, source(patients(uint64(i), i+1)))
	}
	for _, r := range []*Run{r, shelf, reopen(t, shelf)} {
		for i, key := range keys {
			p, err := r.Part(key)
			if err != nil || p == nil || p.Info().Lines != int64(i+1) {
				t.Errorf("key %q: %v, %v, want %d lines", key, p, err, i+1)
			}
		}
	}
	if got := files(t, r); len(got) != len(keys) {
		t.Errorf("%d files, want %d", len(got), len(keys))
	}
	up, err := os.ReadDir(filepath.Dir(r.dir.Path))
	if err != nil || len(up) != 1 {
		t.Errorf("beside the run lies %v (%v)", up, err)
	}
}

func TestRunsAndSweep(t *testing.T) {
	s := &Spool{Dir: filepath.Join(t.TempDir(), "spool"), MinFree: 1}
	if runs, err := s.Runs(); err != nil || len(runs) != 0 {
		t.Errorf("Runs of a missing folder: %v, %v", runs, err)
	}
	for _, bad := range []string{"", ".", "..", "a/b", ".hidden", "a\x00"} {
		if _, err := s.Run(bad); err == nil {
			t.Errorf("Run took the name %q", bad)
		}
	}
	for _, name := range []string{"r1", "r2", "r3"} {
		r, err := s.Run(name)
		if err != nil {
			t.Fatal(err)
		}
		land(t, r, "k", unknown, source(patients(1, 1)))
	}
	if err := s.Sweep(func(run string) bool { return run == "r2" }); err != nil {
		t.Fatal(err)
	}
	if runs, err := s.Runs(); err != nil || !slices.Equal(runs, []string{"r2"}) {
		t.Errorf("Runs after Sweep: %v, %v, want r2", runs, err)
	}
	r, err := s.Run("r2")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(); err != nil {
		t.Fatal(err)
	}
	if runs, err := s.Runs(); err != nil || len(runs) != 0 {
		t.Errorf("Runs after Remove: %v, %v", runs, err)
	}
}

// TestI7OnlyForTheOwner checks the modes of everything in a spool.
func TestI7OnlyForTheOwner(t *testing.T) {
	s := &Spool{Dir: filepath.Join(t.TempDir(), "spool"), MinFree: 1}
	r := openRun(t, s)
	land(t, r, "k", unknown, source(patients(1, 10)))
	body := patients(2, 30_000)
	l, err := r.Land("partial", unknown)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Copy(t.Context(), Source{Body: bytes.NewReader(body[:len(body)-1]), Length: int64(len(body)), Validator: `"v"`}); err == nil {
		t.Fatal("a short body was taken")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var seen int
	err = filepath.WalkDir(s.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		want := os.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if seen++; fi.Mode().Perm() != want {
			t.Errorf("%s has the mode %v, want %v", d.Name(), fi.Mode(), want)
		}
		return nil
	})
	if err != nil || seen != 5 { // two folders, part, partial, origin
		t.Errorf("%d entries (%v), want 5", seen, err)
	}
}

func TestFullDisk(t *testing.T) {
	s := &Spool{Dir: t.TempDir(), MinFree: 1 << 60}
	r := openRun(t, s)
	var full *FullError
	if _, err := r.Land("k", unknown); !errors.As(err, &full) || full.Hint() == "" || full.Need != 1<<60 {
		t.Errorf("Land returned %v, want a *FullError with a hint", err)
	}
	if err := s.Check(t.Context()); !errors.As(err, &full) {
		t.Errorf("Check returned %v, want a *FullError", err)
	}

	// The disk fills up in the middle of a body, and has room again later.
	s.MinFree = 1
	body := patients(1, 30_000)
	whole := land(t, newRun(t), "k", unknown, source(body))
	l, err := r.Land("k", unknown)
	if err != nil {
		t.Fatal(err)
	}
	cut := &cutBody{body: body, at: len(body) / 2, then: func() { s.MinFree = 1 << 60; l.room = 0 }}
	if err := l.Copy(t.Context(), Source{Body: cut, Length: int64(len(body)), Validator: `"v1"`}); !errors.As(err, &full) {
		t.Fatalf("Copy returned %v, want a *FullError", err)
	}
	s.MinFree = 1
	offset, validator, _ := l.Resume()
	if offset == 0 {
		t.Error("what came before the disk was full is lost")
	}
	if err := l.Copy(t.Context(), from(body, offset, validator)); err != nil {
		t.Fatal(err)
	}
	p, err := l.Commit()
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "after a full disk", p, whole)
}

// cutBody gives a body in small pieces. At a byte it calls then, and goes on if
// that is not an error.
type cutBody struct {
	body []byte
	pos  int
	at   int
	then func()
	err  error
}

func (c *cutBody) Read(p []byte) (int, error) {
	if c.pos >= c.at {
		if c.then != nil {
			c.then()
			c.then = nil
		}
		if c.err != nil {
			return 0, c.err
		}
	}
	if c.pos == len(c.body) {
		return 0, io.EOF
	}
	n := min(len(p), 9973, len(c.body)-c.pos)
	if c.pos < c.at {
		n = min(n, c.at-c.pos)
	}
	copy(p, c.body[c.pos:c.pos+n])
	c.pos += n
	return n, nil
}
