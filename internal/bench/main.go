// Command bench measures the real flue binary beside its peers in one run:
// landing beside curl, and converting beside DuckDB's read_json to Parquet
// (zstd) over the same files. Runs are interleaved and medians printed; every
// figure comes from a process of its own (wall time, user+sys CPU seconds, peak
// resident memory). It needs python3 with the duckdb package and curl for the
// peers, and says so when one is missing.
//
//	bench -flue bin/flue [-data DIR] [-runs 5] [-cpus 1,2] [-types Observation,…]
//
// Without -data it asks flue for a sandbox population in which every benched
// type has at least 50 MB.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// options are what the command line asks for.
type options struct {
	flue  string
	data  string
	cache string
	runs  int
	cpus  []int
	types []string
	parts []string

	// Of the process that lands for a measurement.
	child, dir string
	gzip       bool
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	o, err := parse(os.Args[1:])
	if err != nil {
		log.Fatal(err)
	}
	if o.child != "" {
		err = child(o.child, o.dir, o.gzip)
	} else {
		err = run(o)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func parse(args []string) (options, error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	var o options
	var cpus, types, parts string
	fs.StringVar(&o.flue, "flue", "bin/flue", "the flue binary")
	fs.StringVar(&o.data, "data", "", "folder of NDJSON files, .gz too; empty: a sandbox population")
	fs.StringVar(&o.cache, "cache", "", "where generated and unpacked input is kept; empty: the user's cache folder")
	fs.IntVar(&o.runs, "runs", 5, "runs of each measurement, interleaved")
	fs.StringVar(&cpus, "cpus", "1,2", "numbers of cores to convert with")
	fs.StringVar(&types, "types", "Observation,ExplanationOfBenefit,Encounter,Claim,Patient", "resource types to convert, where there is data")
	fs.StringVar(&parts, "parts", "land,convert", "what to measure")
	fs.StringVar(&o.child, "child", "", "land from this server and end (used by bench itself)")
	fs.StringVar(&o.dir, "dir", "", "where -child lands")
	fs.BoolVar(&o.gzip, "gzip", false, "-child asks for gzip")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	for _, c := range strings.Split(cpus, ",") {
		n, err := strconv.Atoi(c)
		if err != nil || n < 1 {
			return o, fmt.Errorf("-cpus: %q is not a number of cores", c)
		}
		o.cpus = append(o.cpus, n)
	}
	o.types = strings.Split(types, ",")
	o.parts = strings.Split(parts, ",")
	if o.cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return o, fmt.Errorf("find the cache folder: %w", err)
		}
		o.cache = filepath.Join(dir, "flue", "bench")
	}
	return o, nil
}

func run(o options) error {
	flue, err := filepath.Abs(o.flue)
	if err != nil {
		return err
	}
	if _, err := os.Stat(flue); err != nil {
		return fmt.Errorf("no flue binary: %w (make build)", err)
	}
	o.flue = flue
	data, err := prepare(o)
	if err != nil {
		return err
	}
	if slices.Contains(o.parts, "land") {
		if err := land(o, data); err != nil {
			return fmt.Errorf("land: %w", err)
		}
	}
	if slices.Contains(o.parts, "convert") {
		if err := convert(o, data); err != nil {
			return fmt.Errorf("convert: %w", err)
		}
	}
	return nil
}
