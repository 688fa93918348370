package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline"
)

func (a *app) watermarkCommand() *cobra.Command {
	var set string
	var clearMarks, asJSON bool
	c := &cobra.Command{
		Use:     "watermark JOB",
		Short:   "Show, set or clear from when on the next run asks for changes",
		GroupID: "jobs",
		Long: `Show the watermarks of a job, one for each type, as they stand in its latest
snapshot, or override them for the next run: --set asks for what changed since an
instant, --clear asks for everything.`,
		Args:              exactly("JOB"),
		ValidArgsFunction: a.completeJobs,
		RunE: func(c *cobra.Command, args []string) (err error) {
			if err := exclusive(c, "set", "clear", "json"); err != nil {
				return err
			}
			f, job, err := a.loadJob(args[0])
			if err != nil {
				return err
			}
			l, err := a.openLedger(c.Context(), f)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, l.Close()) }()
			p, err := a.prepare(f, job, l, slog.New(a.logHandler(a.sys.Stderr)))
			if err != nil {
				return err
			}
			defer p.close()
			switch {
			case set != "":
				t, err := parseInstant(set)
				if err != nil {
					return &usageError{message: "--set: " + err.Error(), hint: "write a date, or a time with its offset: 2026-01-31T00:00:00Z"}
				}
				if t.After(a.sys.Now()) {
					return &usageError{message: "--set: the instant is in the future"}
				}
				if err := p.runner.SetWatermark(c.Context(), t); err != nil {
					return fmt.Errorf("set watermark: %w", err)
				}
				fmt.Fprintf(a.sys.Stderr, "the next run of %s asks for changes since %s\n", job.Name, t.Format(time.RFC3339))
				return nil
			case clearMarks:
				if err := p.runner.ClearWatermark(c.Context()); err != nil {
					return fmt.Errorf("clear watermark: %w", err)
				}
				fmt.Fprintf(a.sys.Stderr, "the next run of %s asks for everything\n", job.Name)
				return nil
			}
			marks, err := p.runner.Watermarks(c.Context())
			if err != nil {
				return fmt.Errorf("read watermarks: %w", err)
			}
			return a.printWatermarks(marks, asJSON)
		},
	}
	c.Flags().StringVar(&set, "set", "", "the next run asks for changes since this instant")
	c.Flags().BoolVar(&clearMarks, "clear", false, "the next run asks for everything")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) printWatermarks(m pipeline.Watermarks, asJSON bool) error {
	if asJSON {
		v := map[string]any{"snapshot": m.Snapshot, "watermarks": m.Marks}
		if m.Override != nil {
			v["override"] = m.Override
		}
		return json.NewEncoder(a.sys.Stdout).Encode(v)
	}
	var b strings.Builder
	switch {
	case m.Override != nil && m.Override.IsZero():
		b.WriteString("cleared: the next run asks for everything\n")
	case m.Override != nil:
		fmt.Fprintf(&b, "set: the next run asks for changes since %s\n", m.Override.Format(time.RFC3339))
	}
	if m.Snapshot == "" {
		b.WriteString("no snapshot yet: the next run asks for everything\n")
	} else {
		fmt.Fprintf(&b, "of snapshot %s:\n", m.Snapshot)
		g := &grid{left: map[int]bool{0: true, 1: true}}
		for _, typ := range slices.Sorted(maps.Keys(m.Marks)) {
			name := typ
			if typ == "*" {
				name = "all other types"
			}
			g.add(name, m.Marks[typ].Format(time.RFC3339Nano))
		}
		if err := g.write(&b); err != nil {
			return err
		}
	}
	_, err := a.sys.Stdout.Write([]byte(b.String()))
	return err
}
