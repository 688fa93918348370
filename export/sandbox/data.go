package sandbox

import (
	"context"
	"errors"
	"log/slog"

	"github.com/flue-fhir/flue/export/sandbox/population"
	"github.com/flue-fhir/flue/export/sandbox/store"
)

// Source says which resources a sandbox serves: those of a folder, or a
// synthetic population.
type Source struct {
	// Dir holds .ndjson and .ndjson.gz files. When it is empty there are Patients
	// synthetic patients, chosen by Seed.
	Dir      string
	Patients int
	Seed     uint64
	// Cache keeps populations, indexes and compressed files from one start to the
	// next; required.
	Cache string
	// Log is told of lines that cannot be served; nil discards.
	Log *slog.Logger
}

// Open makes or finds the resources and their index. The first time it takes a
// second or two per 100 MB.
func (src Source) Open(ctx context.Context) (*store.Store, error) {
	if src.Cache == "" {
		return nil, errors.New("open sandbox data: no cache folder is given")
	}
	dir := src.Dir
	if dir == "" {
		var err error
		if dir, err = (population.Population{Patients: src.Patients, Seed: src.Seed}).Dir(ctx, src.Cache); err != nil {
			return nil, err
		}
	}
	return store.Open(ctx, store.Options{Dir: dir, Cache: src.Cache, Log: src.Log})
}
