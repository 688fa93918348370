package smart

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestP1KeyFileReadableByOthersIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "it's a key.pem")
	if err := SaveKey(path, ecKey()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode: got %v, %v; want 0600", info.Mode(), err)
	}
	k, err := LoadKeyFile(path, "mine")
	if err != nil || k.ID() != "mine" {
		t.Fatalf("got %v, %v", k, err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadKeyFile(path, "")
		e := wantError(t, err, "auth", "others than its owner", `chmod 600 '`)
		if e.Where != path {
			t.Errorf("where: got %q, want the path", e.Where)
		}
		if _, err := LoadKeysFile(path); err == nil {
			t.Errorf("LoadKeysFile read a file of mode %o", mode)
		}
		if _, err := (&KeyFile{Path: path}).Keys(); err == nil {
			t.Errorf("KeyFile read a file of mode %o", mode)
		}
	}
	_, err = LoadKeyFile(filepath.Join(t.TempDir(), "none"), "")
	if wantError(t, err, "auth", "no such file", "path"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist in it", err)
	}
	_, err = LoadKeyFile(t.TempDir(), "")
	wantError(t, err, "auth", "folder", "")
}

func TestSaveKeyNeverOverwrites(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := SaveKey(path, ecKey())
	wantError(t, err, "auth", path, "not overwritten")
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want fs.ErrExist in it", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "precious" {
		t.Errorf("the file was changed")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestPrivateKeysSurviveTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	now := time.Unix(1_700_000_000, 0)
	set := Keys{rsaKey(), ecKey()}
	successor := must(GenerateECKeyPair("next"))
	set = must(set.Rotate(successor, now, time.Hour))
	if err := SaveKeys(path, set); err != nil {
		t.Fatal(err)
	}
	if err := SaveKeys(path, set); err != nil { // replaces
		t.Fatal(err)
	}
	back, err := LoadKeysFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(back) != len(set) {
		t.Fatalf("got %d keys, want %d", len(back), len(set))
	}
	for i := range set {
		if !back[i].NotBefore().Equal(set[i].NotBefore()) || !back[i].NotAfter().Equal(set[i].NotAfter()) {
			t.Errorf("key %d: times changed", i)
		}
		got, want := must(json.Marshal(back[i].PublicJWK())), must(json.Marshal(set[i].PublicJWK()))
		if !bytes.Equal(got, want) {
			t.Errorf("key %d: got %s, want %s", i, got, want)
		}
		if !bytes.Equal(must(back[i].PrivatePEM()), must(set[i].PrivatePEM())) {
			t.Errorf("key %d: another private key", i)
		}
	}
}

// A rotated file reaches the next assertion; one taken away or opened to others
// stops it.
func TestF12KeyFileIsReadAgainWhenItChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	old := must(GenerateECKeyPair("old"))
	if err := SaveKeys(path, Keys{old}); err != nil {
		t.Fatal(err)
	}
	file := &KeyFile{Path: path}
	e := &endpoint{t: t}
	c := newClient(e)
	c.Keys = file
	kid := func() any {
		t.Helper()
		tok, err := c.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Invalidate(tok.AccessToken)
		return e.call(e.count() - 1).header["kid"]
	}
	if got := kid(); got != "old" {
		t.Errorf("kid: got %v, want old", got)
	}
	now := time.Now().Add(-time.Second)
	rotated := must(Keys{old}.Rotate(must(GenerateECKeyPair("new")), now, 0))
	if err := SaveKeys(path, rotated); err != nil {
		t.Fatal(err)
	}
	if got := kid(); got != "new" {
		t.Errorf("kid after the rotation: got %v, want new", got)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := c.Token(t.Context())
	wantError(t, err, "auth", "others than its owner", "chmod 600")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err = c.Token(t.Context())
	wantError(t, err, "auth", "no such file", "path")
}
