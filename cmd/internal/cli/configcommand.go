package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline/config"
)

func (a *app) configCommand() *cobra.Command {
	check := &cobra.Command{
		Use:   "check",
		Short: "Read the configuration and report every error with its place",
		Args:  exactly(),
		RunE: func(*cobra.Command, []string) error {
			f, err := a.load()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.sys.Stdout, "%s: %s, %s\n", a.configPath(), plural(int64(len(f.Servers)), "server"), plural(int64(len(f.Jobs)), "job"))
			return err
		},
	}
	schema := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of jobs.yaml, for editors",
		Args:  exactly(),
		RunE: func(*cobra.Command, []string) error {
			_, err := a.sys.Stdout.Write(config.Schema())
			return err
		},
	}
	return group("config", "Check the configuration", "setup", check, schema)
}
