package spool

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRealData lands published sample data and selects every type: each line
// comes out once, byte for byte.
func TestRealData(t *testing.T) {
	dir := os.Getenv("FLUE_TEST_DATA")
	if dir == "" {
		t.Skip("FLUE_TEST_DATA names no folder with sample data")
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Glob(filepath.Join(dir, "*.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	for name, paths := range map[string][]string{"Folders": paths, "Examples": examples} {
		t.Run(name, func(t *testing.T) {
			if len(paths) == 0 {
				t.Skip("there is none")
			}
			r := newRun(t)
			var parts []*Part
			var want []string
			types := map[string]bool{}
			for _, path := range paths {
				sent, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				z, err := gzip.NewReader(bytes.NewReader(sent))
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(z)
				if err != nil {
					t.Fatal(err)
				}
				p := land(t, r, path, unknown, source(sent))
				parts = append(parts, p)
				info := p.Info()
				if info.Quarantined > 0 {
					t.Errorf("%s: %d lines are quarantined: %v", filepath.Base(path), info.Quarantined, info.Reasons)
				}
				for line := range strings.Lines(string(text)) {
					if line = strings.TrimSpace(line); line != "" && !strings.Contains(line[:min(60, len(line))], `"OperationOutcome"`) {
						want = append(want, line)
					}
				}
				for _, typ := range info.Types {
					types[typ.Type] = true
				}
			}
			var got []string
			for typ := range types {
				s, err := r.Select(t.Context(), typ, parts, SelectOptions{KeepUndated: true})
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, published(t, s)...)
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%d lines of %d types are published, want %d", len(got), len(types), len(want))
			}
			t.Logf("%d lines of %d types", len(got), len(types))
		})
	}
}
