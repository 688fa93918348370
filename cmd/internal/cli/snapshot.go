package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/pipeline/ledger"
)

// snapshotHelp says what names a snapshot.
const snapshotHelp = `SNAPSHOT is a folder with a manifest.json, or the folder of a job, of which the
newest snapshot is taken; or, by the configuration, a job, a run (its id or the
beginning of it), or latest, the newest snapshot of all jobs.`

// findSnapshot finds the folder of a snapshot by whatever names it. Folders go
// before the names of the configuration, which is read only when there is none.
func (a *app) findSnapshot(ctx context.Context, name string) (dir string, err error) {
	if dir, err = findFolder(name); dir != "" || err != nil {
		return dir, err
	}
	f, err := a.load()
	if err != nil {
		return "", a.orFolder(name, err)
	}
	if dir, err = findNamed(f, name); dir != "" || err != nil {
		return dir, err
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
	if run.State != ledger.Published {
		return "", &usageError{message: fmt.Sprintf("run %s has published no snapshot: it is %s", run.ID, run.State)}
	}
	return snapshotOf(f, run)
}

// findFolder finds the snapshot in a folder; "" when the name is that of none and
// may be another name.
func findFolder(name string) (string, error) {
	for _, dir := range []string{name, filepath.Join(name, "latest")} {
		if isSnapshot(dir) {
			return dir, nil
		}
	}
	info, err := os.Stat(name)
	text := ""
	switch path := filepath.Base(name) != name; { // a path is neither a job nor a run
	case err == nil && !info.IsDir():
		text = "it is no folder"
	case err == nil && path:
		text = "it has neither manifest.json nor latest"
	case path:
		text = "there is no such folder"
	}
	if text != "" {
		return "", &usageError{message: name + " is no snapshot: " + text, hint: "name a folder such as DESTINATION/JOB/latest"}
	}
	return "", nil
}

// findNamed finds the newest snapshot of a job, or of all jobs; "" when the name is
// neither.
func findNamed(f *config.File, name string) (string, error) {
	if job, ok := f.Jobs[name]; ok {
		dir := filepath.Join(job.Destination.Path, name, "latest")
		if !isSnapshot(dir) {
			return "", &usageError{message: "job " + name + " has published no snapshot", hint: "run it: flue run " + name}
		}
		return dir, nil
	}
	if name == "latest" {
		return latestOf(f)
	}
	return "", nil
}

// findRunOf finds the run that a name begins, which was found to be nothing else.
func (a *app) findRunOf(ctx context.Context, l *ledger.Ledger, name string) (ledger.Run, error) {
	run, err := l.Find(ctx, name)
	if errors.Is(err, ledger.ErrNotFound) {
		return run, &usageError{
			message: fmt.Sprintf("%q is neither a snapshot's folder, nor a job, nor a single run", name),
			hint:    "name a folder such as DESTINATION/JOB/latest, a job of " + a.configPath() + ", or a run that 'flue runs -n 0' lists",
		}
	}
	if err != nil {
		return run, fmt.Errorf("find run: %w", err)
	}
	return run, nil
}

// snapshotOf is the folder of what a run has published.
func snapshotOf(f *config.File, run ledger.Run) (string, error) {
	if job, ok := f.Jobs[run.Job]; ok {
		if dir := filepath.Join(job.Destination.Path, run.Job, "snapshots", run.Snapshot); isSnapshot(dir) {
			return dir, nil
		}
	}
	if !isSnapshot(run.Location) {
		return "", &usageError{message: "the snapshot of run " + run.ID + " is gone", hint: "it was at " + run.Location}
	}
	return run.Location, nil
}

// orFolder tells whoever has no configuration that a folder is enough.
func (a *app) orFolder(name string, err error) error {
	if a.config == "" && errors.Is(err, os.ErrNotExist) {
		return &usageError{message: name + " is no snapshot's folder, and there is no configuration", hint: "name a folder such as DESTINATION/JOB/latest, or the configuration with --config"}
	}
	return err
}

// latestOf is the newest snapshot of all jobs: their names begin with the time.
func latestOf(f *config.File) (dir string, err error) {
	newest := ""
	for _, name := range f.Order {
		link := filepath.Join(f.Jobs[name].Destination.Path, name, "latest")
		real, err := filepath.EvalSymlinks(link)
		if err == nil && isSnapshot(real) && filepath.Base(real) > newest {
			newest, dir = filepath.Base(real), real
		}
	}
	if dir == "" {
		return "", &usageError{message: "no job has published a snapshot", hint: "run one: flue run JOB"}
	}
	return dir, nil
}

func isSnapshot(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, "manifest.json"))
	return err == nil && !info.IsDir()
}

// completeSnapshots offers job names, and folders.
func (a *app) completeSnapshots(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	names, _ := a.completeJobs(c, nil, begun)
	return names, cobra.ShellCompDirectiveDefault
}
