package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/pipeline/config"
)

func TestPatientsFromAFile(t *testing.T) {
	dir := t.TempDir()
	good, bad, none := filepath.Join(dir, "good"), filepath.Join(dir, "bad"), filepath.Join(dir, "none")
	write(t, good, []byte("p1\n# the second\nPatient/p2\r\n\n  p3  \n"))
	write(t, bad, []byte("p1\nSmith, John\n"))
	write(t, none, []byte("# nobody\n"))
	ids, err := patientIDs([]string{"p0", "file:" + good})
	if err != nil || strings.Join(ids, " ") != "p0 p1 p2 p3" {
		t.Errorf("ids %v, %v", ids, err)
	}
	for _, path := range []string{bad, none, filepath.Join(dir, "missing")} {
		_, err := patientIDs([]string{"file:" + path})
		if classOf(err) != "usage" || strings.Contains(err.Error(), "Smith") {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
}

func TestPathsOfTheConfiguration(t *testing.T) {
	a := testApp("HOME", "/home/u")
	f := &config.File{
		Servers: map[string]config.Server{"s": {
			Auth:    config.Auth{Key: "file:keys/a.pem", Secret: "env:X", Token: "file:~/t"},
			Headers: map[string]string{"X": "file:h", "Y": "plain"}, TLS: config.TLS{CA: "ca.pem"},
		}},
		Jobs: map[string]config.Job{"j": {
			Destination: config.Destination{Path: "../data"}, Export: config.Export{Patients: []string{"file:p", "id"}},
		}},
	}
	if err := a.absolute(f, "/etc/flue"); err != nil {
		t.Fatal(err)
	}
	s, j := f.Servers["s"], f.Jobs["j"]
	got := strings.Join([]string{
		f.StateDir, f.SpoolDir, s.Auth.Key, s.Auth.Secret, s.Auth.Token, s.Headers["X"], s.Headers["Y"], s.TLS.CA,
		j.Destination.Path, j.Export.Patients[0], j.Export.Patients[1],
	}, "\n")
	want := strings.Join([]string{
		"/home/u/.local/state/flue", "/home/u/.local/state/flue/spool", "file:/etc/flue/keys/a.pem", "env:X", "file:/home/u/t",
		"file:/etc/flue/h", "plain", "/etc/flue/ca.pem", "/etc/data", "file:/etc/flue/p", "id",
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := testApp().absolute(&config.File{}, "/"); classOf(err) != "usage" {
		t.Errorf("without HOME: %v", err)
	}
}
