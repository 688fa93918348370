package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// app is one execution of the program.
type app struct {
	sys      *System
	config   string  // --config
	stateDir string  // --state-dir
	logs     logForm // --log
	verbose  bool
	events   bool // the command writes events: JSON unless stderr is a terminal
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "flue",
		Short: "Bulk-export data out of FHIR servers: complete, checked, atomic",
		Long: `flue runs export jobs: it authenticates with SMART Backend Services, has the
server export (or searches it page by page), lands every file whole and checked,
and publishes NDJSON and Parquet as one snapshot that is there entirely or not at all.

Servers and jobs are described in jobs.yaml; see 'flue config schema'.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usageError{err: err, hint: "see '" + c.CommandPath() + " --help'"}
	})
	flags := root.PersistentFlags()
	flags.StringVarP(&a.config, "config", "c", "", "configuration file (default: FLUE_CONFIG, else ./jobs.yaml)")
	flags.StringVar(&a.stateDir, "state-dir", "", "folder of ledger, keys and locks (default: state_dir of the configuration)")
	a.logs = logAuto
	flags.Var(&a.logs, "log", "what goes to stderr: text, json, or auto: text on a terminal, json elsewhere")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "log more")
	a.must(root.RegisterFlagCompletionFunc("log", cobra.FixedCompletions([]string{"auto", "text", "json"}, cobra.ShellCompDirectiveNoFileComp)))

	root.AddGroup(
		&cobra.Group{ID: "jobs", Title: "Jobs:"},
		&cobra.Group{ID: "setup", Title: "Set-up:"},
		&cobra.Group{ID: "try", Title: "Trying it out:"},
	)
	root.AddCommand(
		a.runCommand(), a.checkCommand(), a.runsCommand(), a.showCommand(), a.quarantineCommand(), a.cancelCommand(), a.adoptCommand(), a.watermarkCommand(), a.convertCommand(), a.verifyCommand(), a.schemaCommand(),
		a.configCommand(), a.keysCommand(), a.jwksCommand(), a.assertionCommand(), a.tokenCommand(), a.getCommand(),
		a.sandboxCommand(), a.demoCommand(),
		a.versionCommand(),
		&cobra.Command{
			Use:   "exit-codes",
			Short: "What the exit codes mean",
			Long:  "Exit codes of flue:\n\n" + exitHelp(),
		},
	)
	root.SetUsageTemplate(root.UsageTemplate() + `{{if not .HasParent}}
Exit codes:
` + exitHelp() + `{{end}}`)
	return root
}

// must reports a mistake in the command table itself.
func (a *app) must(err error) {
	if err != nil {
		panic(err)
	}
}

// exactly demands the named arguments.
func exactly(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return &usageError{message: "argument " + names[len(args)] + " is missing", hint: "usage: " + c.UseLine()}
		case len(args) > len(names):
			return &usageError{message: "too many arguments", hint: "usage: " + c.UseLine()}
		}
		return nil
	}
}

// atMost allows the named argument to be left out.
func atMost(name string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > 1 {
			return &usageError{message: "too many arguments: only " + name + " is wanted", hint: "usage: " + c.UseLine()}
		}
		return nil
	}
}

// exclusive refuses two of the flags at once.
func exclusive(c *cobra.Command, flags ...string) error {
	given := ""
	for _, name := range flags {
		switch {
		case !c.Flags().Changed(name):
		case given == "":
			given = name
		default:
			return &usageError{message: fmt.Sprintf("--%s and --%s exclude each other", given, name), hint: "give one of them"}
		}
	}
	return nil
}

// group is a command that only has subcommands.
func group(use, short, id string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, GroupID: id, Args: func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return &usageError{message: fmt.Sprintf("unknown command %q for %q", args[0], c.CommandPath()), hint: "see '" + c.CommandPath() + " --help'"}
		}
		return nil
	}, RunE: func(c *cobra.Command, _ []string) error {
		return c.Help()
	}}
	c.AddCommand(commands...)
	return c
}

// unknownCommand gives cobra's own complaint the class of a usage error.
func unknownCommand(err error) error {
	var classed interface{ Class() string }
	if err != nil && !errors.As(err, &classed) && strings.HasPrefix(err.Error(), "unknown command ") {
		message, rest, _ := strings.Cut(err.Error(), "\n")
		hint := "see 'flue --help'"
		if _, near, ok := strings.Cut(rest, "Did you mean this?\n"); ok {
			hint = "did you mean " + strings.Join(strings.Fields(near), " or ") + "?"
		}
		return &usageError{message: message, hint: hint}
	}
	return err
}
