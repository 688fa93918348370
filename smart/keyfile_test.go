package smart

import (
	"bytes"
	"crypto/rsa"
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
	// Others may read a public key: that it is one is what has to be said.
	public := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(public, must(json.Marshal(Keys{ecKey()}.JWKS())), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = LoadKeyFile(public, "")
	wantError(t, err, "auth", "public key, which cannot sign", "private half")
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

// A kid that the configuration names is followed by its successor, and by no other key
// of the file (F12, P3).
func TestF12NamedKeyIsFollowedByItsSuccessor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.pem")
	old := must(GenerateECKeyPair("old"))
	if err := SaveKey(path, old); err != nil {
		t.Fatal(err)
	}
	file := &KeyFile{Path: path, KID: "old"}
	signs := func(at time.Time) string {
		t.Helper()
		k, err := file.SigningKey(t.Context(), at, []string{RS384, ES384})
		if err != nil {
			t.Fatal(err)
		}
		return k.ID()
	}
	now := time.Now().Truncate(time.Second)
	if got := signs(now); got != "old" {
		t.Errorf("PEM: %s signs, want old", got)
	}
	other := rsaKey() // of another algorithm, which this server does not know
	if err := SaveKeys(path, append(must(must(file.Keys()).Rotate(must(old.Successor("new")), now, time.Hour)), other)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		after time.Duration
		kid   string
	}{{0, "old"}, {time.Hour - time.Second, "old"}, {time.Hour, "new"}, {24 * time.Hour, "new"}} {
		if got := signs(now.Add(want.after)); got != want.kid {
			t.Errorf("after %v: %s signs, want %s", want.after, got, want.kid)
		}
	}
	if _, err := file.SigningKey(t.Context(), now, []string{RS384}); err == nil {
		t.Errorf("a key that was not named signs")
	}
	// Without a rotation the kid means that key alone.
	if err := SaveKeys(path, Keys{must(GenerateECKeyPair("old")), must(GenerateECKeyPair("else"))}); err != nil {
		t.Fatal(err)
	}
	if got := kids(must(file.Keys())); len(got) != 1 || got[0] != "old" {
		t.Errorf("got %v, want old alone", got)
	}
}

func TestSuccessorSignsWithTheSameAlgorithms(t *testing.T) {
	free, bound := must(ParseKey(must(rsaKey().PrivatePEM()), "free")), must(GenerateKeyPair("PS384", "bound"))
	for _, one := range []struct {
		key  *Key
		alg  string
		want bool
	}{{free, RS384, true}, {free, "PS384", true}, {bound, "PS384", true}, {bound, RS384, false}} {
		s := must(one.key.Successor(""))
		if s.ID() == one.key.ID() || s.Public().(*rsa.PublicKey).Equal(one.key.Public()) {
			t.Errorf("the successor is the same key")
		}
		if got := s.bind([]string{one.alg}) != nil; got != one.want {
			t.Errorf("successor of %v signs %s: got %v, want %v", one.key, one.alg, got, one.want)
		}
	}
}
