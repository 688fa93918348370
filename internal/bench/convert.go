package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// duckdb converts one file as a user of DuckDB would, with as many threads as
// there are cores, and prints how long that took without the interpreter's
// start.
const duckdb = `
import sys, time, duckdb
start = time.monotonic()
src, dst, threads = sys.argv[1:4]
db = duckdb.connect()
db.execute("SET enable_progress_bar=false")
db.execute("SET threads=" + threads)
db.execute("SET preserve_insertion_order=true")
db.execute("COPY (SELECT * FROM read_json('%s', format='newline_delimited', maximum_object_size=268435456)) TO '%s' (FORMAT parquet, COMPRESSION zstd)" % (src, dst))
print(time.monotonic() - start)
`

// rewrite has DuckDB write the rows of flue's files again, the same columns of
// the same types, to compare their sizes.
const rewrite = `
import sys, duckdb
db = duckdb.connect()
db.execute("SET threads=" + sys.argv[3])
db.execute("COPY (SELECT * FROM '%s/**/*.parquet') TO '%s' (FORMAT parquet, COMPRESSION zstd)" % (sys.argv[1], sys.argv[2]))
`

// convert measures each type's file on each number of cores: flue convert and
// DuckDB in turn.
func convert(o options, data string) error {
	py, err := python()
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "flue-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	fmt.Printf("Convert to Parquet (zstd), whole processes but for the start of python; medians of %d runs, interleaved\n", o.runs)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "type\tcores\tMB\tflue MB/s\tduckdb MB/s\tratio\tflue CPU s\tduckdb CPU s\tflue peak MB\tduckdb peak MB\tsize ratio\tsame columns\t")
	for _, cores := range o.cpus {
		product, sizes, n := 1.0, 1.0, 0
		for _, typ := range o.types {
			src := filepath.Join(data, typ+".ndjson")
			info, err := os.Stat(src)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			var ours, theirs []figure
			var ourSize, theirSize, sameSize int64
			for i := range o.runs {
				out := filepath.Join(tmp, "flue-"+strconv.Itoa(i))
				f, err := measure(cores, nil, o.flue, "convert", "--quiet", "--sink", "parquet", "--out", out, src)
				if err != nil {
					return err
				}
				ours = append(ours, f)
				ourSize, err = treeSize(out, ".parquet")
				if err != nil {
					return err
				}
				dst := filepath.Join(tmp, "duckdb.parquet")
				d, err := measure(cores, nil, py, "-c", duckdb, src, dst, strconv.Itoa(cores))
				if err != nil {
					return err
				}
				if d.wall, err = seconds(d.stdout); err != nil {
					return fmt.Errorf("duckdb: %w", err)
				}
				theirs = append(theirs, d)
				theirSize, err = treeSize(dst, ".parquet")
				if err != nil {
					return err
				}
				if i == 0 {
					if sameSize, err = sameColumns(py, out, dst, cores); err != nil {
						return err
					}
				}
				if err := errors.Join(os.RemoveAll(out), os.Remove(dst)); err != nil {
					return err
				}
			}
			a, b := median(ours), median(theirs)
			ratio := b.wall.Seconds() / a.wall.Seconds()
			same := float64(ourSize) / float64(sameSize)
			product, sizes = product*ratio, sizes*same
			n++
			fmt.Fprintf(w, "%s\t%d\t%.0f\t%.0f\t%.0f\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t%.2f\t%.2f\t\n", typ, cores, float64(info.Size())/1e6,
				rate(info.Size(), a.wall), rate(info.Size(), b.wall), ratio, a.cpu.Seconds(), b.cpu.Seconds(),
				float64(a.peak)/1e6, float64(b.peak)/1e6, float64(ourSize)/float64(theirSize), same)
		}
		if n == 0 {
			return fmt.Errorf("%s has no file of %s", data, strings.Join(o.types, ", "))
		}
		fmt.Fprintf(w, "geometric mean\t%d\t\t\t\t%.2f\t\t\t\t\t\t%.2f\t\n", cores, math.Pow(product, 1/float64(n)), math.Pow(sizes, 1/float64(n)))
	}
	return w.Flush()
}

// sameColumns is the size that flue's rows have when DuckDB writes them.
func sameColumns(py, out, dst string, cores int) (int64, error) {
	cmd := exec.Command(py, "-c", rewrite, filepath.Join(out, "convert", "latest", "parquet"), dst, strconv.Itoa(cores))
	if text, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("duckdb: %w: %s", err, text)
	}
	return treeSize(dst, ".parquet")
}

// seconds reads a number of seconds that a program printed.
func seconds(out []byte) (time.Duration, error) {
	n, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	return time.Duration(n * float64(time.Second)), err
}

// python finds an interpreter that has duckdb.
func python() (string, error) {
	py, err := exec.LookPath("python3")
	if err != nil {
		return "", fmt.Errorf("DuckDB is run from python3: %w", err)
	}
	if err := exec.Command(py, "-c", "import duckdb").Run(); err != nil {
		return "", errors.New("python3 has no duckdb (pip install duckdb)")
	}
	return py, nil
}

// treeSize is the length of the files below path with the ending, together.
func treeSize(path, ending string) (int64, error) {
	var n int64
	err := filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(p) != ending {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		n += info.Size()
		return nil
	})
	return n, err
}
