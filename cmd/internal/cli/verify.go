package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/sinks/verify"
)

// verifyView is what flue verify --json prints.
type verifyView struct {
	Snapshot string           `json:"snapshot"` // folder
	Job      string           `json:"job,omitempty"`
	Run      string           `json:"run,omitempty"`
	Kind     string           `json:"kind,omitempty"`
	OK       bool             `json:"ok"`
	Checks   []verify.Finding `json:"checks"`
}

func (a *app) verifyCommand() *cobra.Command {
	var asJSON bool
	var o verify.Options
	c := &cobra.Command{
		Use:     "verify SNAPSHOT",
		Short:   "Check a snapshot: files, checksums, counts, schemas, resource by resource",
		GroupID: "jobs",
		Long: `Check a published snapshot without a server: that its manifest can be read, that
every file is there with its size and SHA-256 and no other one, that the rows
counted again are those of the manifest and its numbers add up for each type,
that all Parquet files of a type have one schema, and that the snapshots which a
delta rests on are there. With --rebuild every resource is made from its Parquet
row and compared with its NDJSON line: members in any order, numbers by their text.

Each check is one line on stdout. Nothing of a resource is shown. The exit code
is 5 when anything differs and 64 when there is no snapshot.

` + snapshotHelp,
		Example: `  flue verify nightly
  flue verify --rebuild out/convert/latest
  flue verify --json latest | jq -e .ok`,
		Args:              exactly("SNAPSHOT"),
		ValidArgsFunction: a.completeSnapshots,
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := a.findSnapshot(c.Context(), args[0])
			if err != nil {
				return err
			}
			return a.verify(c.Context(), dir, o, asJSON)
		},
	}
	c.Flags().BoolVar(&o.Rebuild, "rebuild", false, "compare every Parquet row with its NDJSON line")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// differs is the result of a verification that found differences, which are
// printed already.
type differs struct{ message, hint string }

func (e *differs) Error() string { return e.message }
func (e *differs) Class() string { return "quality" }
func (e *differs) Hint() string  { return e.hint }

func (a *app) verify(ctx context.Context, dir string, o verify.Options, asJSON bool) error {
	if !asJSON {
		o.Tell = a.tellFinding
	}
	a.limitHeap(0)
	report, err := verify.Snapshot(ctx, dir, o)
	if err != nil {
		return err
	}
	if asJSON {
		v := verifyView{Snapshot: report.Dir, OK: report.OK(), Checks: report.Findings}
		if m := report.Manifest; m != nil {
			v.Job, v.Run, v.Kind = m.Job, m.Run, string(m.Kind)
		}
		e := json.NewEncoder(a.sys.Stdout)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(v); err != nil {
			return err
		}
	}
	if !report.OK() {
		return &differs{message: "the snapshot is not what it was when it was published"}
	}
	return nil
}

// mostProblems is how many problems of a check are printed; --json has all.
const mostProblems = 10

// tellFinding prints a line for a check, and one for each of its problems.
func (a *app) tellFinding(f verify.Finding) {
	word := map[verify.Status]string{verify.OK: "ok", verify.Failed: "FAILED", verify.Skipped: "skipped"}[f.Status]
	fmt.Fprintf(a.sys.Stdout, "%-7s %-14s %s\n", word, f.Check, f.Text)
	for i, p := range f.Problems {
		if i == mostProblems {
			fmt.Fprintf(a.sys.Stdout, "        and %s more; --json has all of them\n", number(int64(len(f.Problems)-i)))
			break
		}
		fmt.Fprintf(a.sys.Stdout, "        %s\n", p)
	}
	printHint(a.sys.Stdout, f.Hint)
}
