package cli

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/smart"
)

func (a *app) keysCommand() *cobra.Command {
	var alg, kid, folder string
	generate := &cobra.Command{
		Use:   "generate",
		Short: "Make a key pair and the files to register it with",
		Long: `Make a key pair for SMART Backend Services and write three files:
private_key.pem (only its owner may read it), public_key.pem and jwks.json. The latter
two are what a FHIR server asks for at registration. Nothing is overwritten.`,
		Example: `  flue keys generate --dir keys/hospital --alg ES384`,
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			if alg != smart.RS384 && alg != smart.ES384 {
				return &usageError{message: fmt.Sprintf("--alg: %q is not RS384 or ES384", alg), hint: "every SMART server knows these two"}
			}
			key, err := makeKey(folder, alg, kid)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.sys.Stderr, "made a key for %s, kid %s\n", key.Algorithm(), key.ID())
			for _, name := range []string{privateFile, publicFile, jwksFile} {
				fmt.Fprintln(a.sys.Stdout, filepath.Join(folder, name))
			}
			return nil
		},
	}
	flags := generate.Flags()
	flags.StringVar(&alg, "alg", smart.ES384, "signature algorithm: RS384 or ES384")
	flags.StringVar(&kid, "kid", "", "key id (default: the RFC 7638 thumbprint)")
	flags.StringVar(&folder, "dir", ".", "folder to write to")
	return group("keys", "Make the keys that flue signs with", "setup", generate)
}

func (a *app) jwksCommand() *cobra.Command {
	var file string
	printSet := &cobra.Command{
		Use:   "print [SERVER]",
		Short: "Print the public key set to register with a server",
		Long: `Print the public keys of a server of the configuration, or of a key file, as a JWK
Set. Only public members are in it.`,
		Args:              atMost("SERVER"),
		ValidArgsFunction: a.completeServers,
		RunE: func(_ *cobra.Command, args []string) error {
			keys, err := a.serverKeys(args, file)
			if err != nil {
				return err
			}
			e := json.NewEncoder(a.sys.Stdout)
			e.SetIndent("", "  ")
			return e.Encode(keys.Published(a.sys.Now()).JWKS())
		},
	}
	printSet.Flags().StringVar(&file, "key", "", "private key file instead of a server's key")
	return group("jwks", "Print public keys", "setup", printSet)
}

// serverKeys are the keys of the server named by the arguments, or of a file.
func (a *app) serverKeys(args []string, file string) (smart.Keys, error) {
	if file != "" {
		return smart.LoadKeysFile(file)
	}
	f, err := a.load()
	if err != nil {
		return nil, err
	}
	names := serverNames(f)
	switch {
	case len(args) == 1:
		if _, ok := f.Servers[args[0]]; !ok {
			return nil, &usageError{message: fmt.Sprintf("no server %q in %s", args[0], a.configPath()), hint: fmt.Sprintf("its servers are: %v", names)}
		}
		names = args
	case len(names) != 1:
		return nil, &usageError{message: "argument SERVER is missing", hint: fmt.Sprintf("the servers are: %v", names)}
	}
	s := f.Servers[names[0]]
	ring := keyring{app: a, server: s, folder: keyFolder(f.StateDir, s.Name)}
	return ring.keys()
}
