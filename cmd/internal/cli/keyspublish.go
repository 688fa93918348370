package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/flue-fhir/flue/internal/durable"
	"github.com/flue-fhir/flue/smart"
)

// publish writes the public files beside the key file that are flue's: those of
// a generated key, and a jwks.json or public_key.pem that holds no other key than
// the file's. It returns the paths written. before are the keys that the file had.
func (r rotation) publish(before, published smart.Keys, newest *smart.Key) (written []string, err error) {
	known := append(slices.Clone(before), published...)
	folder := filepath.Dir(r.path)
	path := filepath.Join(folder, publicFile)
	data, err := os.ReadFile(path)
	ours := err == nil && slices.ContainsFunc(known, func(k *smart.Key) bool {
		public, err := k.PublicPEM()
		return err == nil && bytes.Equal(bytes.TrimSpace(public), bytes.TrimSpace(data))
	})
	if ours || r.generated {
		public, err := newest.PublicPEM()
		if err != nil {
			return nil, err
		}
		if err := (durable.FS{}).WriteFile(path, public, 0o644); err != nil {
			return nil, publicError(err)
		}
		written = append(written, path)
	}
	path = filepath.Join(folder, jwksFile)
	if r.generated || oursSet(path, known) {
		if err := writeSet(path, published); err != nil {
			return nil, publicError(err)
		}
		written = append(written, path)
	}
	return written, nil
}

// oursSet reports whether the file is a key set with none but these keys.
func oursSet(path string, known smart.Keys) bool {
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	set, err := smart.ParseJWKS(data)
	if err != nil || len(set.Keys) == 0 {
		return false
	}
	prints := map[string]bool{}
	for _, k := range known {
		prints[k.PublicJWK().Thumbprint()] = true
	}
	return !slices.ContainsFunc(set.Keys, func(k smart.JWK) bool { return !prints[k.Thumbprint()] })
}

// publicError is a rotation whose public files could not be written.
func publicError(err error) error {
	return &hintedError{message: "the private keys are rotated, their public files are not", err: err, hint: "'flue jwks print' prints the set to register"}
}

// isPEM reports whether the key file is not JSON.
func isPEM(path string) (bool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return false, fmt.Errorf("read key: %w", err)
	}
	return !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")), nil
}
