// Package population makes the synthetic patients of the sandbox: a set of FHIR
// R4 resources that depends on nothing but its size and its seed, in as many
// shapes as a client must be able to carry. Ask a Population for its Dir.
//
// Most of a resource is a golang-fhir-models structure. What those cannot hold
// (primitive extensions, nulls in repeated primitives, contained resources) is
// added beside them. Every literal reference resolves within the population,
// and nothing in it describes a real person.
package population

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Version changes whenever the same size and seed would give other bytes. It
// is part of the cache key.
const Version = 1

// ManifestName is the file that describes a population in its folder.
const ManifestName = "population.json"

// Population names a set of resources.
type Population struct {
	// Patients is how many there are; at least 1.
	Patients int
	// Seed chooses among the populations of a size.
	Seed uint64
	// Workers generate at the same time; 0 means one a CPU. They do not change
	// the bytes.
	Workers int
}

// Manifest describes a population in its folder.
type Manifest struct {
	Version  int              `json:"version"`
	Patients int              `json:"patients"`
	Seed     uint64           `json:"seed"`
	Counts   map[string]int64 `json:"counts"` // resources by type
	Bytes    map[string]int64 `json:"bytes"`  // bytes of the type's file
}

// Key is the name of the population's folder within a cache.
func (p Population) Key() string {
	return fmt.Sprintf("population-v%d-%d-%d", Version, p.Patients, p.Seed)
}

// Dir returns the folder below cache that holds the population, one NDJSON
// file a type. It is written if it is not there: into a folder beside it which
// takes its name when all of it is on disk, so that a folder that has the name
// is whole, whoever else asks for it at the same time.
func (p Population) Dir(ctx context.Context, cache string) (string, error) {
	if p.Patients < 1 {
		return "", errors.New("generate population: it needs at least one patient")
	}
	if p.Workers <= 0 {
		p.Workers = runtime.GOMAXPROCS(0)
	}
	dir := filepath.Join(cache, p.Key())
	if _, err := os.Stat(filepath.Join(dir, ManifestName)); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", fmt.Errorf("create cache folder: %w", err)
	}
	tmp, err := os.MkdirTemp(cache, ".tmp-"+p.Key()+"-")
	if err != nil {
		return "", fmt.Errorf("create temporary folder: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := p.write(ctx, tmp); err != nil {
		return "", fmt.Errorf("generate population: %w", err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		// Another process may have been first: its folder holds the same bytes.
		if _, there := os.Stat(filepath.Join(dir, ManifestName)); there == nil {
			return dir, nil
		}
		return "", fmt.Errorf("publish population: %w", err)
	}
	return dir, nil
}

// ReadManifest reads the description of the population in dir.
func ReadManifest(dir string) (*Manifest, error) {
	data, err := os.ReadFile(filepath.Join(dir, ManifestName))
	if err != nil {
		return nil, fmt.Errorf("read population manifest: %w", err)
	}
	m := new(Manifest)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("read population manifest: %w", err)
	}
	return m, nil
}
