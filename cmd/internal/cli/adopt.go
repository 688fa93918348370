package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline"
)

func (a *app) adoptCommand() *cobra.Command {
	var options pipeline.Options
	var adoption pipeline.Adoption
	var kickedOff string
	var asJSON bool
	c := &cobra.Command{
		Use:     "adopt JOB STATUS_URL",
		Short:   "Take over an export that something else started, and publish it as the job's snapshot",
		GroupID: "jobs",
		Long: `Take over an export that something else started: a run of the job waits for it,
fetches it and publishes it. STATUS_URL is the Content-Location that the kick-off was
answered with, - reads it from standard input, which keeps it out of the shell's
history. It must lie at the job's server or one of its origins.

What was asked for is read from the request that the server repeats in its manifest,
and must be what the job asks for: everything, or the changes since an instant that
follow on the job's latest snapshot without a gap. Any other export is refused and
left at the server. Where the server does not repeat the request, or repeats it with
another base URL than the job's, --trust-request takes your word for it.

Watermarks move only when the server repeats the request and it is certain when the
export was asked for: --kicked-off says so, or the export was seen to run well after
its transaction time. Otherwise the next run of the job asks again.

From then on the export is the run's: it is deleted at the server when the snapshot is
published, and 'flue run JOB' goes on with it after an interrupt.`,
		Example: `  flue adopt nightly https://ehr.example/fhir/_status/42 --kicked-off 2026-01-31T02:30:00Z
  flue adopt nightly - --detach < status-url.txt`,
		Args:              exactly("JOB", "STATUS_URL"),
		ValidArgsFunction: a.completeJobs,
		PreRun:            func(*cobra.Command, []string) { a.events = true },
		RunE: func(c *cobra.Command, args []string) error {
			f, job, err := a.loadJob(args[0])
			if err != nil {
				return err
			}
			if kickedOff != "" {
				if adoption.KickedOff, err = parseInstant(kickedOff); err != nil {
					return &usageError{message: "--kicked-off: " + err.Error(), hint: "write a date, or a time with its offset: 2026-01-31T00:00:00Z"}
				}
			}
			if adoption.StatusURL = args[1]; adoption.StatusURL == "-" {
				if adoption.StatusURL, err = a.readLine(); err != nil {
					return err
				}
			}
			options.Trigger, options.Adopt = "manual", &adoption
			return a.runJob(c.Context(), f, job, options, asJSON)
		},
	}
	flags := c.Flags()
	flags.StringVar(&kickedOff, "kicked-off", "", "when the export was asked for, by the server's clock")
	flags.BoolVar(&adoption.Trust, "trust-request", false, "the export asks for everything as the job does, also where the server does not repeat the request")
	flags.BoolVar(&options.Detach, "detach", false, "leave the export running at the server; 'flue run JOB' fetches it")
	flags.BoolVar(&asJSON, "json", false, "print the summary as JSON on stdout")
	return c
}

// readLine reads the first line of standard input.
func (a *app) readLine() (string, error) {
	line, err := bufio.NewReader(io.LimitReader(a.sys.Stdin, 64<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	return strings.TrimSpace(line), nil
}
