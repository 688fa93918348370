package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flue-fhir/flue/sinks"
)

// binary builds the real flue once for all tests of the package.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "flue-binary-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "flue")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// site is a server's sandbox process and a folder with a job for it.
type site struct {
	t     *testing.T
	dir   string
	cache string // folder of the sandbox's population
	base  string // service base URL
	bin   string
}

const jobs = `version: 1
state_dir: state
servers:
  sandbox:
    url: %s
    auth: {type: smart, client_id: flue-demo}
    limits: {poll_min: 50ms, downloads: 2}
jobs:
  nightly:
    server: sandbox
    export: {mode: %s, types: [Patient, Observation, Encounter, Condition], since: last}
    sinks: [{type: ndjson, compression: none}, {type: parquet}]
    destination: {path: out}
`

// newSite starts a sandbox with more flags and writes a job in the mode.
func newSite(t *testing.T, mode string, flags ...string) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("runs real processes for seconds")
	}
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: t.TempDir(), bin: bin}
	s.cache = filepath.Join(filepath.Dir(bin), "cache")
	s.write("fhir-base", "")
	jwks := filepath.Join(s.dir, "state", "keys", "sandbox", "jwks.json")
	args := append([]string{
		"sandbox", "--listen", "127.0.0.1:0", "--patients", "150", "--cache", s.cache, "--admin",
		"--client", "flue-demo=" + jwks, "--request-log", filepath.Join(s.dir, "requests.log"),
		"--address-file", filepath.Join(s.dir, "fhir-base"), "--file-size", "64KiB",
	}, flags...)
	cmd := exec.Command(bin, args...)
	cmd.Dir = s.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		keepOutput(t, s.dir, stderr.String())
		s.searchForSecrets()
		if t.Failed() {
			t.Logf("sandbox:\n%s", stderr.Bytes())
		}
	})
	for deadline := time.Now().Add(time.Minute); s.base == ""; {
		if time.Now().After(deadline) {
			t.Fatalf("the sandbox does not listen: %s", stderr.Bytes())
		}
		data, _ := os.ReadFile(filepath.Join(s.dir, "fhir-base"))
		s.base = strings.TrimSpace(string(data))
		time.Sleep(10 * time.Millisecond)
	}
	s.write("jobs.yaml", fmt.Sprintf(jobs, s.base, mode))
	// The first command makes the key pair; the sandbox reads it from the file.
	out, _ := s.command("check", "nightly").CombinedOutput()
	keepOutput(t, s.dir, string(out))
	if _, err := os.Stat(jwks); err != nil {
		t.Fatalf("no key was made: %s", out)
	}
	return s
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.bin, args...)
	cmd.Dir = s.dir
	return cmd
}

// event is a line of the log of `flue run`.
type event struct {
	Kind      string
	State     string
	FilesDone int
}

// run runs the job and hands each of its events to watch, with the process.
// It returns the exit code, -1 for a killed process, and what stderr had.
func (s *site) run(watch func(event, *os.Process)) (int, string) {
	s.t.Helper()
	return follow(s.t, s.command("run", "nightly", "--log", "json", "--json"), watch)
}

// follow runs a command that logs in JSON to its end, like run.
func follow(t *testing.T, cmd *exec.Cmd, watch func(event, *os.Process)) (int, string) {
	t.Helper()
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	log := &strings.Builder{}
	defer func() { keepOutput(t, cmd.Dir, log.String()+stdout.String()) }()
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fmt.Fprintln(log, lines.Text())
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Errorf("stderr has a line that is no JSON: %s", lines.Bytes())
		}
		if watch != nil {
			watch(e, cmd.Process)
		}
	}
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode(), log.String()
}

// admin asks the sandbox to do something.
func (s *site) admin(action string) {
	s.t.Helper()
	resp, err := http.Post(strings.TrimSuffix(s.base, "/fhir")+"/_sandbox/"+action, "", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s", action, resp.Status)
	}
}

// kickoffs counts the exports that the sandbox accepted.
func (s *site) kickoffs() int {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, "requests.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		var r struct {
			Path   string
			Status int
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			s.t.Fatal(err)
		}
		if r.Path == "kickoff" && r.Status == http.StatusAccepted {
			n++
		}
	}
	return n
}

// published reads the snapshot that latest points at; nil when there is none.
func (s *site) published() *sinks.Manifest {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, "out", "nightly", "latest", "manifest.json"))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	m := new(sinks.Manifest)
	if err := json.Unmarshal(data, m); err != nil {
		s.t.Fatal(err)
	}
	return m
}

// visible lists what a reader of the destination sees.
func (s *site) visible() []string {
	var names []string
	for _, pattern := range []string{"latest", "snapshots/*"} {
		list, _ := filepath.Glob(filepath.Join(s.dir, "out", "nightly", pattern))
		names = append(names, list...)
	}
	return names
}
