package cli

import (
	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/smart"
)

func (a *app) jwksCommand() *cobra.Command {
	var file, kid string
	printSet := &cobra.Command{
		Use:   "print [SERVER]",
		Short: "Print the public key set to register with a server",
		Long: `Print the public keys of a server of the configuration, or of a key file, as a JWK
Set: during a rotation both, the old and the new. Only public members are in it.`,
		Args:              atMost("SERVER"),
		ValidArgsFunction: a.completeServers,
		RunE: func(_ *cobra.Command, args []string) error {
			keys, err := a.serverKeys(firstArg(args), file, kid)
			if err != nil {
				return err
			}
			return a.printJSON(keys.Published(a.sys.Now()).JWKS())
		},
	}
	f := printSet.Flags()
	f.StringVar(&file, "key", "", "private key file instead of a server's keys")
	f.StringVar(&kid, "kid", "", "kid of the key in a PEM file (default: its thumbprint)")
	f.Bool("json", true, "the set is JSON in any case")
	a.must(f.MarkHidden("json"))
	return group("jwks", "Print or serve public keys", "setup", printSet, a.jwksServeCommand())
}

// serverKeys are the keys of a server of the configuration, or of a file.
func (a *app) serverKeys(server, file, kid string) (smart.Keys, error) {
	switch {
	case file != "" && server != "":
		return nil, &usageError{message: "--key names a file, and " + server + " a server", hint: "give one of them"}
	case file == "" && kid != "":
		return nil, &usageError{message: "--kid belongs to --key", hint: "a server's kid is in the configuration"}
	case file != "":
		return fileKeys(file, kid)()
	}
	f, err := a.load()
	if err != nil {
		return nil, a.orKeyFile(err)
	}
	s, err := a.serverNamed(f, server)
	if err != nil {
		return nil, err
	}
	return a.ring(f, s).keys()
}
