package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:generate go test -count=1 -run ^TestDocsAreCurrent$ . -update

var update = flag.Bool("update", false, "write the generated documentation")

const (
	schemaFile    = "../../docs/jobs.schema.json"
	referenceFile = "../../docs/configuration.md"
	keysBegin     = "<!-- keys: made by go generate -->\n\n"
	keysEnd       = "<!-- end of keys -->\n"
)

func TestDocsAreCurrent(t *testing.T) {
	current(t, schemaFile, func([]byte) []byte { return Schema() })
	current(t, referenceFile, func(old []byte) []byte {
		before, rest, ok := bytes.Cut(old, []byte(keysBegin))
		_, after, closed := bytes.Cut(rest, []byte(keysEnd))
		if !ok || !closed {
			t.Fatalf("%s has no place for the keys", referenceFile)
		}
		return bytes.Join([][]byte{before, []byte(keysBegin), Reference(), []byte(keysEnd), after}, nil)
	})
}

func current(t *testing.T, path string, make func(old []byte) []byte) {
	t.Helper()
	old, err := os.ReadFile(path)
	if err != nil && !*update {
		t.Fatal(err)
	}
	want := make(old)
	if bytes.Equal(old, want) {
		return
	}
	if !*update {
		t.Fatalf("%s is not current: run go generate ./pipeline/config", path)
	}
	if err := os.WriteFile(path, want, 0o644); err != nil {
		t.Fatal(err)
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("jobs.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("jobs.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func instance(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// The schema accepts what the parser accepts and finds the common mistakes.
func TestSchema(t *testing.T) {
	s := compiled(t)
	if err := s.Validate(instance(t, minimal)); err != nil {
		t.Errorf("the minimal file: %v", err)
	}
	jobs, err := os.ReadFile("../../jobs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(instance(t, string(jobs))); err != nil {
		t.Errorf("jobs.yaml: %v", err)
	}
	if _, err := Parse("jobs.yaml", jobs, noEnv); err != nil {
		t.Errorf("jobs.yaml: %v", err)
	}
	for _, wrong := range []string{
		edit(t, "version: 1", "version: 3"),
		edit(t, "    server: sandbox", "    sever: sandbox"),
		edit(t, "[Patient]", "[Pateint]"),
		edit(t, "[Patient]", "[]"),
		edit(t, "      - type: ndjson", "      - type: csv"),
		edit(t, "    sinks:", "    policies: {overlap: 10}\n    sinks:"),
		edit(t, "    sinks:", "    policies: {max_bad_lines: 1.5%x}\n    sinks:"),
		edit(t, "    sinks:", "    policies: {max_bad_lines: 0.5}\n    sinks:"),
	} {
		if s.Validate(instance(t, wrong)) == nil {
			t.Errorf("accepted:\n%s", wrong)
		}
	}
}

// jobs.yaml names the schema in its first line, for editors.
func TestJobsFileNamesItsSchema(t *testing.T) {
	jobs, err := os.ReadFile("../../jobs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(jobs), "\n")
	if first != "# yaml-language-server: $schema=docs/jobs.schema.json" {
		t.Errorf("its first line is %q", first)
	}
}

// The jobs.yaml of the README is one that flue accepts.
func TestReadmeExample(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "```yaml\n")
	example, _, closed := strings.Cut(rest, "```\n")
	if !ok || !closed {
		t.Fatal("README.md has no YAML")
	}
	f := parse(t, example, env("HOSPITAL_CLIENT_ID", "c"))
	if job := f.Jobs["diabetes-cohort"]; job.Server != "hospital" || job.Export.Group == "" {
		t.Errorf("job is %+v", job)
	}
	if err := compiled(t).Validate(instance(t, example)); err != nil {
		t.Errorf("the schema refuses it: %v", err)
	}
}
