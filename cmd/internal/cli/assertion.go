package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/smart"
)

// maxJWT bounds what --decode reads from stdin.
const maxJWT = 64 << 10

func (a *app) assertionCommand() *cobra.Command {
	var o serverFlags
	var decode, asJSON bool
	c := &cobra.Command{
		Use:     "assertion [SERVER]",
		Short:   "Print the signed statement that flue authenticates with",
		GroupID: "setup",
		Long: `Sign a client assertion (a JWT) for a server as a token request would carry it, and
print it. It is a secret until it ends: whoever has it can get one token with it.

With --decode its header and claims are printed instead, as JSON. A JWT of another
program can be given in the server's place, or on stdin with "-". Decoding does not
verify: the signature is not looked at.`,
		Example: `  flue assertion hospital --decode
  flue assertion --url https://ehr.example.org/fhir --client-id my-client --key private_key.pem
  pbpaste | flue assertion --decode -`,
		Args:              atMost("SERVER"),
		ValidArgsFunction: a.completeServers,
		RunE: func(c *cobra.Command, args []string) error {
			name := firstArg(args)
			if decode && (name == "-" || strings.Count(name, ".") == 2) {
				return a.decodeJWT(name)
			}
			t, err := a.target(c, &o, name)
			if err != nil {
				return err
			}
			if t.server.Auth.Type != config.SMART {
				return &usageError{message: fmt.Sprintf("server %s gets no assertions: its auth is of type %s", t.server.Name, t.server.Auth.Type), hint: "assertions are for clients that registered a public key (auth.type: smart)"}
			}
			conn, err := a.connect(t.file, t.server, t.scopes, a.logger())
			if err != nil {
				return err
			}
			defer conn.close()
			signed, err := conn.auth.assertion(c.Context())
			if err != nil {
				return err
			}
			if decode && !asJSON {
				return a.printDecoded(signed)
			}
			if !asJSON {
				_, err = fmt.Fprintln(a.sys.Stdout, string(signed))
				return err
			}
			v := assertionView{}
			if !decode {
				v.Assertion = string(signed)
			}
			if v.Header, v.Claims, err = smart.DecodeAssertion(signed); err != nil {
				return err
			}
			return a.printJSON(v)
		},
	}
	o.signing(a, c)
	f := c.Flags()
	f.BoolVar(&decode, "decode", false, "print header and claims, of the JWT given or of one signed now")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// assertionView is an assertion as programs see it.
type assertionView struct {
	Assertion string          `json:"assertion,omitempty"`
	Header    json.RawMessage `json:"header"`
	Claims    json.RawMessage `json:"claims"`
	Verified  bool            `json:"verified"` // never: nobody looked at the signature
}

// decodeJWT prints what a JWT says that was given as an argument or on stdin.
func (a *app) decodeJWT(arg string) error {
	if arg == "-" {
		data, err := io.ReadAll(io.LimitReader(a.sys.Stdin, maxJWT+1))
		if err != nil {
			return fmt.Errorf("read stdin: %w", err)
		}
		if len(data) > maxJWT {
			return &usageError{message: "stdin is too long for a JWT"}
		}
		arg = strings.TrimSpace(string(data))
	}
	return a.printDecoded(smart.Secret(arg))
}

func (a *app) printDecoded(jwt smart.Secret) error {
	header, claims, err := smart.DecodeAssertion(jwt)
	if err != nil {
		return &usageError{err: err, hint: hintOf(err)}
	}
	a.say("decoded, not verified: the signature was not looked at%s", a.ending(claims))
	return a.printJSON(assertionView{Header: header, Claims: claims})
}

// ending says when the claims end, if they say so.
func (a *app) ending(claims json.RawMessage) string {
	var c struct {
		Exp json.Number `json:"exp"`
	}
	if json.Unmarshal(claims, &c) != nil {
		return ""
	}
	seconds, err := c.Exp.Int64()
	if err != nil || seconds <= 0 || seconds > 1<<40 {
		return ""
	}
	at, now := time.Unix(seconds, 0).UTC(), a.sys.Now()
	if at.After(now) {
		return fmt.Sprintf("; it ends %s, in %s", at.Format(time.RFC3339), span(at.Sub(now)))
	}
	return fmt.Sprintf("; it ended %s, %s ago", at.Format(time.RFC3339), span(now.Sub(at)))
}

// printJSON writes one indented object to stdout.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.sys.Stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// firstArg is the first argument, "" without one.
func firstArg(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
