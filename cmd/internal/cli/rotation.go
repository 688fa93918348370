package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/smart"
)

// rotation is a key file and the servers that it is for.
type rotation struct {
	path      string
	servers   []config.Server // none with --key
	kid       string          // with --key: of the key in a PEM file
	generated bool            // flue made the file: the public files beside it are flue's as well
}

// names are those of the servers, "" when the file alone is known.
func (r rotation) names() string {
	var names []string
	for _, s := range r.servers {
		names = append(names, s.Name)
	}
	return strings.Join(names, " ")
}

// rotation finds the file of the servers that are named and refuses what cannot be
// rotated safely.
func (a *app) rotation(names []string, o rotateOptions) (rotation, error) {
	switch {
	case o.file != "" && len(names) > 0:
		return rotation{}, &usageError{message: "--key names a file, and " + names[0] + " a server", hint: "give one of them"}
	case o.file == "" && o.oldKID != "":
		return rotation{}, &usageError{message: "--old-kid belongs to --key", hint: "a server's kid is in the configuration"}
	}
	f, err := a.load()
	if o.file != "" {
		r := rotation{path: o.file, kid: o.oldKID}
		if err == nil {
			if err := a.unclaimed(f, r); err != nil {
				return rotation{}, err
			}
		}
		return r, r.writable()
	}
	if err != nil {
		return rotation{}, a.orKeyFile(err)
	}
	if len(names) == 0 {
		names = []string{""}
	}
	var r rotation
	for _, name := range unique(names) {
		s, err := a.serverNamed(f, name)
		if err != nil {
			return rotation{}, err
		}
		if s.Auth.Type != config.SMART {
			return rotation{}, &usageError{message: fmt.Sprintf("server %s has no key: its auth is of type %s", s.Name, s.Auth.Type)}
		}
		place := a.ring(f, s).place()
		switch {
		case place.path == "":
			return rotation{}, &usageError{
				message: fmt.Sprintf("the key of server %s comes from %s, which flue does not write", s.Name, place.text),
				hint:    "make the successor with 'flue keys generate', register both public keys, wait until the server knows them, and replace the value",
			}
		case r.path != "" && !sameFile(r.path, place.path):
			return rotation{}, &usageError{message: fmt.Sprintf("servers %s and %s have keys of their own", r.names(), s.Name), hint: "rotate one after the other"}
		}
		r.path, r.generated = place.path, place.generated
		r.servers = append(r.servers, s)
	}
	if r.generated {
		if _, err := os.Stat(r.path); errors.Is(err, fs.ErrNotExist) {
			return rotation{}, &noKeyError{server: r.names()}
		}
	}
	if err := r.writable(); err != nil {
		return rotation{}, err
	}
	return r, a.alone(f, r)
}

// unclaimed refuses to rotate a file by its path that is the key of a server: its name
// says which kid the server knows, and who has to know the successor.
func (a *app) unclaimed(f *config.File, r rotation) error {
	for _, name := range serverNames(f) {
		if s := f.Servers[name]; s.Auth.Type == config.SMART {
			if place := a.ring(f, s).place(); place.path != "" && sameFile(place.path, r.path) {
				return &usageError{message: "the file is the key of server " + name, hint: "rotate it by its name: 'flue keys rotate " + name + "'"}
			}
		}
	}
	return nil
}

// alone refuses to rotate the key of registrations that were not named: another
// server, or another client id.
func (a *app) alone(f *config.File, r rotation) error {
	var others []string
	for _, name := range serverNames(f) {
		s := f.Servers[name]
		registered := slices.ContainsFunc(r.servers, func(one config.Server) bool {
			return one.Name == name || one.URL == s.URL && one.Auth.ClientID == s.Auth.ClientID
		})
		if s.Auth.Type != config.SMART || registered {
			continue
		}
		if place := a.ring(f, s).place(); place.path != "" && sameFile(place.path, r.path) {
			others = append(others, name)
		}
	}
	if others == nil {
		return nil
	}
	return &usageError{
		message: "the key is that of " + strings.Join(others, ", ") + " as well",
		hint:    "each server must know the successor: 'flue keys rotate " + r.names() + " " + strings.Join(others, " ") + "', and register it with all",
	}
}

func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	one, err1 := os.Stat(a)
	other, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(one, other)
}

