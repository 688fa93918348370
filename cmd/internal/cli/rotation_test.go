package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/smart"
)

func TestP3OneRotationAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := smart.SaveKey(path, must(smart.GenerateKeyPair(smart.ES384, ""))); err != nil {
		t.Fatal(err)
	}
	a := testApp()
	unlock, err := rotation{path: path}.lock()
	if err != nil {
		t.Fatal(err)
	}
	rotate := func() error {
		c := a.keysRotateCommand()
		c.SetArgs([]string{"--key", path, "--json"})
		c.SilenceErrors, c.SilenceUsage = true, true
		return c.Execute()
	}
	if err := rotate(); err == nil || !strings.Contains(err.Error(), "another rotation") || classOf(err) != "" || hintOf(err) == "" {
		t.Errorf("beside another rotation: %v", err)
	}
	if keys := must(smart.LoadKeysFile(path)); len(keys) != 1 {
		t.Errorf("the file has %d keys, want the one it had", len(keys))
	}
	unlock()
	if err := rotate(); err != nil {
		t.Fatal(err)
	}
	if keys := must(smart.LoadKeysFile(path)); len(keys) != 2 {
		t.Errorf("the file has %d keys, want 2", len(keys))
	}
}

// A file of another user's would become one of this user's, which the other could not
// read.
func TestRotationLeavesOtherUsersFiles(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := smart.SaveKey(path, must(smart.GenerateKeyPair(smart.ES384, ""))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 1, 1); err != nil {
		t.Fatal(err)
	}
	err := rotation{path: path}.writable()
	if classOf(err) != "usage" || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("got %v", err)
	}
}
