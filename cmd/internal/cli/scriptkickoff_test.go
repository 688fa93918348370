package cli

import (
	"net/http"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// kickOff has the open sandbox begin an export that flue knows nothing of, and
// writes its status URL to a file.
func kickOff(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: kickoff REQUEST FILE")
	}
	req, err := http.NewRequest(http.MethodGet, ts.Getenv("SANDBOX")+"/"+args[0], nil)
	if err != nil {
		ts.Fatalf("kickoff: %v", err)
	}
	req.Header.Set("Accept", "application/fhir+json")
	req.Header.Set("Prefer", "respond-async")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		ts.Fatalf("kickoff: %v", err)
	}
	_ = resp.Body.Close()
	link := resp.Header.Get("Content-Location")
	if resp.StatusCode != http.StatusAccepted || link == "" {
		ts.Fatalf("kickoff: answered %s", resp.Status)
	}
	if err := os.WriteFile(ts.MkAbs(args[1]), []byte(link+"\n"), 0o600); err != nil {
		ts.Fatalf("kickoff: %v", err)
	}
}

// post sends a file to the sandbox, for its administration.
func post(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: post PATH FILE")
	}
	resp, err := http.Post(strings.TrimSuffix(ts.Getenv("SANDBOX"), "/fhir")+"/"+args[0], "application/fhir+json", strings.NewReader(ts.ReadFile(args[1])))
	if err != nil {
		ts.Fatalf("post: %v", err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		ts.Fatalf("post: answered %s", resp.Status)
	}
}
