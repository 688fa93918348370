package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
)

func (a *app) quarantineCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "quarantine RUN",
		Short:   "List the lines of a run that are no resources: where, and why",
		GroupID: "jobs",
		Long: `List the lines that a run put aside because they are no resources to trust: the
part or file they came in, its declared type, line and byte, and what is wrong with
them. What is in them is never shown.

Of a run that is published they are read from its snapshot, below quarantine/, where
their content lies, too. Of one that failed or runs they are read from the files that
have landed in the spool, which go when the next run of the job begins. RUN is a
run's id as 'flue runs' lists it, or the beginning of it, or what names a snapshot:
a folder, a job, or latest.

Lines count from 1. Bytes count from 0, behind compression; for JSON, column is the
place of the fault in the line.`,
		Example: `  flue quarantine 1m80
  flue quarantine --json nightly | jq -r .reason | sort | uniq -c`,
		Args:              exactly("RUN"),
		ValidArgsFunction: a.completeRuns(func(ledger.State) bool { return true }),
		RunE: func(c *cobra.Command, args []string) error {
			l := &badLister{out: bufio.NewWriterSize(a.sys.Stdout, 64<<10), asJSON: asJSON}
			where, err := a.quarantine(c.Context(), args[0], l)
			if err := errors.Join(err, l.out.Flush()); err != nil {
				return err
			}
			fmt.Fprintf(a.sys.Stderr, "%s in quarantine%s\n", plural(l.count, "line"), where)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object a line")
	return c
}

// badLister prints bad lines as they are found.
type badLister struct {
	out    *bufio.Writer
	asJSON bool
	count  int64
}

func (l *badLister) add(b spool.BadLine) (err error) {
	l.count++
	if l.asJSON {
		text, err := json.Marshal(b)
		if err == nil {
			_, err = l.out.Write(append(text, '\n'))
		}
		return err
	}
	_, err = fmt.Fprintf(l.out, "%s  %s  line %d, byte %d: %s\n", b.Part, orDash(b.Type), b.Line, b.Offset, b.Reason)
	return err
}

// quarantine lists the bad lines of a snapshot or a run, and tells where it found
// them.
func (a *app) quarantine(ctx context.Context, name string, to *badLister) (where string, err error) {
	dir, err := findFolder(name)
	if err != nil {
		return "", err
	}
	if dir != "" {
		return to.snapshot(ctx, dir)
	}
	f, err := a.load()
	if err != nil {
		return "", a.orFolder(name, err)
	}
	if dir, err = findNamed(f, name); err != nil {
		return "", err
	}
	if dir != "" {
		return to.snapshot(ctx, dir)
	}
	l, err := a.openLedger(ctx, f)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	run, err := a.findRunOf(ctx, l, name)
	if err != nil {
		return "", err
	}
	if run.State == ledger.Published {
		if dir, err = snapshotOf(f, run); err != nil {
			return "", err
		}
		return to.snapshot(ctx, dir)
	}
	s := &spool.Spool{Dir: f.SpoolDir}
	if job, ok := f.Jobs[run.Job]; ok {
		s.MaxLine = job.Policies.MaxLine
	}
	landed, err := pipeline.EachBad(ctx, l, s, run.ID, to.add)
	if err != nil {
		return "", err
	}
	if landed.Files == 0 && run.State.Terminal() {
		return "", &usageError{message: fmt.Sprintf("nothing of run %s is left: it is %s", run.ID, run.State), hint: "what a run has landed goes with it, or when the next run of the job begins"}
	}
	return fmt.Sprintf(", of %d of %s that landed; the run is %s", landed.Files, plural(int64(landed.Of), "file"), run.State), nil
}

// snapshot lists those of a snapshot.
func (l *badLister) snapshot(ctx context.Context, dir string) (string, error) {
	const folder = "quarantine"
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("open snapshot: %w", err)
	}
	defer root.Close()
	names, err := fs.Glob(root.FS(), folder+"/*.ndjson")
	if err != nil {
		return "", fmt.Errorf("list quarantine: %w", err)
	}
	for _, name := range names {
		if err := l.file(ctx, root, name); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(names) == 0 {
		return "", nil
	}
	return ", with their content in " + filepath.Join(dir, folder), nil
}

func (l *badLister) file(ctx context.Context, root *os.Root, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return spool.ReadQuarantine(ctx, f, l.add)
}
