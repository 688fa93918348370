package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/flue-fhir/flue/sinks"
)

// snapshot writes a complete snapshot of one file.
func snapshot(t *testing.T, dir string) {
	t.Helper()
	content := []byte(`{"resourceType":"Patient","id":"1"}` + "\n")
	sum := sha256.Sum256(content)
	m := sinks.Manifest{Files: []sinks.File{{Path: "ndjson/Patient/part.ndjson", Type: "Patient", Rows: 1, Bytes: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}}}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "manifest.json"), text)
	put(t, filepath.Join(dir, "ndjson", "Patient", "part.ndjson"), content)
}

func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// I1: the watcher finds whatever is visible and not whole.
func TestWatcher(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, job, dir string)
		want  string
	}{
		"whole":       {func(*testing.T, string, string) {}, ""},
		"no manifest": {func(t *testing.T, _, dir string) { remove(t, filepath.Join(dir, "manifest.json")) }, "in part"},
		"a file is missing": {func(t *testing.T, _, dir string) {
			remove(t, filepath.Join(dir, "ndjson", "Patient", "part.ndjson"))
		}, "in part"},
		"a file is shorter": {func(t *testing.T, _, dir string) {
			put(t, filepath.Join(dir, "ndjson", "Patient", "part.ndjson"), []byte("{"))
		}, "in part"},
		"a file too many": {func(t *testing.T, _, dir string) {
			put(t, filepath.Join(dir, "ndjson", "Patient", ".tmp-1"), []byte("{"))
		}, "in part"},
		"latest dangles": {func(t *testing.T, job, _ string) {
			if err := os.Symlink("snapshots/2", filepath.Join(job, "latest")); err != nil {
				t.Fatal(err)
			}
		}, "latest points at no snapshot"},
		"latest alone": {func(t *testing.T, job, _ string) {
			remove(t, filepath.Join(job, "snapshots"))
			if err := os.Symlink("snapshots/1", filepath.Join(job, "latest")); err != nil {
				t.Fatal(err)
			}
		}, "before a snapshot"},
	} {
		t.Run(name, func(t *testing.T) {
			job := t.TempDir()
			dir := filepath.Join(job, "snapshots", "1")
			snapshot(t, dir)
			c.spoil(t, job, dir)
			var said []string
			var seen atomic.Int32
			w := watch(job, func() { seen.Add(1) }, func(text string) { said = append(said, text) })
			if w.close() == 0 {
				t.Error("it did not look")
			}
			switch got := strings.Join(said, "\n"); {
			case c.want == "" && (got != "" || w.visible() != 1 || seen.Load() != 1):
				t.Errorf("%d snapshots seen, %d told: %s", w.visible(), seen.Load(), got)
			case !strings.Contains(got, c.want):
				t.Errorf("said %q, want %q", got, c.want)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}
