package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestI5KillConversion kills a conversion with SIGKILL in each phase and runs it
// again: the snapshot is complete, nothing was visible before and nothing is
// left over. The second try goes on with what the first one read.
func TestI5KillConversion(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real processes for seconds")
	}
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	in := t.TempDir()
	var patients, observations bytes.Buffer
	for i := range 30_000 {
		fmt.Fprintf(&patients, `{"resourceType":"Patient","id":"p%d","birthDate":"19%02d-0%d"}`+"\n", i, i%100, 1+i%9)
		fmt.Fprintf(&observations, `{"resourceType":"Observation","id":"o%d","status":"final","valueQuantity":{"value":%d.50}}`+"\n", i, i)
	}
	for name, text := range map[string][]byte{"Patient.ndjson": patients.Bytes(), "Observation.ndjson": observations.Bytes()} {
		if err := os.WriteFile(filepath.Join(in, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, when := range map[string]func(event) bool{
		"Reading":    func(e event) bool { return e.State == "landing" },
		"Converting": func(e event) bool { return e.State == "converting" },
		"Converted":  func(e event) bool { return e.Kind == "type" },
		"Publishing": func(e event) bool { return e.State == "publishing" },
	} {
		t.Run(name, func(t *testing.T) {
			var out string
			convert := func() *exec.Cmd {
				return exec.Command(bin, "convert", "--log", "json", "--json", "--sink", "parquet", "--sink", "ndjson", "--ndjson-compression", "none", "--out", out, in)
			}
			published := func() { // whole, I1
				for typ, want := range map[string][]byte{"Patient": patients.Bytes(), "Observation": observations.Bytes()} {
					got, err := os.ReadFile(filepath.Join(out, "convert", "latest", "ndjson", typ, "part-00000.ndjson"))
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s: %d bytes are published of %d: %v", typ, len(got), len(want), err)
					}
					if _, err := os.Stat(filepath.Join(out, "convert", "latest", "parquet", typ, "part-00000.parquet")); err != nil {
						t.Error(err)
					}
				}
			}
			// The signal races with the process: one that published first is no try.
			for try := 1; ; try++ {
				out = filepath.Join(t.TempDir(), "out")
				killed := false
				code, log := follow(t, convert(), func(e event, p *os.Process) {
					if !killed && when(e) {
						killed = true
						_ = p.Kill()
					}
				})
				if _, err := os.Lstat(filepath.Join(out, "convert", "latest")); killed && code != 0 && err != nil {
					break
				}
				published()
				if !killed || try == 10 {
					t.Fatalf("not killed in time: exit %d\n%s", code, log)
				}
			}
			resumed := false
			code, log := follow(t, convert(), func(e event, _ *os.Process) { resumed = resumed || e.Kind == "resume" })
			if code != 0 || !resumed {
				t.Fatalf("the second try: exit %d, resumed %v\n%s", code, resumed, log)
			}
			published()
			entries, err := os.ReadDir(filepath.Join(out, "convert"))
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			if strings.Join(names, " ") != ".lock latest snapshots" {
				t.Errorf("left in the destination: %v", names)
			}
		})
	}
}
