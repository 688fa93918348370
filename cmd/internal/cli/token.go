package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/smart"
)

func (a *app) tokenCommand() *cobra.Command {
	var o serverFlags
	var show, asJSON bool
	c := &cobra.Command{
		Use:     "token [SERVER]",
		Short:   "Ask a server for an access token and say what it is good for",
		GroupID: "setup",
		Long: `Ask for an access token as a run would and print when it ends and which scopes
were granted of those asked for. Scopes are compared by meaning: system/*.read covers
system/Patient.rs. The token itself is printed with --show alone, and then it is all that
stdout gets, so that a script can take it; the rest goes to stderr.

Without --scope the scopes are those of the configuration: auth.scopes, or what the
server's jobs read.`,
		Example: `  flue token hospital
  TOKEN=$(flue token hospital --show)
  flue token hospital --json | jq -e .complete
  flue token --url https://ehr.example.org/fhir --client-id my-client --key private_key.pem --scope 'system/*.rs'`,
		Args:              atMost("SERVER"),
		ValidArgsFunction: a.completeServers,
		RunE: func(c *cobra.Command, args []string) error {
			t, err := a.target(c, &o, firstArg(args))
			if err != nil {
				return err
			}
			conn, err := a.connect(t.file, t.server, t.scopes, a.logger())
			if err != nil {
				return err
			}
			defer conn.close()
			if conn.auth == nil {
				return &usageError{message: fmt.Sprintf("server %s gives no tokens: its auth is of type %s", t.server.Name, t.server.Auth.Type), hint: "tokens are asked for with auth.type smart or client_secret"}
			}
			v, token, err := a.askToken(c.Context(), conn.auth)
			if err != nil {
				return err
			}
			switch {
			case asJSON:
				if show {
					v.AccessToken = string(token)
				}
				return a.printJSON(v)
			case show:
				if err := a.sayGrid("token", v.grid(a.sys.Now())); err != nil {
					return err
				}
				_, err = fmt.Fprintln(a.sys.Stdout, string(token))
				return err
			}
			return v.grid(a.sys.Now()).write(a.sys.Stdout)
		},
	}
	o.granting(a, c)
	f := c.Flags()
	f.BoolVar(&show, "show", false, "print the token")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// tokenView is a token as programs see it.
type tokenView struct {
	Server        string    `json:"server"`
	TokenEndpoint string    `json:"tokenEndpoint"`
	ClientID      string    `json:"clientId"`
	Expires       time.Time `json:"expires"`
	ExpiresIn     int64     `json:"expiresIn"` // seconds
	Requested     []string  `json:"requested"`
	Granted       []string  `json:"granted"` // null: the server did not say
	Missing       []string  `json:"missing"`
	Partial       []string  `json:"partial"` // granted for some resources only
	Complete      bool      `json:"complete"`
	ClockAhead    float64   `json:"clockAhead,omitempty"` // seconds that the server's clock is ahead (F1)
	AccessToken   string    `json:"accessToken,omitempty"`
}

// askToken asks for a token and compares what it is good for with what was asked
// for (P16).
func (a *app) askToken(ctx context.Context, auth *authorizer) (tokenView, smart.Secret, error) {
	token, err := auth.Token(ctx)
	if err != nil {
		return tokenView{}, "", err
	}
	client, err := auth.client(ctx)
	if err != nil {
		return tokenView{}, "", err
	}
	endpoint, err := auth.endpoint(ctx)
	if err != nil {
		return tokenView{}, "", err
	}
	covered := smart.Compare(client.Scopes, token.Scopes)
	return tokenView{
		Server: auth.server.Name, TokenEndpoint: endpoint, ClientID: client.ClientID,
		Expires: token.Expiry.UTC().Truncate(time.Second), ExpiresIn: int64(token.Expiry.Sub(a.sys.Now()).Round(time.Second) / time.Second),
		Requested: orEmpty(client.Scopes), Granted: token.Scopes, Missing: orEmpty(covered.Missing), Partial: orEmpty(covered.Partial),
		Complete: covered.Complete(), ClockAhead: client.Skew().Seconds(),
	}, token.AccessToken, nil
}

// orEmpty is never null in JSON.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// grid is the token for people.
func (v tokenView) grid(now time.Time) *grid {
	g := &grid{left: map[int]bool{0: true, 1: true}}
	g.add("server", v.Server)
	g.add("token endpoint", v.TokenEndpoint)
	g.add("client id", v.ClientID)
	g.add("expires", fmt.Sprintf("%s (in %s)", v.Expires.Format(time.RFC3339), span(v.Expires.Sub(now))))
	g.add("asked for", orNone(v.Requested))
	if v.Granted == nil {
		g.add("granted", "the server does not say: as asked for")
	} else {
		g.add("granted", orNone(v.Granted))
	}
	if len(v.Missing) > 0 {
		g.add("missing", strings.Join(v.Missing, " "))
	}
	if len(v.Partial) > 0 {
		g.add("in part", strings.Join(v.Partial, " "))
	}
	if v.ClockAhead != 0 {
		g.add("server's clock", fmt.Sprintf("%+.0f s from this machine's", v.ClockAhead))
	}
	return g
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, " ")
}
