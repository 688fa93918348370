package verify

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/sinks"
)

func TestAttachments(t *testing.T) {
	dir := newWorld(t).publishAttachments("r1", 7)
	found := check(t, dir, Options{})
	if got := failing(found); got != "" || found["attachments"].Text != "8 found, 7 fetched, 0 filtered, 1 failed; 5 contents of 45 bytes with their SHA-256, and no others" {
		t.Errorf("failed: %s: %s %v", got, found["attachments"].Text, found["attachments"].Problems)
	}
	// A snapshot of a job that fetches none says nothing of them.
	if f, ok := check(t, newWorld(t).publish("r1", map[string]string{"Patient": patients(0, 2)}), Options{})["attachments"]; ok {
		t.Errorf("without attachments: %+v", f)
	}
}

func TestDamagedAttachments(t *testing.T) {
	name := sinks.AttachmentFolder + "/" + sum([]byte("content a"))
	index := func(f func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, sinks.AttachmentIndex)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, f(data))
			accept(t, dir, sinks.AttachmentIndex)
		}
	}
	for title, test := range map[string]struct {
		damage func(*testing.T, string)
		checks string
		want   string
	}{
		"missing": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}, "attachments", name + ": is missing"},
		"other bytes": {func(t *testing.T, dir string) { write(t, filepath.Join(dir, name), []byte("Content a")) }, "attachments", name + ": its SHA-256 is another one than its name"},
		"cut":         {func(t *testing.T, dir string) { write(t, filepath.Join(dir, name), []byte("content")) }, "attachments", name + ": has 7 bytes, the index says 9"},
		"orphan": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, sinks.AttachmentFolder, sum([]byte("x"))), []byte("x"))
		}, "attachments", sum([]byte("x")) + ": is not in the index"},
		"foreign": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, sinks.AttachmentFolder, "notes.txt"), []byte("x"))
		}, "attachments", "attachments/notes.txt: is not in the manifest"},
		"a folder": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "attachments", name + ": is no regular file"},
		"no index": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, sinks.AttachmentIndex)); err != nil {
				t.Fatal(err)
			}
		}, "files attachments", sinks.AttachmentIndex + ": "},
		"index is none":  {index(func([]byte) []byte { return []byte("secret\n") }), "rows attachments", "it is not NDJSON of its kind"},
		"a row less":     {index(func(b []byte) []byte { return b[bytes.IndexByte(b, '\n')+1:] }), "rows attachments", "the index has 6 rows that are fetched, the manifest says 7"},
		"another status": {index(func(b []byte) []byte { return bytes.Replace(b, []byte(`"failed"`), []byte(`"lost"`), 1) }), "attachments", "a status that is not known"},
		"counts": {func(t *testing.T, dir string) {
			edit(t, dir, func(m *sinks.Manifest) { m.Attachments.Found++ })
		}, "attachments", "9 attachments were found, 8 are accounted for"},
		"contents": {func(t *testing.T, dir string) {
			edit(t, dir, func(m *sinks.Manifest) { m.Attachments.Bytes++ })
		}, "attachments", "5 contents of 45 bytes are there, the manifest says 5 of 46"},
	} {
		dir := newWorld(t).publishAttachments("r1", 7)
		test.damage(t, dir)
		found := check(t, dir, Options{})
		problems := strings.Join(found["attachments"].Problems, "\n")
		if got := failing(found); got != test.checks || !strings.Contains(problems, test.want) || strings.Contains(problems, "secret") {
			t.Errorf("%s: failed %q, want %q: %s", title, got, test.checks, problems)
		}
	}
}
