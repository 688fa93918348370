package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline/config"
)

// configPath is the configuration file: --config, else FLUE_CONFIG, else
// jobs.yaml in the working folder.
func (a *app) configPath() string {
	if a.config != "" {
		return a.config
	}
	if p, ok := a.sys.LookupEnv("FLUE_CONFIG"); ok && p != "" {
		return p
	}
	return "jobs.yaml"
}

// load reads the configuration and makes its paths absolute: relative ones start
// at the file's folder, ~ is the home folder.
func (a *app) load() (*config.File, error) {
	path := a.configPath()
	data, err := os.ReadFile(path)
	if err != nil {
		hint := "check that the file can be read"
		if errors.Is(err, fs.ErrNotExist) {
			hint = "name the file with --config or FLUE_CONFIG, or change to its folder"
		}
		return nil, &usageError{message: "read configuration", err: err, hint: hint}
	}
	f, err := config.Parse(path, data, a.sys.LookupEnv)
	if err != nil {
		return nil, err
	}
	base, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("find configuration's folder: %w", err)
	}
	return f, a.absolute(f, base)
}

// absolute resolves the paths of a configuration in place.
func (a *app) absolute(f *config.File, base string) error {
	home, _ := a.sys.LookupEnv("HOME")
	resolve := func(p string) string {
		switch {
		case p == "":
			return ""
		case home != "" && (p == "~" || strings.HasPrefix(p, "~/")):
			return filepath.Join(home, strings.TrimPrefix(p, "~"))
		case filepath.IsAbs(p):
			return filepath.Clean(p)
		}
		return filepath.Join(base, p)
	}
	reference := func(ref string) string {
		if p, ok := strings.CutPrefix(ref, "file:"); ok {
			return "file:" + resolve(p)
		}
		return ref
	}
	if a.stateDir != "" {
		abs, err := filepath.Abs(a.stateDir)
		if err != nil {
			return fmt.Errorf("find state folder: %w", err)
		}
		f.StateDir = abs
	}
	if f.StateDir == "" {
		state, ok := a.sys.LookupEnv("XDG_STATE_HOME")
		switch {
		case ok && filepath.IsAbs(state):
			f.StateDir = filepath.Join(state, "flue")
		case home != "":
			f.StateDir = filepath.Join(home, ".local", "state", "flue")
		default:
			return &usageError{message: "no state folder", hint: "set state_dir in the configuration, or HOME"}
		}
	}
	f.StateDir = resolve(f.StateDir)
	if f.SpoolDir == "" {
		f.SpoolDir = filepath.Join(f.StateDir, "spool")
	}
	f.SpoolDir = resolve(f.SpoolDir)
	for name, s := range f.Servers {
		s.Auth.Key, s.Auth.Secret, s.Auth.Token = reference(s.Auth.Key), reference(s.Auth.Secret), reference(s.Auth.Token)
		for header, value := range s.Headers {
			s.Headers[header] = reference(value)
		}
		s.TLS.CA, s.TLS.ClientCert, s.TLS.ClientKey = resolve(s.TLS.CA), resolve(s.TLS.ClientCert), resolve(s.TLS.ClientKey)
		f.Servers[name] = s
	}
	for name, j := range f.Jobs {
		j.Destination.Path = resolve(j.Destination.Path)
		for i, p := range j.Export.Patients {
			j.Export.Patients[i] = reference(p)
		}
		f.Jobs[name] = j
	}
	return nil
}

// loadJob reads the configuration and finds a job in it.
func (a *app) loadJob(name string) (*config.File, config.Job, error) {
	f, err := a.load()
	if err != nil {
		return nil, config.Job{}, err
	}
	job, ok := f.Jobs[name]
	if !ok {
		return nil, config.Job{}, &usageError{
			message: fmt.Sprintf("no job %q in %s", name, a.configPath()),
			hint:    "its jobs are: " + strings.Join(f.Order, ", "),
		}
	}
	return f, job, nil
}

// completeJobs offers the job names of the configuration to the shell.
func (a *app) completeJobs(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	f, err := a.load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return f.Order, cobra.ShellCompDirectiveNoFileComp
}

// completeServers offers the server names of the configuration to the shell.
func (a *app) completeServers(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	f, err := a.load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return serverNames(f), cobra.ShellCompDirectiveNoFileComp
}

func serverNames(f *config.File) []string {
	names := make([]string, 0, len(f.Servers))
	for name := range f.Servers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
