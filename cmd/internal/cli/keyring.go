package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/internal/durable"
	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/smart"
)

// The files of a generated key.
const (
	privateFile = "private_key.pem"
	publicFile  = "public_key.pem"
	jwksFile    = "jwks.json"
)

// keyFolder is where the key of a server lies that flue made itself.
func keyFolder(stateDir, server string) string {
	return filepath.Join(stateDir, "keys", server)
}

// keyring finds the key that signs the assertions for one server.
type keyring struct {
	app    *app
	server config.Server
	folder string
}

// source is the configured key, or the generated one. Where there is neither, a
// pair is made for the first algorithm that the server advertises (P5), and
// the error says what to register.
func (k keyring) source(ctx context.Context, discovery *smart.Discovery) (smart.KeySource, error) {
	auth := k.server.Auth
	place := k.place()
	switch {
	case place.path == "":
		text, err := k.text()
		if err != nil {
			return nil, err
		}
		if auth.KeyID != "" {
			return smart.ParseKey(text, auth.KeyID)
		}
		return smart.ParseKeys(text)
	case !place.generated:
		return loadedFile(place.path, auth.KeyID)
	}
	if _, err := os.Stat(place.path); !errors.Is(err, fs.ErrNotExist) {
		return k.generated(place.path)
	}
	alg := auth.Algorithm
	if alg == "" || alg == "auto" {
		conf, err := discovery.Get(ctx, k.server.URL)
		if err != nil {
			return nil, err
		}
		if alg, err = firstSupported(conf.SigningAlgorithms); err != nil {
			return nil, err
		}
	}
	key, err := makeKey(k.folder, alg, auth.KeyID)
	if errors.Is(err, fs.ErrExist) { // another process was faster
		return loadedFile(place.path, auth.KeyID)
	}
	if err != nil {
		return nil, err
	}
	return nil, &unregisteredError{server: k.server, key: key, folder: k.folder, made: true}
}

// generated is the key that an earlier run made. Its public files are written again
// where they are gone: what is to be registered must be there.
func (k keyring) generated(path string) (smart.KeySource, error) {
	source, err := loadedFile(path, k.server.Auth.KeyID)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(k.folder, jwksFile)); errors.Is(err, fs.ErrNotExist) {
		keys, err := k.keys()
		if err != nil {
			return nil, err
		}
		published := keys.Published(k.app.sys.Now())
		return source, writePublic(k.folder, keys[len(keys)-1], published)
	}
	return source, nil
}

// loadedFile is a key file that is read again when it changes (F12), after it
// proved readable now.
func loadedFile(path, kid string) (smart.KeySource, error) {
	file := &smart.KeyFile{Path: path, KID: kid}
	if _, err := file.Keys(); err != nil {
		return nil, err
	}
	return file, nil
}

// firstSupported is the first advertised algorithm that keys are made for;
// RS384 when the server names none (P5).
func firstSupported(advertised []string) (string, error) {
	if len(advertised) == 0 {
		return smart.RS384, nil
	}
	for _, alg := range advertised {
		if alg == smart.RS384 || alg == smart.ES384 {
			return alg, nil
		}
	}
	return "", &usageError{
		message: "the server advertises neither RS384 nor ES384: no key was made",
		hint:    "its algorithms are: " + strings.Join(known(advertised), ", ") + "; name one as auth.algorithm, or RS384 if the server takes it all the same",
	}
}

// known are the algorithms among those that flue can sign with.
func known(advertised []string) []string {
	return slices.DeleteFunc(slices.Clone(advertised), func(alg string) bool { return alg == "auto" || !slices.Contains(algorithms(), alg) })
}

// makeKey generates a key and writes it with its public halves into the folder.
// None of the three files is ever overwritten: a set that is there may be registered. Where
// the private key is there the error is fs.ErrExist.
func makeKey(folder, alg, kid string) (*smart.Key, error) {
	if err := nothingThere(folder); err != nil {
		return nil, err
	}
	key, err := smart.GenerateKeyPair(alg, kid)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make key folder: %w", err)
	}
	if err := smart.SaveKey(filepath.Join(folder, privateFile), key); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, &usageError{message: "make key", err: err, hint: "move the old key away first, or choose another folder"}
		}
		return nil, err
	}
	return key, writePublic(folder, key, smart.Keys{key})
}

// nothingThere refuses a folder that holds one of the files of a key. The private one is
// looked for last: another process that makes a key writes it first.
func nothingThere(folder string) error {
	var found error
	for _, name := range []string{publicFile, jwksFile, privateFile} {
		path := filepath.Join(folder, name)
		_, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("look for keys: %w", err)
		case name == privateFile:
			found = &usageError{message: "make key: " + path, err: fs.ErrExist, hint: "move the old key away first, or choose another folder"}
		default:
			found = &usageError{
				message: path + " is there already and is not overwritten",
				hint:    "a server may know that key: move it away if none does, or choose another folder",
			}
		}
	}
	return found
}

// writePublic writes what is registered: the whole set, and one key of it as PEM for
// servers that take no sets.
func writePublic(folder string, key *smart.Key, set smart.Keys) error {
	public, err := key.PublicPEM()
	if err != nil {
		return err
	}
	if err := (durable.FS{}).WriteFile(filepath.Join(folder, publicFile), public, 0o644); err != nil {
		return fmt.Errorf("write public key: %w", err)
	}
	return writeSet(filepath.Join(folder, jwksFile), set)
}

// writeSet writes the public halves of keys as a JWK Set.
func writeSet(path string, keys smart.Keys) error {
	set, err := json.MarshalIndent(keys.JWKS(), "", "  ")
	if err != nil {
		return fmt.Errorf("encode key set: %w", err)
	}
	if err := (durable.FS{}).WriteFile(path, append(set, '\n'), 0o644); err != nil {
		return fmt.Errorf("write key set: %w", err)
	}
	return nil
}

// explain adds to a refusal of the token request where the public key is that
// must be registered, when flue made the key itself.
func (k keyring) explain(err error) error {
	var refused *smart.Error
	if k.server.Auth.Key != "" || k.server.Auth.Type != config.SMART || !errors.As(err, &refused) || refused.Class() != "auth" {
		return err
	}
	switch refused.Code {
	case "invalid_client", "unauthorized_client", "invalid_grant":
		return &unregisteredError{server: k.server, folder: k.folder, err: err}
	}
	return err
}

// unregisteredError says that the server does not know the generated key yet, as
// far as one can tell.
type unregisteredError struct {
	server config.Server
	folder string
	key    *smart.Key // nil when it existed before
	made   bool
	err    error // the server's refusal
}

func (e *unregisteredError) Error() string {
	if e.made {
		return fmt.Sprintf("server %s has no key configured: made a pair that is not registered yet", e.server.Name)
	}
	return e.err.Error()
}

func (e *unregisteredError) Unwrap() error { return e.err }
func (e *unregisteredError) Class() string { return "auth" }

func (e *unregisteredError) Hint() string {
	lines := []string{
		"register the public key with the server, then run again:",
		"  FHIR server  " + e.server.URL,
		"  client id    " + e.server.Auth.ClientID,
		"  public keys  " + filepath.Join(e.folder, jwksFile) + " (or " + publicFile + " beside it)",
	}
	if e.key != nil {
		lines = append(lines, "  algorithm    "+e.key.Algorithm(), "  kid          "+e.key.ID())
	}
	return strings.Join(lines, "\n")
}
