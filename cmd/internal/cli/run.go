package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline"
	"github.com/flue-fhir/flue/pipeline/config"
)

func (a *app) runCommand() *cobra.Command {
	var options pipeline.Options
	var asJSON bool
	var export exportFlags
	c := &cobra.Command{
		Use:     "run JOB",
		Short:   "Run a job once and publish its snapshot",
		GroupID: "jobs",
		Long: `Run a job once: authenticate, export, check, publish.

A run that failed or was killed is taken up again by the next 'flue run' of the same
job where that is safe; --fresh starts anew. The first interrupt stops the run at a
point from which it can be resumed, the second one ends the program at once.

--detach ends the command as soon as the server has accepted the export, for servers
that work at one for hours or weeks. The next run of the job, with the same flags, goes on
with that export, as long as policies.detached_within allows (30 days).

Flags that change the export (--type, --group, --since …) are for one run, but its snapshot
is published like any other: latest points at it, so that readers of latest find what the flags
asked for and nothing else until the next run, which is a full one where the snapshot lacks what
the job asks for. Retention deletes nothing after such a run. For something that is needed again,
write a job of its own.

The summary goes to stdout. Progress goes to stderr: a live picture on a terminal, one
JSON object a line elsewhere.`,
		Example: `  flue run nightly
  flue run nightly --full        # do not start from the last snapshot's watermark
  flue run nightly --type Condition --type-filter 'Condition?clinical-status=active'
  flue run nightly --json | jq .manifest.types`,
		Args:              exactly("JOB"),
		ValidArgsFunction: a.completeJobs,
		PreRun:            func(*cobra.Command, []string) { a.events = true },
		RunE: func(c *cobra.Command, args []string) error {
			if err := exclusive(c, "full", "since"); err != nil {
				return err
			}
			f, job, err := a.loadJob(args[0])
			if err != nil {
				return err
			}
			if job.Export, options.AdHoc, err = export.apply(c, job.Export); err != nil {
				return err
			}
			options.Trigger = "manual"
			return a.runJob(c.Context(), f, job, options, asJSON)
		},
	}
	flags := c.Flags()
	flags.BoolVar(&options.Fresh, "fresh", false, "start anew even where a failed run could be resumed")
	flags.BoolVar(&options.Detach, "detach", false, "leave the export running at the server once it is accepted; run again to fetch it")
	flags.BoolVar(&options.Full, "full", false, "ignore the watermarks: everything, and a new chain of snapshots")
	export.add(c)
	flags.BoolVar(&asJSON, "json", false, "print the summary as JSON on stdout")
	return c
}

// parseInstant reads a date (midnight UTC) or an instant with its offset.
func parseInstant(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not an instant", s)
	}
	return t, nil
}

// runJob runs one job with progress on stderr and its summary on stdout.
func (a *app) runJob(ctx context.Context, f *config.File, job config.Job, options pipeline.Options, asJSON bool) (err error) {
	l, err := a.openLedger(ctx, f)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := l.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("close ledger: %w", cerr)
		}
	}()
	watch := a.newWatcher(job)
	a.limitHeap(job.Policies.Memory)
	p, err := a.prepare(f, job, l, slog.New(watch.handler()))
	if err != nil {
		watch.close()
		return err
	}
	defer p.close()
	p.runner.Observe = watch.observe
	summary, err := p.runner.Run(ctx, options)
	watch.close()
	if summary != nil && (asJSON || summary.Run != "") {
		if werr := a.printSummary(summary, asJSON); err == nil {
			err = werr
		}
	}
	return err
}

func (a *app) printSummary(s *pipeline.Summary, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(a.sys.Stdout)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(s)
	}
	return writeSummary(a.sys.Stdout, s)
}

// watcher shows the events of a run as they come.
type watcher interface {
	observe(pipeline.Event)
	handler() slog.Handler // for log lines between the events
	close()                // the run is over; nothing is shown afterwards
}

func (a *app) newWatcher(job config.Job) watcher {
	_, terminal := a.sys.Terminal()
	switch {
	case a.jsonLogs():
		return &jsonEvents{out: a.logHandler(a.sys.Stderr), log: slog.New(slog.NewJSONHandler(a.sys.Stderr, nil))}
	case terminal && a.logs == logAuto:
		_, plain := a.sys.LookupEnv("NO_COLOR")
		return newLive(a.sys.Stderr, job.Name, a.sys.Terminal, !plain, a.sys.Now, a.logHandler)
	}
	return &textEvents{out: a.logHandler(a.sys.Stderr), log: slog.New(newTextHandler(a.sys.Stderr, slog.LevelInfo))}
}
