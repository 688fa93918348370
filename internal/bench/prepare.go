package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/flue-fhir/flue/export/sandbox/population"
)

// patients is how many synthetic patients give every benched type at least 50
// MB.
const patients = 17_000

// prepare returns a folder of plain NDJSON files: those of -data, unpacked where
// they are compressed, or a sandbox population.
func prepare(o options) (string, error) {
	if o.data == "" {
		dir, err := population.Population{Patients: patients, Seed: 1}.Dir(context.Background(), o.cache)
		if err != nil {
			return "", fmt.Errorf("make a population: %w", err)
		}
		return dir, nil
	}
	packed, err := filepath.Glob(filepath.Join(o.data, "*.ndjson.gz"))
	if err != nil || len(packed) == 0 {
		return o.data, err
	}
	dir := filepath.Join(o.cache, "unpacked")
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return "", err
	}
	for _, p := range packed {
		if err := unpack(p, filepath.Join(dir, strings.TrimSuffix(filepath.Base(p), ".gz"))); err != nil {
			return "", fmt.Errorf("unpack %s: %w", filepath.Base(p), err)
		}
	}
	return dir, nil
}

func unpack(src, dst string) (err error) {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	out, err := os.Create(dst)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, z)
	return err
}
