package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	mostRefetched = 1.02
	mostMemory    = 200e6
)

// cutCampaign exports many megabytes over connections that are cut again and
// again: what came before a cut is not fetched again.
func cutCampaign(ctx context.Context, o options) error {
	files := o.files
	if files == 0 {
		files = 400
	}
	const padding = 900 // about 1,200 bytes a resource
	l := load{name: "cut", padding: padding, cut: o.cut}
	l.resources = int(o.bytes / (padding + 305))
	l.fileLines = (l.resources + files - 1) / files
	f, err := loadCampaign(ctx, o, l)
	if err != nil {
		return err
	}
	got := float64(f.fetched) / float64(f.bodies)
	fmt.Printf("%d files, %.2f GB, each connection cut after %.0f MB (%d cuts): every resource once in NDJSON and Parquet\n", f.files, float64(f.bodies)/1e9, float64(l.cut)/1e6, f.cuts)
	fmt.Printf("bytes fetched over the sum of the bodies: %.4f (written by the server: %.4f)\n", got, float64(f.sent)/float64(f.bodies))
	fmt.Printf("peak memory %.0f MB; %.0f s wall, %.0f s CPU, of which landing until %.0f s\n", float64(f.peak)/1e6, f.wall.Seconds(), f.cpu.Seconds(), f.published.Seconds())
	if f.cuts == 0 {
		return errors.New("no connection was cut")
	}
	if got > mostRefetched {
		return fmt.Errorf("%.4f times the bytes were fetched, want at most %.2f", got, mostRefetched)
	}
	if float64(f.peak) > mostMemory {
		return fmt.Errorf("peak memory is %.0f MB, want at most %.0f", float64(f.peak)/1e6, mostMemory/1e6)
	}
	return nil
}

// smallFilesCampaign exports the same resources in very many files and in few:
// the difference is what a file costs.
func smallFilesCampaign(ctx context.Context, o options) error {
	files := o.files
	if files == 0 {
		files = 50_000
	}
	few := load{name: "few-files", resources: files * o.lines, padding: 20, fileSize: 32 << 20}
	many := few
	many.name, many.fileLines, many.fileSize = "small-files", o.lines, 1<<30
	base, err := loadCampaign(ctx, o, few)
	if err != nil {
		return fmt.Errorf("few files: %w", err)
	}
	f, err := loadCampaign(ctx, o, many)
	if err != nil {
		return fmt.Errorf("small files: %w", err)
	}
	fmt.Printf("%d resources, %.0f MB, in %d files and in %d: every resource once in NDJSON and Parquet\n", few.resources, float64(f.bodies)/1e6, base.files, f.files)
	for _, row := range []struct {
		name string
		f    figures
	}{{"few files", base}, {"small files", f}} {
		fmt.Printf("%-12s %6.1f s wall, %6.1f s CPU, %4.0f MB peak, %d Parquet files, ledger %.1f MB, manifest %.0f kB\n", row.name,
			row.f.wall.Seconds(), row.f.cpu.Seconds(), float64(row.f.peak)/1e6, row.f.parquet, float64(row.f.ledger)/1e6, float64(row.f.manifest)/1e3)
	}
	per := float64(f.files-base.files) / 10_000
	fmt.Printf("overhead per 10,000 files: %.1f s wall (server and HTTP included), %.1f s CPU of flue\n", (f.wall-base.wall).Seconds()/per, (f.cpu-base.cpu).Seconds()/per)
	return nil
}

// loadCampaign makes the data of a load, once for each size, and runs it.
func loadCampaign(ctx context.Context, o options, l load) (figures, error) {
	if err := prepare(ctx, o); err != nil {
		return figures{}, err
	}
	data := filepath.Join(o.dir, "cache", fmt.Sprintf("load-%d-%d", l.resources, l.padding))
	if _, err := os.Stat(data); err != nil {
		if err := l.write(data + ".tmp"); err != nil {
			return figures{}, err
		}
		if err := os.Rename(data+".tmp", data); err != nil {
			return figures{}, err
		}
	}
	return l.run(ctx, o, data)
}
