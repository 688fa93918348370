package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// prepare makes the client's key.
func prepare(ctx context.Context, o options) error {
	dir := filepath.Join(o.dir, "keys")
	if _, err := os.Stat(filepath.Join(dir, "jwks.json")); err == nil {
		return nil
	}
	out, err := exec.CommandContext(ctx, o.flue, "keys", "generate", "--dir", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make a key: %w: %s", err, out)
	}
	return nil
}

// faultCampaign plays the seeds and prints the table.
func faultCampaign(ctx context.Context, o options) error {
	if err := prepare(ctx, o); err != nil {
		return err
	}
	first, last := uint64(1), uint64(o.seeds)
	if o.seed > 0 {
		first, last = o.seed, o.seed
	}
	begun := time.Now()
	var mu sync.Mutex
	var results []*result
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(o.parallel)
	for seed := first; seed <= last && gctx.Err() == nil; seed++ {
		g.Go(func() error {
			r, err := runSeed(gctx, o, draw(seed))
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			results = append(results, r)
			if o.verbose || !r.ok() {
				r.tell(func(format string, args ...any) { fmt.Printf(format+"\n", args...) })
			}
			return r.keep(o)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return report(os.Stdout, o, results, time.Since(begun))
}

// keep removes the folder of a seed that passed; one that failed keeps it with
// the logs, and says how to play it again.
func (r *result) keep(o options) error {
	if r.ok() && !o.keep {
		return os.RemoveAll(r.dir)
	}
	var err error
	for i, t := range r.tries {
		err = errors.Join(err, os.WriteFile(filepath.Join(r.dir, fmt.Sprintf("try-%d.log", i+1)), t.log, 0o600))
	}
	if !r.ok() {
		fmt.Printf("  play it again: chaos -flue %s -seed %d -v    (its folder: %s)\n", o.flue, r.scenario.Seed, r.dir)
	}
	return err
}
