package cli

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/smart"
)

// serverFlags describe a server on the command line: all by themselves, or over
// what jobs.yaml says of one.
type serverFlags struct {
	url, clientID, tokenURL string
	key, kid, alg, jku      string
	lifetime                time.Duration
	scopes                  []string
	secret, bearer          string
	post, allowHTTP         bool
	headers, origins        []string
	tls                     config.TLS
}

// signing gives the command the flags of a client that signs assertions.
func (o *serverFlags) signing(a *app, c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.url, "url", "", "FHIR base URL of a server that is not in the configuration")
	f.StringVar(&o.clientID, "client-id", "", "client id that the server gave at registration")
	f.StringVar(&o.tokenURL, "token-url", "", "token endpoint (default: discovered)")
	f.StringVar(&o.key, "key", "", "private key file, or env:NAME")
	f.StringVar(&o.kid, "kid", "", "kid to sign with (default: the key's own, else its thumbprint)")
	f.StringVar(&o.alg, "alg", "auto", "signature algorithm")
	f.StringVar(&o.jku, "jku", "", "URL of the registered key set, for the assertion's header")
	a.must(c.RegisterFlagCompletionFunc("alg", cobra.FixedCompletions(algorithms(), cobra.ShellCompDirectiveNoFileComp)))
	f.DurationVar(&o.lifetime, "lifetime", 0, "lifetime of an assertion (default 4m)")
	f.BoolVar(&o.allowHTTP, "allow-http", false, "permit plain http to another machine")
	f.StringVar(&o.tls.CA, "ca", "", "PEM file of certificate authorities to trust beside the system's")
	f.StringVar(&o.tls.ClientCert, "client-cert", "", "PEM file of the client's TLS certificate")
	f.StringVar(&o.tls.ClientKey, "client-key", "", "PEM file of that certificate's private key")
}

// granting gives the command the flags of a client that asks for tokens.
func (o *serverFlags) granting(a *app, c *cobra.Command) {
	o.signing(a, c)
	f := c.Flags()
	f.StringArrayVar(&o.scopes, "scope", nil, "scope to ask for (repeatable; default: what the server's jobs read)")
	f.StringVar(&o.secret, "secret", "", "client secret instead of a key: env:NAME or file:PATH")
	f.BoolVar(&o.post, "post", false, "send the client secret in the form instead of by HTTP Basic")
}

// requesting gives the command the flags of a client that sends FHIR requests.
func (o *serverFlags) requesting(a *app, c *cobra.Command) {
	o.granting(a, c)
	f := c.Flags()
	f.StringVar(&o.bearer, "bearer", "", "an access token that somebody gave you: env:NAME or file:PATH")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "further header for the server, 'Name: value' (repeatable; the value may be env:NAME or file:PATH)")
	f.StringArrayVar(&o.origins, "origin", nil, "further origin that may get the token (repeatable)")
}

// target is the server that a command speaks with.
type target struct {
	file   *config.File // of flags alone: with neither servers nor a state folder
	server config.Server
	scopes scopePlan
}

// target finds the server: the one named, the only one of the configuration, or
// the one that the flags describe. Flags go before the configuration.
func (a *app) target(c *cobra.Command, o *serverFlags, name string) (target, error) {
	if err := cmp.Or(exclusive(c, "key", "secret"), exclusive(c, "key", "bearer"), exclusive(c, "secret", "bearer")); err != nil {
		return target{}, err
	}
	var t target
	if alone := o.url != "" || o.clientID != "" || o.tokenURL != ""; alone && name == "" {
		t = target{file: &config.File{}, server: config.Server{Name: "of the flags"}}
		if u, err := url.Parse(cmp.Or(o.url, o.tokenURL)); err == nil && u.Host != "" {
			t.server.Name = u.Host
		}
	} else {
		if o.url != "" {
			return target{}, &usageError{message: fmt.Sprintf("--url describes a server, and %s names one", name), hint: "give one of them"}
		}
		f, err := a.load()
		if err != nil {
			return target{}, a.orFlags(err)
		}
		s, err := a.serverNamed(f, name)
		if err != nil {
			return target{}, err
		}
		t = target{file: f, server: s, scopes: planServer(f, s.Name)}
	}
	if err := o.apply(c, &t.server); err != nil {
		return target{}, err
	}
	return t, nil
}

