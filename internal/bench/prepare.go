package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// patients is how many synthetic patients give every benched type at least 50
// MB.
const patients = 60_000

// prepare returns a folder of plain NDJSON files: those of -data, unpacked where
// they are compressed, or a sandbox population.
func prepare(o options) (string, error) {
	if o.data == "" {
		dir := filepath.Join(o.cache, "population")
		cmd := exec.Command(o.flue, "sandbox", "--patients", fmt.Sprint(patients), "--cache", dir, "--generate-only")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("make a population: %w", err)
		}
		return strings.TrimSpace(string(out)), nil
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
