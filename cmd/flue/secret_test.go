package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/smart/authserver"
)

// outputFile gathers what the processes of a test wrote, in its folder.
const outputFile = "output.log"

func keepOutput(t *testing.T, dir, text string) {
	t.Helper()
	if dir == "" {
		return // a conversion: no server, no secrets
	}
	f, err := os.OpenFile(filepath.Join(dir, outputFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Error(err)
		return
	}
	_, err = f.WriteString(text + "\n")
	if cerr := f.Close(); err != nil || cerr != nil {
		t.Error(err, cerr)
	}
}

// searchForSecrets looks into every file of the test's folder: what client and sandbox wrote
// on their streams, ledger, spool, staging and snapshots. Tokens of the sandbox begin with a
// word of their own, assertions are the only JWTs, and the private key is in its file alone (I6).
func (s *site) searchForSecrets() {
	s.t.Helper()
	private := filepath.Join(s.dir, "state", "keys", "sandbox", "private_key.pem")
	files, found := findSecrets(s.t, s.dir, private)
	for _, leak := range found {
		s.t.Errorf("I6: %s", leak)
	}
	if files < 3 {
		s.t.Errorf("I6: only %d files were searched", files)
	}
}

func findSecrets(t *testing.T, dir, private string) (files int, found []string) {
	t.Helper()
	needles := []string{authserver.TokenPrefix}
	if pem, err := os.ReadFile(private); err == nil {
		lines := strings.Split(strings.TrimSpace(string(pem)), "\n")
		needles = append(needles, lines[2:len(lines)-1]...) // the first line of data is the algorithm's
	}
	jwt := regexp.MustCompile(`eyJ[\w-]{8,}\.eyJ`)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || path == private {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, needle := range needles {
			if strings.Contains(string(data), needle) {
				found = append(found, "a token or a private key in "+path)
			}
		}
		if jwt.Match(data) {
			found = append(found, "an assertion in "+path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return files, found
}

// The search after each test must be able to fail.
func TestI6TheSearchFindsWhatIsThere(t *testing.T) {
	for name, text := range map[string]string{
		"token": "Bearer " + authserver.TokenPrefix + "abc", "assertion": "eyJhbGciOiJFUzM4NCJ9.eyJpc3MiOiJ4In0.c2ln", "key": "bGluZSB0d28", "nothing": "kid abc",
	} {
		dir := t.TempDir()
		private := filepath.Join(dir, "private_key.pem")
		if err := os.WriteFile(private, []byte("-----BEGIN PRIVATE KEY-----\nbGluZSBvbmU\nbGluZSB0d28\n-----END PRIVATE KEY-----\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		keepOutput(t, dir, text)
		files, found := findSecrets(t, dir, private)
		if files != 1 || (len(found) == 1) != (name != "nothing") {
			t.Errorf("%s: %v in %d files", name, found, files)
		}
	}
}
