package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/smart"
)

// rotateOptions are the switches of a rotation.
type rotateOptions struct {
	file   string // --key
	kid    string // of the successor
	oldKID string // of the key in a PEM file that no server of the configuration has
	alg    string // of the key to replace
	maxAge time.Duration
	finish bool
	now    bool // the successor of a rotation under way takes over
	asJSON bool
}

func (a *app) keysRotateCommand() *cobra.Command {
	var o rotateOptions
	c := &cobra.Command{
		Use:   "rotate [SERVER...]",
		Short: "Replace a key without a gap",
		Long: `Make a successor beside the key of a server, in the same file, which becomes a JWK Set.
From now on both are in the public set: register both, or let the server fetch the set
(flue jwks serve). After --max-age flue signs with the successor, a run under way from its
next assertion on. Six minutes later, when the old key's last assertion has ended, it is
left out of the public set; with --finish it is removed from the files then.

--max-age is how long a server may take to know the new key: the Cache-Control of a served
set, or the time that a person and the server need for the registration. 0 changes over at
once, for a key that is known to others; --now does so in the middle of a rotation.

Where several servers share a key file, name all of them: each must know the successor.
Keys from the environment or in the configuration itself cannot be rotated by flue.`,
		Example: `  flue keys rotate hospital --max-age 48h
  flue jwks print hospital > jwks.json     # both keys, to register
  flue keys rotate --finish hospital       # afterwards`,
		ValidArgsFunction: a.completeServers,
		RunE: func(c *cobra.Command, args []string) error {
			if o.maxAge < 0 || o.maxAge > 366*24*time.Hour {
				return &usageError{message: "--max-age is not between 0 and a year"}
			}
			for _, flag := range []string{"max-age", "kid", "now", "finish"} {
				for _, other := range []string{"finish", "now"} {
					if flag == other {
						continue
					}
					if err := exclusive(c, other, flag); err != nil {
						return err
					}
				}
			}
			r, err := a.rotation(args, o)
			if err != nil {
				return err
			}
			unlock, err := r.lock()
			if err != nil {
				return err
			}
			defer unlock()
			if o.finish {
				return a.finishRotation(r, o)
			}
			if o.now {
				return a.hurryRotation(r, o)
			}
			return a.rotate(r, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.file, "key", "", "private key file instead of a server's")
	f.StringVar(&o.kid, "kid", "", "kid of the successor (default: its thumbprint)")
	f.StringVar(&o.oldKID, "old-kid", "", "with --key: kid of the key in a PEM file (default: its thumbprint)")
	f.StringVar(&o.alg, "alg", "", "algorithm of the key to replace, where the file has keys of several")
	f.DurationVar(&o.maxAge, "max-age", 24*time.Hour, "how long until the successor signs")
	f.BoolVar(&o.now, "now", false, "let the successor of a rotation under way sign at once")
	f.BoolVar(&o.finish, "finish", false, "remove the keys whose time has passed")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON object")
	return c
}

// rotationView is a rotation as programs see it.
type rotationView struct {
	Servers   []string  `json:"servers"`
	Replaced  string    `json:"replaced"`  // kid
	Successor string    `json:"successor"` // kid
	Algorithm string    `json:"algorithm"`
	SignsFrom time.Time `json:"signsFrom"`
	Retires   time.Time `json:"retires"`
	Files     []string  `json:"files"` // written
}

func (a *app) rotate(r rotation, o rotateOptions) error {
	now := a.sys.Now()
	keys, err := r.load()
	if err != nil {
		return err
	}
	old, err := r.replaced(keys, o.alg, now)
	if err != nil {
		return err
	}
	pem, err := isPEM(r.path)
	if err != nil {
		return err
	}
	next, err := old.Successor(o.kid)
	if err != nil {
		return err
	}
	set, err := keys.Rotate(next, now, o.maxAge)
	if err != nil {
		return err
	}
	next, old = set.Find(next.ID()), set.Find(old.ID())
	// What is published follows from this file: here the successor is published (P3).
	if err := smart.SaveKeys(r.path, set); err != nil {
		return err
	}
	written, err := r.publish(keys, set.Published(now), next)
	if err != nil {
		return err
	}
	v := rotationView{
		Servers: strings.Fields(r.names()), Replaced: old.ID(), Successor: next.ID(), Algorithm: next.Algorithm(),
		SignsFrom: next.NotBefore().UTC(), Retires: old.NotAfter().UTC(), Files: append([]string{r.path}, written...),
	}
	if o.asJSON {
		return a.printJSON(v)
	}
	a.tellRotation(r, v, pem)
	_, err = fmt.Fprintln(a.sys.Stdout, strings.Join(v.Files, "\n"))
	return err
}

// tellRotation says what the person has to do, and when.
func (a *app) tellRotation(r rotation, v rotationView, pem bool) {
	of, set := r.names(), "jwks print "+strings.Join(v.Servers, " ")
	if of == "" {
		of, set = "--key "+r.path, "jwks print --key "+r.path
	} else if len(v.Servers) > 1 {
		set = "jwks print " + v.Servers[0]
	}
	a.say("made kid %s for %s, the successor of kid %s", v.Successor, v.Algorithm, v.Replaced)
	if pem {
		a.say("%s is a JWK Set from now on: other programs do not read it as PEM", r.path)
	}
	a.say("now: register both keys, as 'flue %s' prints them; where the server fetches them by URL, serve that set ('flue jwks serve')", set)
	a.say("%s: flue signs with %s, a run under way from its next token on", v.SignsFrom.Format(time.RFC3339), v.Successor)
	a.say("%s: kid %s is no longer needed; then 'flue keys rotate --finish %s' removes it from the files, and it can be taken off the server", v.Retires.Format(time.RFC3339), v.Replaced, of)
}
