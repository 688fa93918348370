package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/smart"
)

// keyPlace is where the private keys of a server lie.
type keyPlace struct {
	path      string // the file; "" when they are not in one
	text      string // for people: the path, or what there is instead
	generated bool   // flue made the file
}

func (k keyring) place() keyPlace {
	ref := k.server.Auth.Key
	path, isFile := strings.CutPrefix(ref, "file:")
	name, isEnv := strings.CutPrefix(ref, "env:")
	switch {
	case ref == "":
		path = filepath.Join(k.folder, privateFile)
		return keyPlace{path: path, text: path, generated: true}
	case isFile:
		return keyPlace{path: path, text: path}
	case isEnv:
		return keyPlace{text: "environment variable " + name}
	}
	return keyPlace{text: "the configuration"}
}

// text is key data from outside of a file.
func (k keyring) text() ([]byte, error) {
	return k.app.resolveSecret("server "+k.server.Name+": auth.key", k.server.Auth.Key)
}

// public returns the keys that there are at each call, for what is published of
// them: the kid of the configuration does not choose among them, but names the key of
// a PEM file. They are those of the configured algorithm where they can sign with it.
func (k keyring) public() (func() (smart.Keys, error), error) {
	read, err := k.reader()
	if err != nil {
		return nil, err
	}
	return func() (smart.Keys, error) {
		keys, err := read()
		return keys.For(k.server.Auth.Algorithm), err
	}, nil
}

// reader is public for the keys as they are kept.
func (k keyring) reader() (func() (smart.Keys, error), error) {
	if k.server.Auth.Type != config.SMART {
		return nil, &usageError{message: "server " + k.server.Name + " has no keys: its auth is of type " + string(k.server.Auth.Type)}
	}
	place, kid := k.place(), k.server.Auth.KeyID
	if place.path != "" {
		if _, err := os.Stat(place.path); place.generated && errors.Is(err, fs.ErrNotExist) {
			return nil, &noKeyError{server: k.server.Name}
		}
		return fileKeys(place.path, kid), nil
	}
	text, err := k.text()
	if err != nil {
		return nil, err
	}
	keys, err := smart.ParseKeys(text)
	if err == nil && kid != "" && keys.Find(kid) == nil {
		var key *smart.Key
		key, err = smart.ParseKey(text, kid)
		keys = smart.Keys{key}
	}
	return func() (smart.Keys, error) { return keys, nil }, err
}

// keys are the private keys that there are now.
func (k keyring) keys() (smart.Keys, error) {
	read, err := k.public()
	if err != nil {
		return nil, err
	}
	return read()
}

// fileKeys reads the keys of a file, again when it has changed. A kid is that of
// the one key in a PEM file.
func fileKeys(path, kid string) func() (smart.Keys, error) {
	all, one := &smart.KeyFile{Path: path}, &smart.KeyFile{Path: path, KID: kid}
	return func() (smart.Keys, error) {
		keys, err := all.Keys()
		if err != nil || kid == "" || keys.Find(kid) != nil {
			return keys, err
		}
		return one.Keys()
	}
}

// noKeyError is a server without a key in the configuration for which none was
// made yet.
type noKeyError struct{ server string }

func (e *noKeyError) Error() string { return "server " + e.server + " has no key yet" }
func (e *noKeyError) Class() string { return "usage" }
func (e *noKeyError) Hint() string {
	return "'flue check JOB' or 'flue token " + e.server + "' makes one, or make it with 'flue keys generate' and set auth.key"
}

// The states of a key.
const (
	keySigns   = "signing"
	keyWaits   = "waiting"  // a successor whose time comes
	keySpare   = "spare"    // published, and another key of its algorithm signs
	keyRetires = "replaced" // the same, until its last assertion has ended
	keyRetired = "retired"  // neither published nor used
)

// stateOfKey says what a key of the set does at an instant, and until or, of
// one that waits, from when.
func stateOfKey(keys smart.Keys, k *smart.Key, now time.Time) (state string, at time.Time) {
	switch {
	case !k.NotAfter().IsZero() && !now.Before(k.NotAfter()):
		return keyRetired, k.NotAfter()
	case now.Before(k.NotBefore()):
		return keyWaits, k.NotBefore()
	}
	if signing := signingKey(keys, k.Algorithm(), now); signing != nil && signing.ID() == k.ID() {
		for _, s := range keys {
			if s.Algorithm() == k.Algorithm() && now.Before(s.NotBefore()) && (at.IsZero() || s.NotBefore().Before(at)) {
				at = s.NotBefore()
			}
		}
		return keySigns, at
	}
	if k.NotAfter().IsZero() {
		return keySpare, time.Time{}
	}
	return keyRetires, k.NotAfter()
}

// signingKey is the key of the set that signs with an algorithm now, or nil.
func signingKey(keys smart.Keys, alg string, now time.Time) *smart.Key {
	for _, k := range keys {
		// A key of another algorithm may be able to sign with this one; it is not meant.
		if k.Algorithm() != alg || now.Before(k.NotBefore()) || !k.NotAfter().IsZero() && !now.Before(k.NotAfter()) {
			continue
		}
		newer := false
		for _, other := range keys {
			newer = newer || other.Algorithm() == alg && other.NotBefore().After(k.NotBefore()) && !now.Before(other.NotBefore()) && (other.NotAfter().IsZero() || now.Before(other.NotAfter()))
		}
		if !newer {
			return k
		}
	}
	return nil
}
