package cli

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
)

func (a *app) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "cancel RUN",
		Short:   "End a run for good and delete its export at the server",
		Long:    "End a run for good: one that runs now, in whatever process, or one that could be resumed.\nIts export is deleted at the server. RUN is its id, or the beginning of it.",
		GroupID: "jobs",
		Args:    exactly("RUN"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			f, err := a.load()
			if err != nil {
				return err
			}
			l, err := a.openLedger(c.Context(), f)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, l.Close()) }()
			run, err := findRun(c.Context(), l, args[0])
			if err != nil {
				return err
			}
			job, ok := f.Jobs[run.Job]
			if !ok {
				return &usageError{message: fmt.Sprintf("run %s is of job %q, which is not in %s", run.ID, run.Job, a.configPath()), hint: "name the configuration that the run was started with"}
			}
			if run.State.Terminal() {
				return &usageError{message: fmt.Sprintf("run %s has ended: %s", run.ID, run.State)}
			}
			p, err := a.prepare(f, job, l, slog.New(a.logHandler(a.sys.Stderr)))
			if err != nil {
				return err
			}
			defer p.close()
			if err := p.runner.Cancel(c.Context(), run.ID); err != nil {
				return fmt.Errorf("cancel run: %w", err)
			}
			fmt.Fprintf(a.sys.Stderr, "run %s is cancelled\n", run.ID)
			return nil
		},
	}
}
