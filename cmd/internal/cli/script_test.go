package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"flue": watchedMain})
}

// TestScripts runs the program as a person does, with stdout and stderr looked
// at apart. Beside testscript's own commands the scripts have:
//
//	exits CODE flue ARG...   run the program and demand an exit code
//	sandbox [FLAG...]        start a sandbox; $SANDBOX is its base URL
//	waitfor FILE TEXT        wait until the file holds the text
//	lastrun JOB              $RUN becomes the id of the job's newest run
//	count N FILE TEXT        demand that N lines of the file hold the text
//	ehr [FLAG...]            start a server to authenticate with; see startEHR
//	proxy                    start an HTTP proxy; $PROXY is its URL
//	fetch [--ca FILE] [--etag TAG] FILE   get the URL that is in the file into the file fetched
//	signed                   write headers and claims of the assertions seen to signed.log
//	saw KIND...              demand that the servers saw secrets of these kinds
//	setvar NAME FILE KEY     $NAME becomes the member of the JSON object in the file
//	keyset FILE KEYFILE...   write the keys of several files as one private JWK Set
//	docwrite FILE TEXT       write the block of docs/authentication.md that has the text
//	docrun TEXT              run the commands of that block
//	edit FILE OLD NEW        replace text in the file
//	envfile NAME FILE        $NAME becomes the content of the file
//	kickoff REQUEST FILE     begin an export beside flue; its status URL goes to the file
//	post PATH FILE           send the file to the sandbox
//
// After each script everything that it left (output of the commands, state, spool,
// snapshots, logs) is searched for the secrets that its servers saw (I6); only files
// below $WORK/secret may hold one.
func TestScripts(t *testing.T) {
	cache := t.TempDir()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("NO_PROXY", "*")
			return watch(t, e)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"waitfor":  waitFor,
			"count":    count,
			"lastrun":  lastRun,
			"ehr":      startEHR,
			"proxy":    startProxy,
			"fetch":    fetch,
			"signed":   signed,
			"kickoff":  kickOff,
			"post":     post,
			"saw":      saw,
			"setvar":   setVar,
			"docwrite": docWrite,
			"docrun":   docRun,
			"edit":     edit,
			"keyset":   keySet,
			"envfile":  envFile,
			"sandbox":  func(ts *testscript.TestScript, _ bool, args []string) { startForScript(ts, cache, args) },
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE program [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("exits: %q is no code", args[0])
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var failed *exec.ExitError
		if !errors.As(err, &failed) {
			ts.Fatalf("exits: %v", err)
		}
		got = failed.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitfor FILE TEXT")
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		data, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && bytes.Contains(data, []byte(args[1])) {
			return
		}
	}
	ts.Fatalf("%s never held %q", args[0], args[1])
}

func lastRun(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: lastrun JOB")
	}
	if err := ts.Exec("flue", "runs", args[0], "-n", "1", "--json"); err != nil {
		ts.Fatalf("lastrun: %v", err)
	}
	var run struct{ Run string }
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &run); err != nil || run.Run == "" {
		ts.Fatalf("lastrun: no run of %s: %v", args[0], err)
	}
	ts.Setenv("RUN", run.Run)
}

func count(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: count N FILE TEXT")
	}
	got := 0
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		if strings.Contains(line, args[2]) {
			got++
		}
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("%d lines of %s hold %q, want %s", got, args[1], args[2], args[0])
	}
}

// startForScript starts a sandbox in this process, so that every script shares
// the one cached population.
func startForScript(ts *testscript.TestScript, cache string, args []string) {
	a := &app{sys: &System{
		Stdout: io.Discard, Stderr: io.Discard, Now: time.Now,
		LookupEnv: func(name string) (string, bool) { v := ts.Getenv(name); return v, v != "" },
		Terminal:  func() (int, bool) { return 0, false },
	}}
	o := sandboxOptions{}
	var box *runningSandbox
	c := &cobra.Command{RunE: func(*cobra.Command, []string) (err error) {
		o.listen, o.cache, o.requestLog = "127.0.0.1:0", cache, ts.MkAbs("requests.ndjson")
		for i, client := range o.clients {
			id, file, _ := strings.Cut(client, "=")
			o.clients[i] = id + "=" + ts.MkAbs(file)
		}
		if o.data != "" {
			o.data = ts.MkAbs(o.data)
		}
		box, err = a.startSandbox(context.Background(), o)
		return err
	}}
	o.flags(c)
	c.SetArgs(append([]string{"--patients", "20", "--export-duration", "10ms"}, args...))
	if err := c.Execute(); err != nil {
		ts.Fatalf("sandbox: %v", err)
	}
	ts.Defer(func() {
		if err := box.stop(); err != nil {
			ts.Logf("stop sandbox: %v", err)
		}
	})
	ts.Setenv("SANDBOX", witnessOf(ts).before(ts, box.base))
}