// writable refuses files that cannot be replaced in place: then somebody else
// looks after the key.
func (r rotation) writable() error {
	info, err := os.Lstat(r.path)
	switch {
	case err != nil:
		return &usageError{message: "rotate key", err: err, hint: "check the path"}
	case info.Mode()&fs.ModeSymlink != 0:
		return &usageError{
			message: fmt.Sprintf("%s is a link: replacing it would leave its target as it is", r.path),
			hint:    "where a secret manager put it there, rotate the key in the manager; otherwise give the file itself by --key",
		}
	case !info.Mode().IsRegular():
		return &usageError{message: r.path + " is no regular file", hint: "name the key file"}
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return &usageError{
			message: fmt.Sprintf("%s belongs to another user, who could not read a file of this one", r.path),
			hint:    "run the rotation as that user",
		}
	}
	return nil
}

// lock keeps a second rotation in the same folder out. The lock dies with the
// process.
func (r rotation) lock() (unlock func(), err error) {
	dir, err := os.Open(filepath.Dir(r.path))
	if err == nil {
		if err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			err = errors.Join(err, dir.Close())
		}
	}
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, &hintedError{message: "another rotation is changing the keys of " + filepath.Dir(r.path), hint: "try again when it has ended"}
	case err != nil:
		return nil, fmt.Errorf("lock key folder: %w", err)
	}
	return func() { _ = dir.Close() }, nil
}

// load reads the private keys, the one of a PEM file under the kid that the
// configuration gives it.
func (r rotation) load() (smart.Keys, error) {
	keys, err := smart.LoadKeysFile(r.path)
	if err != nil {
		return nil, err
	}
	if r.kid != "" && keys.Find(r.kid) == nil {
		key, err := smart.LoadKeyFile(r.path, r.kid)
		if err != nil {
			return nil, &usageError{message: "--old-kid", err: err, hint: hintOf(err)}
		}
		keys = smart.Keys{key}
	}
	var named string
	for _, s := range r.servers {
		kid := s.Auth.KeyID
		switch {
		case kid == "" || keys.Find(kid) != nil:
			continue
		case named != "" && named != kid:
			return nil, &usageError{message: fmt.Sprintf("the servers know the one key under the kids %s and %s", named, kid), hint: "give each server a key file of its own first"}
		}
		key, err := smart.LoadKeyFile(r.path, kid)
		if err != nil {
			return nil, &usageError{message: fmt.Sprintf("server %s: auth.key_id", s.Name), err: err, hint: hintOf(err)}
		}
		named, keys = kid, smart.Keys{key}
	}
	for _, s := range r.servers {
		keys = keys.For(s.Auth.Algorithm)
	}
	return keys, nil
}

// replaced finds the key that signs now and is to have a successor.
func (r rotation) replaced(keys smart.Keys, alg string, now time.Time) (*smart.Key, error) {
	var algs []string
	for _, k := range keys.Published(now) {
		if !slices.Contains(algs, k.Algorithm()) {
			algs = append(algs, k.Algorithm())
		}
	}
	switch {
	case alg == "" && len(algs) > 1:
		return nil, &usageError{message: "the file has keys for " + strings.Join(algs, " and "), hint: "say which to replace: --alg"}
	case alg == "" && len(algs) == 1:
		alg = algs[0]
	}
	for _, k := range keys {
		if k.Algorithm() == alg && now.Before(k.NotBefore()) {
			return nil, &usageError{
				message: fmt.Sprintf("a rotation is under way: kid %s signs from %s on", k.ID(), k.NotBefore().UTC().Format(time.RFC3339)),
				hint:    "register that key too if it is not yet: 'flue jwks print' has both; --now lets it sign at once",
			}
		}
	}
	key := signingKey(keys, alg, now)
	if key == nil {
		return nil, &usageError{message: "no key of the file signs with " + alg, hint: "its keys are listed by 'flue keys list --key " + r.path + "'"}
	}
	for _, s := range r.servers {
		if kid := s.Auth.KeyID; kid != "" && kid != key.ID() {
			return nil, &usageError{
				message: fmt.Sprintf("server %s signs with the kid %s that key_id names, and kid %s would be replaced", s.Name, kid, key.ID()),
				hint:    "the file keeps the kids itself: remove key_id from the configuration first",
			}
		}
	}
	return key, nil
}
