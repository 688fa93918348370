package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/store/local"
)

// runDetail is everything known of a run.
type runDetail struct {
	runView
	Tasks       map[ledger.TaskState]int64 `json:"tasks,omitempty"`
	Conversions []conversionView           `json:"conversions,omitempty"`
	Manifest    *sinks.Manifest            `json:"manifest,omitempty"`
}

type conversionView struct {
	Sink string `json:"sink"`
	Type string `json:"type"`
	Rows int64  `json:"rows"`
}

func (a *app) showCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "show RUN",
		Short:   "Show one run: where it stands, what it published, why it failed",
		Long:    "Show one run. RUN is its id as 'flue runs' lists it, or the beginning of it.",
		GroupID: "jobs",
		Args:    exactly("RUN"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRun(c.Context(), args[0], func(ctx context.Context, f *config.File, l *ledger.Ledger, run ledger.Run) error {
				d, err := detailOf(ctx, f, l, run)
				if err != nil {
					return err
				}
				if asJSON {
					e := json.NewEncoder(a.sys.Stdout)
					e.SetEscapeHTML(false)
					e.SetIndent("", "  ")
					return e.Encode(d)
				}
				return a.printDetail(d)
			})
		},
		ValidArgsFunction: a.completeRuns(func(ledger.State) bool { return true }),
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func detailOf(ctx context.Context, f *config.File, l *ledger.Ledger, run ledger.Run) (*runDetail, error) {
	d := &runDetail{runView: viewOf(run)}
	tasks, err := l.Tasks(ctx, run.ID)
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	for _, t := range tasks {
		if d.Tasks == nil {
			d.Tasks = make(map[ledger.TaskState]int64)
		}
		d.Tasks[t.State]++
	}
	conversions, err := l.Conversions(ctx, run.ID)
	if err != nil {
		return nil, fmt.Errorf("list conversions: %w", err)
	}
	for _, c := range conversions {
		d.Conversions = append(d.Conversions, conversionView{c.Sink, c.Type, c.Rows})
	}
	if job, ok := f.Jobs[run.Job]; ok && run.State == ledger.Published {
		store := &local.Store{Path: job.Destination.Path}
		if d.Manifest, err = store.Published(ctx, run.Job, run.ID); err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
	}
	return d, nil
}

func (a *app) printDetail(d *runDetail) error {
	var b strings.Builder
	fact := func(label, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-10s %s\n", label, text)
		}
	}
	fact("run", d.Run)
	fact("job", d.Job)
	state := string(d.State)
	if d.Phase != "" && d.Phase != d.State {
		state += ", came as far as " + string(d.Phase)
	}
	fact("state", state)
	fact("kind", d.Kind)
	fact("trigger", d.Trigger)
	fact("started", d.Started.Local().Format("2006-01-02 15:04:05 -0700"))
	if d.Ended != nil {
		fact("ended", d.Ended.Local().Format("2006-01-02 15:04:05 -0700")+", after "+span(d.Ended.Sub(d.Started)))
	}
	if d.Kickoffs > 1 {
		fact("kick-offs", number(d.Kickoffs))
	}
	if d.Resumes > 0 {
		fact("resumed", plural(d.Resumes, "time"))
	}
	var tasks []string
	for _, s := range []ledger.TaskState{ledger.TaskPending, ledger.TaskLanding, ledger.TaskLanded, ledger.TaskConverted, ledger.TaskDone, ledger.TaskQuarantined} {
		if n := d.Tasks[s]; n > 0 {
			tasks = append(tasks, number(n)+" "+string(s))
		}
	}
	fact("files", strings.Join(tasks, ", "))
	fact("error", d.Error)
	fact("hint", d.Hint)
	if d.Manifest != nil {
		b.WriteByte('\n')
		if err := writeTypes(&b, d.Manifest); err != nil {
			return err
		}
		b.WriteByte('\n')
		writeFacts(&b, d.Manifest, d.Location)
	} else {
		fact("snapshot", d.Location)
	}
	_, err := a.sys.Stdout.Write([]byte(b.String()))
	return err
}
