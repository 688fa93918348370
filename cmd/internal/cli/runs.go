package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline/ledger"
)

// runView is a run as programs see it: without the status URL, which is a secret
// (I6).
type runView struct {
	Run      string       `json:"run"`
	Job      string       `json:"job"`
	State    ledger.State `json:"state"`
	Phase    ledger.State `json:"phase"`
	Kind     string       `json:"kind,omitempty"`
	Trigger  string       `json:"trigger,omitempty"`
	Started  time.Time    `json:"started"`
	Updated  time.Time    `json:"updated"`
	Ended    *time.Time   `json:"ended,omitempty"`
	Kickoffs int64        `json:"kickoffs"`
	Resumes  int64        `json:"resumes"`
	Error    string       `json:"error,omitempty"`
	Class    string       `json:"class,omitempty"`
	Hint     string       `json:"hint,omitempty"`
	Snapshot string       `json:"snapshot,omitempty"`
	Location string       `json:"location,omitempty"`
}

func viewOf(r ledger.Run) runView {
	v := runView{
		Run: r.ID, Job: r.Job, State: r.State, Phase: r.Phase, Kind: r.Kind, Trigger: r.Trigger,
		Started: r.Started, Updated: r.Updated, Kickoffs: r.Kickoffs, Resumes: r.Resumes,
		Error: r.Error, Class: r.Class, Hint: r.Hint, Snapshot: r.Snapshot, Location: r.Location,
	}
	if !r.Ended.IsZero() {
		v.Ended = &r.Ended
	}
	return v
}

func (a *app) runsCommand() *cobra.Command {
	var asJSON bool
	var limit int
	c := &cobra.Command{
		Use:               "runs [JOB]",
		Short:             "List the runs, the newest first",
		GroupID:           "jobs",
		Args:              atMost("JOB"),
		ValidArgsFunction: a.completeJobs,
		RunE: func(c *cobra.Command, args []string) (err error) {
			if limit < 0 {
				return &usageError{message: fmt.Sprintf("--limit: %d is below 0", limit), hint: "0 means all"}
			}
			f, err := a.load()
			if err != nil {
				return err
			}
			job := ""
			if len(args) > 0 {
				job = args[0]
				if _, ok := f.Jobs[job]; !ok {
					return &usageError{message: fmt.Sprintf("no job %q in %s", job, a.configPath()), hint: "its jobs are: " + strings.Join(f.Order, ", ")}
				}
			}
			l, err := a.openLedger(c.Context(), f)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, l.Close()) }()
			runs, err := l.Runs(c.Context(), job, limit)
			if err != nil {
				return fmt.Errorf("list runs: %w", err)
			}
			return a.printRuns(runs, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object a line")
	c.Flags().IntVarP(&limit, "limit", "n", 20, "at most this many; 0 means all")
	return c
}

func (a *app) printRuns(runs []ledger.Run, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(a.sys.Stdout)
		for _, r := range runs {
			if err := e.Encode(viewOf(r)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(runs) == 0 {
		fmt.Fprintln(a.sys.Stderr, "no runs yet")
		return nil
	}
	g := &grid{left: map[int]bool{0: true, 1: true, 2: true, 3: true, 4: true, 6: true}}
	g.add("run", "job", "state", "kind", "started", "took", "")
	for _, r := range runs {
		end := r.Ended
		if end.IsZero() {
			end = r.Updated
		}
		g.add(r.ID, r.Job, string(r.State), orDash(r.Kind), r.Started.Local().Format("2006-01-02 15:04:05"), span(end.Sub(r.Started)), shortText(r.Error, 60))
	}
	return g.write(a.sys.Stdout)
}

// shortText is the first line of a text, cut.
func shortText(s string, limit int) string {
	s, _, _ = strings.Cut(s, "\n")
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}
