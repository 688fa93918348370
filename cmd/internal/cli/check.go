package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline"
	"github.com/flue-fhir/flue/pipeline/config"
)

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "check JOB",
		Short:   "Try everything that a run needs, without exporting",
		GroupID: "jobs",
		Long: `Check a job without asking the server for data: the configuration, the server's
SMART discovery, the key, a token and the scopes granted with it, the
CapabilityStatement, that the destination can be written, and disk space.

Each check is one line on stdout; the exit code is that of the first that failed.`,
		Args:              exactly("JOB"),
		ValidArgsFunction: a.completeJobs,
		RunE: func(c *cobra.Command, args []string) error {
			f, job, err := a.loadJob(args[0])
			if err != nil {
				return err
			}
			return a.checkJob(c.Context(), f, job)
		},
	}
}

// checkFailed is the result of a check that failed: its line is printed already.
type checkFailed struct{ first error }

func (e *checkFailed) Error() string { return "check failed" }
func (e *checkFailed) Unwrap() error { return e.first }
func (e *checkFailed) Hint() string  { return "mend what is marked FAILED above and check again" }
func (e *checkFailed) Class() string { return classOf(e.first) }

func (a *app) checkJob(ctx context.Context, f *config.File, job config.Job) (err error) {
	server := f.Servers[job.Server]
	var first error
	tell := func(name, text string, err error) {
		if err == nil {
			fmt.Fprintf(a.sys.Stdout, "ok      %-14s %s\n", name, text)
			return
		}
		if first == nil {
			first = err
		}
		fmt.Fprintf(a.sys.Stdout, "FAILED  %-14s %s\n", name, err)
		printHint(a.sys.Stdout, hintOf(err))
	}
	tell("configuration", fmt.Sprintf("%s, server %s", a.configPath(), server.URL), nil)
	l, err := a.openLedger(ctx, f)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := l.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("close ledger: %w", cerr)
		}
	}()
	log := slog.New(a.logHandler(a.sys.Stderr))
	p, err := a.prepare(f, job, l, log)
	if err != nil {
		return err
	}
	defer p.close()
	authenticates := true
	if auth := p.conn.auth; auth != nil {
		authenticates = a.checkAuth(ctx, auth, tell)
	}
	if !authenticates {
		// Without a key there is no token to try, but the rest can still be looked at.
		p.runner.Auth = nil
		if classOf(first) == "" {
			p.runner.Bulk = nil // it did not answer: waiting for it again tells nothing new
		}
	}
	p.runner.Check(ctx, func(found pipeline.Finding) {
		if !authenticates && (found.Name == "server" || found.Name == "authorization") && errors.Is(found.Err, first) {
			return // the same again
		}
		tell(found.Name, found.Text, found.Err)
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if first != nil {
		return &checkFailed{first: first}
	}
	return nil
}

// checkAuth looks at discovery and key; it reports whether a token can be asked
// for.
func (a *app) checkAuth(ctx context.Context, auth *authorizer, tell func(name, text string, err error)) bool {
	conf, err := auth.discovery.Get(ctx, auth.server.URL)
	switch {
	case err == nil:
		scopes := "scopes of version 1"
		if conf.V2() {
			scopes = "scopes of version 2"
		}
		tell("discovery", fmt.Sprintf("%s from %s, %s", conf.TokenEndpoint, conf.Source, scopes), nil)
	case auth.server.Auth.TokenURL != "":
		tell("discovery", "not available; token_url is configured", nil)
	default:
		tell("discovery", "", err)
		return false
	}
	text, err := auth.describe(ctx)
	tell("key", text, err)
	if jku := auth.server.Auth.JKU; jku != "" && err == nil {
		text, err := auth.checkJKU(ctx, jku)
		tell("jku", text, err) // the rest is tried all the same: the server may not look at it
	}
	return err == nil
}
