package parquet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/flue-fhir/flue/internal/fhirjson"
	"github.com/flue-fhir/flue/sinks"
)

// staging is a sinks.Staging in memory.
type staging struct {
	mu    sync.Mutex
	files map[string][]byte
	fail  int // Creates to let pass before one fails; negative for never
}

func newStaging() *staging { return &staging{files: map[string][]byte{}, fail: -1} }

func (s *staging) Create(_ context.Context, path string) (sinks.FileWriter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == 0 {
		return nil, io.ErrShortWrite
	}
	s.fail--
	return &stagedFile{staging: s, path: path}, nil
}

func (s *staging) Remove(_ context.Context, path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.files, func(name string, _ []byte) bool { return name == path || strings.HasPrefix(name, path+"/") })
	return nil
}

func (s *staging) Publish(context.Context, *sinks.Manifest) (string, error) { return "", nil }
func (s *staging) Discard(context.Context) error                            { return nil }

type stagedFile struct {
	bytes.Buffer
	staging *staging
	path    string
}

func (f *stagedFile) Commit() (int64, string, error) {
	f.staging.mu.Lock()
	defer f.staging.mu.Unlock()
	f.staging.files[f.path] = f.Bytes()
	sum := sha256.Sum256(f.Bytes())
	return int64(f.Len()), hex.EncodeToString(sum[:]), nil
}

func (f *stagedFile) Abort() error { return nil }

// part is a sinks.Part in memory.
type part struct {
	data  []byte
	skips []int64
	lines int64 // published; 0 to count them
}

func (p part) Open() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p.data)), nil }
func (p part) Bytes() int64                 { return int64(len(p.data)) }

func (p part) Lines() int64 {
	if p.lines > 0 {
		return p.lines
	}
	var n int64
	for number, line := range strings.Split(string(p.data), "\n") {
		line = strings.TrimPrefix(line, "\ufeff")
		if strings.TrimSpace(line) != "" && !slices.Contains(p.skips, int64(number)) {
			n++
		}
	}
	return n
}

func (p part) Skips() func(yield func(int64) bool) {
	if p.skips == nil {
		return nil
	}
	return slices.Values(p.skips)
}

func (p part) Raw() (func() (io.ReadCloser, error), string, bool) { return nil, "", false }

// newInput lands the parts: their columns are those of the published lines.
func newInput(t testing.TB, typ string, parts ...part) sinks.Input {
	t.Helper()
	in := sinks.Input{Type: typ, Run: "run-1"}
	var w fhirjson.Walker
	for _, p := range parts {
		p.lines = p.Lines()
		in.Parts = append(in.Parts, p)
		for number, line := range bytes.Split(bytes.TrimPrefix(p.data, bom), []byte{'\n'}) {
			line = trim(line)
			if len(line) == 0 || slices.Contains(p.skips, int64(number)) {
				continue
			}
			if _, err := w.Walk(line, nil); err != nil {
				t.Fatalf("land line %d: %v", number, err)
			}
		}
	}
	in.Columns = w.Tree(typ)
	return in
}

// text is a part of lines.
func text(lines ...string) part { return part{data: []byte(strings.Join(lines, "\n") + "\n")} }
