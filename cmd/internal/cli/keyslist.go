package cli

import (
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/smart"
)

func (a *app) keysListCommand() *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [SERVER...]",
		Short: "List the keys that flue signs with",
		Long: `List the keys of the servers of the configuration, or of a key file: kid, algorithm,
where each is kept and what it does.

  signing   signs assertions; with a time: until its successor does
  waiting   is to be registered, and signs from the time on
  replaced  signs no more, and stays published until the time
  retired   is neither published nor used: 'flue keys rotate --finish' removes it
  spare     is published, and another key of its algorithm signs`,
		ValidArgsFunction: a.completeServers,
		RunE: func(_ *cobra.Command, args []string) error {
			rows, failed := a.listKeys(args, file)
			if rows == nil && failed != nil {
				return failed
			}
			if asJSON {
				return errors.Join(a.printJSON(rows), failed)
			}
			g := &grid{left: map[int]bool{0: true, 1: true, 2: true, 3: true, 4: true, 5: true}}
			g.add("SERVER", "KID", "ALGORITHM", "STATE", "TIME", "KEPT IN")
			for _, r := range rows {
				at := ""
				if r.At != nil {
					at = r.At.Format(time.RFC3339)
				}
				g.add(r.Server, r.KID, r.Algorithm, r.State, at, r.Place)
			}
			return errors.Join(g.write(a.sys.Stdout), failed)
		},
	}
	f := c.Flags()
	f.StringVar(&file, "key", "", "private key file instead of a server's keys")
	f.BoolVar(&asJSON, "json", false, "print one JSON array")
	return c
}

// keyView is a key as programs see it: nothing of it is secret.
type keyView struct {
	Server    string     `json:"server,omitempty"`
	KID       string     `json:"kid,omitempty"`
	Algorithm string     `json:"algorithm,omitempty"`
	State     string     `json:"state"`
	At        *time.Time `json:"at,omitempty"`
	Place     string     `json:"place"`
}

// listKeys gives the rows; what cannot be read is a row as well, and the error.
func (a *app) listKeys(names []string, file string) (rows []keyView, failed error) {
	now := a.sys.Now()
	add := func(server, place string, keys smart.Keys) {
		for _, k := range keys {
			state, at := stateOfKey(keys, k, now)
			v := keyView{Server: server, KID: k.ID(), Algorithm: k.Algorithm(), State: state, Place: place}
			if at = at.UTC(); !at.IsZero() {
				v.At = &at
			}
			rows = append(rows, v)
		}
	}
	if file != "" {
		keys, err := smart.LoadKeysFile(file)
		add("", file, keys)
		return rows, err
	}
	f, err := a.load()
	if err != nil {
		return nil, a.orKeyFile(err)
	}
	named := len(names) > 0
	if !named {
		names = serverNames(f)
	}
	rows = []keyView{}
	for _, name := range unique(names) {
		s, err := a.serverNamed(f, name)
		if err != nil {
			return nil, err
		}
		if !named && s.Auth.Type != config.SMART {
			continue
		}
		ring := a.ring(f, s)
		keys, err := ring.keys()
		if none, ok := errors.AsType[*noKeyError](err); ok && !named {
			rows = append(rows, keyView{Server: none.server, State: "none yet", Place: ring.place().text})
			continue
		}
		if err != nil {
			rows = append(rows, keyView{Server: name, State: "unusable", Place: ring.place().text})
			failed = errors.Join(failed, err)
			continue
		}
		add(name, ring.place().text, keys)
	}
	return rows, failed
}

// ring is the keyring of a server of the configuration.
func (a *app) ring(f *config.File, s config.Server) keyring {
	return keyring{app: a, server: s, folder: keyFolder(f.StateDir, s.Name)}
}

// orKeyFile tells whoever has no configuration that the command works without.
func (a *app) orKeyFile(err error) error {
	if hint := hintOf(err); a.config == "" && hint != "" {
		return &usageError{err: err, hint: hint + ";\nor name a key file: --key"}
	}
	return err
}

// unique leaves out names that occurred before.
func unique(names []string) []string {
	var out []string
	for _, name := range names {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