// orFlags tells whoever has no configuration that the command works without.
func (a *app) orFlags(err error) error {
	if hint := hintOf(err); a.config == "" && hint != "" {
		return &usageError{err: err, hint: hint + ";\nor describe the server: --url, --client-id, --key"}
	}
	return err
}

// serverNamed is a server of the configuration; without a name, the only one.
func (a *app) serverNamed(f *config.File, name string) (config.Server, error) {
	names := serverNames(f)
	list := "the servers are: " + strings.Join(names, ", ")
	switch {
	case name == "" && len(names) == 1:
		name = names[0]
	case name == "":
		return config.Server{}, &usageError{message: "argument SERVER is missing", hint: list}
	}
	s, ok := f.Servers[name]
	if !ok {
		return config.Server{}, &usageError{message: fmt.Sprintf("no server %q in %s", name, a.configPath()), hint: list}
	}
	return s, nil
}

// planServer says what the jobs of a server read, all together.
func planServer(f *config.File, server string) scopePlan {
	var all scopePlan
	every := false
	for _, name := range f.Order {
		job := f.Jobs[name]
		if job.Server != server {
			continue
		}
		p := planScopes(job)
		every = every || len(p.types) == 0
		all.types = append(all.types, p.types...)
		all.also = append(all.also, p.also...)
		if all.level != "group" {
			all.level = p.level
		}
	}
	if every {
		all.types = nil
	}
	return all
}

// apply puts the flags into the server and looks at what they make of it.
func (o *serverFlags) apply(c *cobra.Command, s *config.Server) error {
	auth := &s.Auth
	set := func(to *string, value string) {
		if value != "" {
			*to = value
		}
	}
	set(&s.URL, strings.TrimRight(o.url, "/"))
	key, err := reference("--key", o.key, true)
	if err != nil {
		return err
	}
	secret, err := reference("--secret", o.secret, false)
	if err != nil {
		return err
	}
	bearer, err := reference("--bearer", o.bearer, false)
	if err != nil {
		return err
	}
	switch {
	case bearer != "":
		*auth = config.Auth{Type: config.Bearer, Token: bearer}
	case secret != "":
		*auth = config.Auth{Type: config.ClientSecret, ClientID: auth.ClientID, Secret: secret, Post: auth.Post, TokenURL: auth.TokenURL, Scopes: auth.Scopes}
	case key != "" && auth.Type != config.SMART:
		*auth = config.Auth{Type: config.SMART, ClientID: auth.ClientID, Key: key, TokenURL: auth.TokenURL, Scopes: auth.Scopes}
	case key != "":
		auth.Key, auth.KeyID = key, "" // a configured kid is that of the configured key
	case auth.Type == "" && o.clientID != "":
		auth.Type = config.SMART
	case auth.Type == "":
		auth.Type = config.None
	}
	set(&auth.ClientID, o.clientID)
	set(&auth.TokenURL, o.tokenURL)
	set(&auth.KeyID, o.kid)
	set(&auth.JKU, o.jku)
	if c.Flags().Changed("alg") {
		auth.Algorithm = o.alg
	}
	if o.lifetime != 0 {
		auth.Lifetime = o.lifetime
	}
	if o.scopes != nil {
		auth.Scopes = nil
		for _, text := range o.scopes {
			auth.Scopes = append(auth.Scopes, strings.Fields(text)...)
		}
	}
	auth.Post = auth.Post || o.post
	s.AllowHTTP = s.AllowHTTP || o.allowHTTP
	s.Origins = slices.Concat(s.Origins, o.origins)
	set(&s.TLS.CA, o.tls.CA)
	set(&s.TLS.ClientCert, o.tls.ClientCert)
	set(&s.TLS.ClientKey, o.tls.ClientKey)
	if err := o.addHeaders(s); err != nil {
		return err
	}
	return o.check(c, s)
}

// reference makes a flag's value a reference to a secret: a secret itself would
// be in the shell's history and in the list of processes.
func reference(flag, value string, path bool) (string, error) {
	switch file, isFile := strings.CutPrefix(value, "file:"); {
	case value == "", strings.HasPrefix(value, "env:"):
		return value, nil
	case isFile || path && !strings.ContainsAny(value, "\n{"):
		abs, err := filepath.Abs(file)
		if err != nil {
			return "", fmt.Errorf("find %s: %w", flag, err)
		}
		return "file:" + abs, nil
	}
	return "", &usageError{message: flag + ": a secret does not belong on the command line", hint: "name where it is: env:NAME or file:PATH"}
}

