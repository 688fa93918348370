package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/export/sandbox/population"
)

// campaign builds the binary and says where the test's campaign works.
func campaign(t *testing.T) options {
	t.Helper()
	if testing.Short() {
		t.Skip("runs the real binary for seconds")
	}
	o := options{flue: filepath.Join(t.TempDir(), "flue"), dir: t.TempDir(), seeds: 1, parallel: 1, keep: true}
	if out, err := exec.Command("go", "build", "-o", o.flue, "../../cmd/flue").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	if err := prepare(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return o
}

// What the campaign calls lost, foreign or left behind is found: a snapshot that
// passed is spoiled in each way.
func TestJudge(t *testing.T) {
	o := campaign(t)
	s := draw(1)
	s.Compression, s.Faults, s.Change, s.MaxBadLines = "none", []fault{{Kind: "kill -9", On: killOn + "landing", Times: 1}}, nil, 0
	r, err := runSeed(t.Context(), o, s)
	if err != nil || !r.ok() {
		t.Fatalf("the undisturbed seed: %v, %v", err, r)
	}
	if len(r.tries) != 2 || !r.tries[0].Killed || len(r.strikes) != 1 {
		t.Errorf("%d tries, %d strikes; want a kill and a second try", len(r.tries), len(r.strikes))
	}
	latest := filepath.Join(r.dir, "out", jobName, "latest")
	want, err := truth(filepath.Join(o.dir, "cache", fmt.Sprintf("population-v%d-%d-1", population.Version, s.Patients)), s.Types)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(latest, "ndjson", "Patient", "*.ndjson"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n"))
	for name, c := range map[string]struct {
		content       []byte
		lost, foreign int
	}{
		"as published": {whole, 0, 0},
		"a line lost":  {bytes.Join(lines[1:], nil), 1, 0},
		"a line twice": {append(bytes.Clone(whole), lines[0]...), 0, 1},
		"foreign":      {append(bytes.Clone(whole), `{"resourceType":"Patient","id":"x"}`...), 0, 1},
		"a byte wrong": {bytes.Replace(whole, []byte("a"), []byte("b"), 1), 1, 1},
	} {
		if err := os.WriteFile(files[0], c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		v, problems, err := judge(latest, want, 0)
		if err != nil || v.Lost != c.lost || v.Foreign != c.foreign || (len(problems) > 0) != (c.lost+c.foreign > 0) {
			t.Errorf("%s: %d lost, %d foreign, %v, %v; want %d and %d", name, v.Lost, v.Foreign, problems, err, c.lost, c.foreign)
		}
		if err := complete(latest); (err != nil) != (name != "as published") {
			t.Errorf("%s: complete says %v", name, err)
		}
	}
}

// Secrets are found in logs and files.
func TestLeaks(t *testing.T) {
	s := newSecrets()
	s.tokens["t0ken"], s.assertions["head.claims.sig"] = true, true
	s.export("abcdef")
	dir := t.TempDir()
	put(t, filepath.Join(dir, "out", "log.ndjson"), []byte("https://x/_export/abcdef/Patient.ndjson"))
	put(t, filepath.Join(dir, "state", "ledger.db"), []byte("https://x/_export/abcdef"))
	look := func(log string) []string {
		return s.leaks(log, []string{"patient-1"}, filepath.Join(dir, "state", "ledger"), dir)
	}
	if got := look("all is well"); len(got) > 0 {
		t.Errorf("found %v where there is nothing", got)
	}
	for log, want := range map[string]string{"Bearer t0ken": "a token", "x=head.claims.sig": "an assertion", "_export/abcdef": "a status URL", "Patient/patient-1": "a patient's id"} {
		if got := look(log); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%q: found %v, want %s", log, got, want)
		}
	}
	put(t, filepath.Join(dir, "spool", "part"), []byte("t0ken"))
	put(t, filepath.Join(dir, "out", "manifest.json"), []byte(`"https://x/_export/abcdef"`))
	if got := look(""); len(got) != 2 {
		t.Errorf("found %v, want a token and a status URL in files", got)
	}
}

// A campaign of a few seeds passes, and tells its table.
func TestReport(t *testing.T) {
	o := campaign(t)
	var results []*result
	for seed := uint64(1); seed <= 3; seed++ {
		r, err := runSeed(t.Context(), o, draw(seed))
		if err != nil {
			t.Fatal(err)
		}
		if !r.ok() {
			r.tell(t.Logf)
			t.Errorf("seed %d was not survived", seed)
		}
		results = append(results, r)
	}
	var out strings.Builder
	if err := report(&out, o, results, 0); err != nil || !strings.Contains(out.String(), "0 lost, 0 foreign") {
		t.Errorf("report: %v\n%s", err, out.String())
	}
	results[0].violations = append(results[0].violations, "I1: invented")
	if err := report(&out, o, results, 0); err == nil || !strings.Contains(out.String(), "1 half-visible") {
		t.Errorf("a violation does not fail the campaign: %v", err)
	}
}
