package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline"
	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/smart"
)

func (a *app) demoCommand() *cobra.Command {
	o := sandboxOptions{listen: "127.0.0.1:0"}
	c := &cobra.Command{
		Use:     "demo",
		Short:   "Start a sandbox and run the jobs of jobs.yaml against it",
		GroupID: "try",
		Long: `Start a sandbox on a free port, register a generated key with it and run every job
of the configuration whose server is named sandbox. Tokens live shorter than the
export takes, so that each run has to authenticate again on its way.`,
		Args:   exactly(),
		PreRun: func(*cobra.Command, []string) { a.events = true },
		RunE: func(c *cobra.Command, _ []string) error {
			return a.demo(c.Context(), o)
		},
	}
	f := c.Flags()
	f.IntVar(&o.patients, "patients", 500, "size of the synthetic population")
	f.Uint64Var(&o.seed, "seed", 1, "which population of that size")
	f.StringVar(&o.data, "data", "", "folder of NDJSON files (.gz too) to serve instead")
	f.StringVar(&o.cache, "cache", "", "folder of populations and indexes (default: flue in the XDG cache folder)")
	f.DurationVar(&o.lifetime, "token-lifetime", 5*time.Second, "lifetime of access tokens")
	f.DurationVar(&o.duration, "export-duration", 8*time.Second, "how long an export takes at least")
	return c
}

func (a *app) demo(ctx context.Context, o sandboxOptions) (err error) {
	f, err := a.load()
	if err != nil {
		return err
	}
	server, ok := f.Servers[demoServer]
	if !ok || server.Auth.Type != config.SMART || server.Auth.Key != "" {
		return &usageError{
			message: fmt.Sprintf("%s has no server named %s with auth of type smart and no key of its own", a.configPath(), demoServer),
			hint:    "run the demo with the jobs.yaml of the project",
		}
	}
	keys := keyFolder(f.StateDir, server.Name)
	if _, err := os.Stat(filepath.Join(keys, privateFile)); err != nil {
		if _, err := makeKey(keys, smart.ES384, server.Auth.KeyID); err != nil {
			return err
		}
	}
	o.clients = []string{server.Auth.ClientID + "=" + filepath.Join(keys, jwksFile)}
	box, err := a.startSandbox(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, box.stop()) }()
	server.URL = box.base
	f.Servers[server.Name] = server
	ran := 0
	for _, name := range f.Order {
		job := f.Jobs[name]
		if job.Server != demoServer {
			continue
		}
		if ran > 0 {
			fmt.Fprintln(a.sys.Stdout)
		}
		if err := a.runJob(ctx, f, job, pipeline.Options{Trigger: "manual"}, false); err != nil {
			return fmt.Errorf("job %s: %w", name, err)
		}
		ran++
	}
	if ran == 0 {
		return &usageError{message: fmt.Sprintf("%s has no job for the server %s", a.configPath(), demoServer)}
	}
	return nil
}
