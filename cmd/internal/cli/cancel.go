package cli

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/pipeline/ledger"
)

func (a *app) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "cancel RUN",
		Short:   "End a run for good and delete its export at the server",
		Long:    "End a run for good: one that runs now, in whatever process, or one that could be resumed.\nIts export is deleted at the server. RUN is its id, or the beginning of it.",
		GroupID: "jobs",
		Args:    exactly("RUN"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRun(c.Context(), args[0], a.cancelRun)
		},
		ValidArgsFunction: a.completeRuns(func(s ledger.State) bool { return !s.Terminal() }),
	}
}

// cancelRun ends a run, and its export at the server.
func (a *app) cancelRun(ctx context.Context, f *config.File, l *ledger.Ledger, run ledger.Run) error {
	job, ok := f.Jobs[run.Job]
	if !ok {
		return &usageError{message: fmt.Sprintf("run %s is of job %q, which is not in %s", run.ID, run.Job, a.configPath()), hint: "name the configuration that the run was started with; where its job is gone for good, a later run of any job gives it up"}
	}
	if run.State.Terminal() {
		return &usageError{message: fmt.Sprintf("run %s has ended: %s", run.ID, run.State)}
	}
	p, err := a.prepare(f, job, l, slog.New(a.logHandler(a.sys.Stderr)))
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.runner.Cancel(ctx, run.ID); err != nil {
		return fmt.Errorf("cancel run: %w", err)
	}
	fmt.Fprintf(a.sys.Stderr, "run %s is cancelled\n", run.ID)
	return nil
}
