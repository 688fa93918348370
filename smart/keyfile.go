package smart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// LoadKeyFile reads a private key from a file; see [ParseKey] for its form and for
// kid. A file that its group or others may read is refused, with the chmod that
// mends it.
func LoadKeyFile(path, kid string) (*Key, error) {
	data, _, err := readPrivate(path)
	if err != nil {
		return nil, keyError(path, err)
	}
	k, err := ParseKey(data, kid)
	if err != nil {
		return nil, keyError(path, err)
	}
	return k, nil
}

// LoadKeysFile reads all private keys of a file; see [ParseKeys] and [LoadKeyFile].
func LoadKeysFile(path string) (Keys, error) {
	data, _, err := readPrivate(path)
	if err != nil {
		return nil, keyError(path, err)
	}
	keys, err := ParseKeys(data)
	if err != nil {
		return nil, keyError(path, err)
	}
	return keys, nil
}

// readPrivate reads a file that only its owner may read.
func readPrivate(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, &Error{Op: "load key", Where: path, Err: pathless(err), kind: lasting, hint: "Check the path, and that this user may read the file."}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, pathless(err)
	}
	if info.IsDir() {
		return nil, nil, &keyFault{text: "it is a folder", hint: "Name the key file in it."}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyData+1))
	if err != nil {
		return nil, nil, pathless(err)
	}
	if runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		if _, err := parseKeys(data, ""); isPublic(err) {
			return nil, nil, err // that others may read it is as it should be
		}
		return nil, nil, &keyFault{
			text: fmt.Sprintf("others than its owner may read or change the private key (mode %04o)", info.Mode().Perm()),
			hint: "Run: chmod 600 " + shellQuote(path),
		}
	}
	return data, info, nil
}

// isPublic reports whether key data was refused for being a public key.
func isPublic(err error) bool {
	fault, ok := errors.AsType[*keyFault](err)
	return ok && fault.public
}

// pathless drops the path, which the Error has in Where.
func pathless(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

func shellQuote(s string) string {
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		case r == '/', r == '.', r == '_', r == '-', r == '+', r == ',', r == ':', r == '@':
		default:
			quoted := "'"
			for _, r := range s {
				if r == '\'' {
					quoted += `'\''`
				} else {
					quoted += string(r)
				}
			}
			return quoted + "'"
		}
	}
	return s
}

// KeyFile is a [KeySource] that reads a file of private keys and reads it again when
// it has changed, so that a rotation reaches a running program (F12). A file that
// becomes unreadable is an error at the next assertion: a key taken away is not
// used. Do not change its fields after the first use.
type KeyFile struct {
	Path string
	// KID chooses one key of the file and, once it has been rotated, its successors
	// beside it; empty lets algorithm and rotation choose among all.
	KID string

	mu   sync.Mutex
	info fs.FileInfo
	keys Keys
}

// SigningKey implements [KeySource].
func (f *KeyFile) SigningKey(ctx context.Context, at time.Time, algorithms []string) (*Key, error) {
	keys, err := f.Keys()
	if err != nil {
		return nil, err
	}
	return keys.SigningKey(ctx, at, algorithms)
}

// Keys returns the keys that are in the file now.
func (f *KeyFile) Keys() (Keys, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.Path)
	if err == nil && f.info != nil && os.SameFile(info, f.info) && info.ModTime().Equal(f.info.ModTime()) && info.Size() == f.info.Size() && info.Mode() == f.info.Mode() {
		return f.keys, nil
	}
	f.info, f.keys = nil, nil
	data, info, err := readPrivate(f.Path)
	if err != nil {
		return nil, keyError(f.Path, err)
	}
	keys, err := parseChosen(data, f.KID)
	if err != nil {
		return nil, keyError(f.Path, err)
	}
	f.info, f.keys = info, keys
	return keys, nil
}

// parseChosen reads the key with this kid and those that a rotation put in its place
// (F12): a kid that the configuration names must not end a program when its key does.
// An empty kid means all keys. A broken key beside the one that is named does not stop it,
// as in [ParseKey].
func parseChosen(data []byte, kid string) (Keys, error) {
	one, err := parseKeys(data, kid)
	if err != nil || kid == "" || one[0].notAfter.IsZero() {
		return one, err
	}
	all, err := parseKeys(data, "")
	if err != nil {
		return one, nil
	}
	for _, k := range all {
		if k.alg.name == one[0].alg.name && k.notBefore.After(one[0].notBefore) {
			one = append(one, k)
		}
	}
	return one, nil
}

// SaveKey writes the private key as PKCS#8 PEM to a new file with mode 0600. An
// existing file is never overwritten: the error then is [fs.ErrExist].
func SaveKey(path string, k *Key) error {
	data, err := k.PrivatePEM()
	if err != nil {
		return err
	}
	return savePrivate(path, data, false)
}

// SaveKeys writes the private keys and their times as a JWK Set with mode 0600. It
// replaces the file, whole or not at all: a reader sees the old set or the new one.
func SaveKeys(path string, ks Keys) error {
	data, err := ks.PrivateJWKS()
	if err != nil {
		return err
	}
	return savePrivate(path, data, true)
}

// savePrivate writes beside the target, syncs, and links or renames into place.
func savePrivate(path string, data []byte, replace bool) (err error) {
	defer func() {
		if err != nil {
			err = &Error{Op: "save key", Where: path, Err: pathless(err), kind: lasting, hint: saveHint(err)}
		}
	}()
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if replace {
		err = os.Rename(tmp.Name(), path)
	} else {
		err = os.Link(tmp.Name(), path) // unlike a rename it fails when the target exists
	}
	if err != nil {
		var le *os.LinkError
		if errors.As(err, &le) {
			err = le.Err
		}
		return err
	}
	return syncDir(dir)
}

func saveHint(err error) string {
	if errors.Is(err, fs.ErrExist) {
		return "A key is there already and is not overwritten: choose another path, or move the old key away if nothing uses it."
	}
	return "Check that the folder exists and that this user may write to it."
}

// syncDir makes a new name in the folder durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
