package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/pipeline/ledger"
)

// withRun finds the run whose id begins with the prefix and hands it on, with the
// ledger open meanwhile.
func (a *app) withRun(ctx context.Context, prefix string, do func(context.Context, *config.File, *ledger.Ledger, ledger.Run) error) (err error) {
	f, err := a.load()
	if err != nil {
		return err
	}
	l, err := a.openLedger(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	run, err := findRun(ctx, l, prefix)
	if err != nil {
		return err
	}
	return do(ctx, f, l, run)
}

// findRun finds the run whose id begins with the prefix.
func findRun(ctx context.Context, l *ledger.Ledger, prefix string) (ledger.Run, error) {
	run, err := l.Find(ctx, prefix)
	if errors.Is(err, ledger.ErrNotFound) {
		return run, &usageError{message: fmt.Sprintf("no single run %q", prefix), hint: "see 'flue runs -n 0' for the ids"}
	}
	if err != nil {
		return run, fmt.Errorf("find run: %w", err)
	}
	return run, nil
}

// completeRuns offers the newest runs in such a state to the shell. It makes no
// ledger where there is none.
func (a *app) completeRuns(fits func(ledger.State) bool) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) (ids []string, _ cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		if len(args) > 0 {
			return nil, none
		}
		f, err := a.load()
		if err != nil {
			return nil, none
		}
		if _, err := os.Stat(filepath.Join(f.StateDir, "ledger.db")); err != nil {
			return nil, none
		}
		l, err := a.openLedger(c.Context(), f)
		if err != nil {
			return nil, none
		}
		defer func() { _ = l.Close() }()
		runs, err := l.Runs(c.Context(), "", 50)
		if err != nil {
			return nil, none
		}
		for _, r := range runs {
			if fits(r.State) {
				ids = append(ids, cobra.CompletionWithDesc(r.ID, r.Job+", "+string(r.State)))
			}
		}
		return ids, none | cobra.ShellCompDirectiveKeepOrder
	}
}
