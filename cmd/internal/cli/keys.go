package cli

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/smart"
)

func (a *app) keysCommand() *cobra.Command {
	var alg, kid, folder string
	var asJSON bool
	generate := &cobra.Command{
		Use:   "generate",
		Short: "Make a key pair and the files to register it with",
		Long: `Make a key pair for SMART Backend Services and write three files:
private_key.pem (only its owner may read it), public_key.pem and jwks.json. The latter
two are what a FHIR server asks for at registration. Nothing is overwritten: where one of the
three is there, no key is made.`,
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
			v := generatedView{KID: key.ID(), Algorithm: key.Algorithm(), PrivateKey: filepath.Join(folder, privateFile), PublicKey: filepath.Join(folder, publicFile), JWKS: filepath.Join(folder, jwksFile)}
			if asJSON {
				return a.printJSON(v)
			}
			a.say("made a key for %s, kid %s; register %s with the server", v.Algorithm, v.KID, v.JWKS)
			if kid != "" {
				a.say("a PEM file does not hold the kid: set key_id: %s beside key in jobs.yaml", kid)
			}
			_, err = fmt.Fprintf(a.sys.Stdout, "%s\n%s\n%s\n", v.PrivateKey, v.PublicKey, v.JWKS)
			return err
		},
	}
	flags := generate.Flags()
	flags.StringVar(&alg, "alg", smart.ES384, "signature algorithm: RS384 or ES384")
	flags.StringVar(&kid, "kid", "", "key id (default: the RFC 7638 thumbprint)")
	flags.StringVar(&folder, "dir", ".", "folder to write to")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object")
	return group("keys", "Make, list and rotate the keys that flue signs with", "setup", generate, a.keysListCommand(), a.keysRotateCommand())
}

// generatedView is a new key as programs see it: its public facts and where it is.
type generatedView struct {
	KID        string `json:"kid"`
	Algorithm  string `json:"algorithm"`
	PrivateKey string `json:"privateKey"` // paths
	PublicKey  string `json:"publicKey"`
	JWKS       string `json:"jwks"`
}
