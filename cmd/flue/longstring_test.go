package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestI8LongStrings converts resources with strings of 50 MB (Binary.data and a
// narrative full of escapes), rebuilds them exactly, and keeps the memory within
// what docs/parquet.md says. Where lines may not be so long, it says so.
func TestI8LongStrings(t *testing.T) {
	if testing.Short() {
		t.Skip("converts 200 MB")
	}
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeLongStrings(t, filepath.Join(dir, "long.ndjson"))
	run := func(want int, args ...string) (stdout, stderr string, peak int64) {
		t.Helper()
		cmd := exec.Command(bin, args...)
		cmd.Dir = dir
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Fatalf("flue %s: %v, want exit code %d\n%s", strings.Join(args, " "), err, want, errs.String())
		}
		return out.String(), errs.String(), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	}
	for _, sort := range []string{"delivery", "patient"} {
		_, _, peak := run(0, "convert", "-q", "--sink", "parquet", "--sink", "ndjson", "--ndjson-compression", "none", "--sort", sort, "long.ndjson")
		if runtime.GOOS == "linux" { // elsewhere Maxrss has another unit
			t.Logf("sort %s: peak memory %d MB", sort, peak/1024)
			// Ten times the longest line for each of two processors.
			if most := int64(max(2, runtime.NumCPU())) * 500 * 1024; peak > most {
				t.Errorf("sort %s: peak memory %d MB, want at most %d", sort, peak/1024, most/1024)
			}
		}
		if out, _, _ := run(0, "verify", "--rebuild", "out/convert/latest"); !strings.Contains(out, "4 resources of 2 types rebuilt from Parquet are those of the NDJSON") {
			t.Errorf("sort %s: rebuilt %s", sort, out)
		}
	}
	if _, errs, _ := run(5, "convert", "--log", "text", "--max-line", "40MiB", "--job", "short", "long.ndjson"); !strings.Contains(errs, "line longer than max_line") || !strings.Contains(errs, "hint: raise --max-line to publish longer ones") {
		t.Errorf("a line longer than max_line: %s", errs)
	}
}

// writeLongStrings writes four resources of two types with a string of 50 MB
// each.
func writeLongStrings(t *testing.T, path string) {
	t.Helper()
	const size = 50_000_000
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	write := func(texts ...string) {
		for _, text := range texts {
			if _, err := io.WriteString(f, text); err != nil {
				t.Fatal(err)
			}
		}
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	piece := make([]byte, 1_000_000)
	for i := range 2 {
		write(fmt.Sprintf(`{"resourceType":"Binary","id":"b%d","contentType":"application/pdf","data":"`, i))
		for range size / len(piece) {
			for k := 0; k < len(piece); k += 10 {
				for x, j := rng.Uint64(), k; j < k+10; x, j = x>>6, j+1 {
					piece[j] = alphabet[x%64]
				}
			}
			write(string(piece))
		}
		write("\"}\n")
		escaped := strings.Repeat(fmt.Sprintf(`<p class=\"a\">é \u00e9 \ud83d\ude00 \\ \n %d \u0000 \/</p>`, rng.Int()), 10_000)
		write(fmt.Sprintf(`{"resourceType":"Patient","id":"p%d","text":{"status":"generated","div":"`, i))
		for n := 0; n < size; n += len(escaped) {
			write(escaped)
		}
		write("\"},\"birthDate\":\"1970\"}\n")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