// addHeaders reads the --header flags.
func (o *serverFlags) addHeaders(s *config.Server) error {
	all := make(map[string]string, len(s.Headers)+len(o.headers))
	for name, value := range s.Headers {
		all[name] = value
	}
	for _, text := range o.headers {
		name, value, ok := strings.Cut(text, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case !ok || name == "" || strings.ContainsFunc(name, notInHeaderName):
			return &usageError{message: "--header: it is not 'Name: value'"}
		case strings.EqualFold(name, "authorization"):
			return &usageError{message: "--header: flue sets Authorization itself", hint: "give the token by --bearer env:NAME"}
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return &usageError{message: "--header: the value of " + name + " holds control characters"}
		}
		if path, isFile := strings.CutPrefix(value, "file:"); isFile {
			abs, err := filepath.Abs(path)
			if err != nil {
				return fmt.Errorf("find --header: %w", err)
			}
			value = "file:" + abs
		}
		all[name] = value
	}
	s.Headers = all
	return nil
}

// notInHeaderName reports what RFC 9110 5.6.2 does not allow in a token.
func notInHeaderName(r rune) bool {
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// check refuses what can never work and flags that would do nothing.
func (o *serverFlags) check(c *cobra.Command, s *config.Server) error {
	auth := s.Auth
	if !slices.Contains(algorithms(), cmp.Or(auth.Algorithm, "auto")) {
		return &usageError{message: "--alg: it is none of " + strings.Join(algorithms(), ", ")}
	}
	signs, asks := auth.Type == config.SMART, auth.Type == config.SMART || auth.Type == config.ClientSecret
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"client-id", asks},
		{"token-url", asks},
		{"scope", asks},
		{"kid", signs},
		{"alg", signs},
		{"jku", signs},
		{"lifetime", signs},
		{"post", auth.Type == config.ClientSecret},
	} {
		if c.Flags().Changed(f.name) && !f.has {
			return &usageError{message: fmt.Sprintf("--%s has no meaning for server %s, whose auth is of type %s", f.name, s.Name, auth.Type), hint: "leave it out, or give --client-id with --key or --secret"}
		}
	}
	alone := o.url != "" || s.Auth.Key == "" && s.URL == ""
	switch {
	case s.URL == "" && auth.TokenURL == "":
		return &usageError{message: "--url is missing", hint: "give the FHIR base URL, or name a server of the configuration"}
	case asks && auth.ClientID == "":
		return &usageError{message: "--client-id is missing", hint: "it is what the server gave at registration"}
	case signs && auth.Key == "" && alone:
		return &usageError{message: "--key is missing", hint: "make a key with 'flue keys generate' and register its jwks.json with the server"}
	case (s.TLS.ClientCert == "") != (s.TLS.ClientKey == ""):
		return &usageError{message: "--client-cert and --client-key belong together", hint: "give both"}
	}
	for _, scope := range auth.Scopes {
		if _, err := smart.ParseScope(scope); err != nil {
			return &usageError{message: "--scope", err: err, hint: hintOf(err)}
		}
	}
	return cmp.Or(checkURL("--url", s.URL, s.AllowHTTP), checkURL("--token-url", auth.TokenURL, s.AllowHTTP), checkURL("--jku", auth.JKU, s.AllowHTTP))
}

// algorithms are what --alg may name.
func algorithms() []string {
	return []string{"auto", "RS384", "ES384", "RS256", "RS512", "PS256", "PS384", "PS512", "ES256", "ES512"}
}

// checkURL refuses what is no http(s) URL, and plain http to another machine (P10).
func checkURL(flag, text string, allowHTTP bool) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.Fragment != "":
		return &usageError{message: flag + ": it is not an absolute http(s) URL without user info and fragment", hint: "it looks like https://ehr.example.org/fhir/r4"}
	case flag == "--url" && u.RawQuery != "":
		return &usageError{message: flag + ": a base URL has no query"}
	case u.Scheme == "http" && !allowHTTP && !loopback(u.Hostname()):
		return &usageError{message: flag + ": plain http to a host other than this machine", hint: "use https, or --allow-http on a network that you trust"}
	}
	return nil
}

// loopback reports whether the host is this machine.
func loopback(host string) bool {
	host = strings.ToLower(host)
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
