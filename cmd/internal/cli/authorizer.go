package cli

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flue-fhir/flue/pipeline"
	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/smart"
)

// scopePlan is what the scopes of a job are derived from (P11).
type scopePlan struct {
	types []string // none means all
	level string
	also  []string // read beside the types
	// attachments says that the contents of attachments are read, which are Binary
	// resources at the FHIR server.
	attachments bool
}

// planScopes says what a job reads.
func planScopes(j config.Job) scopePlan {
	p := scopePlan{types: j.Export.Types, level: j.Export.Level, attachments: j.Attachments != nil}
	if j.Export.Mode == "search" {
		p.also = []string{"Patient"} // a search begins with the patients
	}
	return p
}

// authorizer gets the tokens of one server, by a signed assertion or a client
// secret. What it must ask the server for first (token endpoint, algorithms,
// scope syntax), it asks when the first token is wanted, so that a run that cannot
// reach its server is on record.
type authorizer struct {
	server    config.Server
	scopes    scopePlan
	keys      keyring
	secret    smart.Secret
	http      *http.Client
	discovery *smart.Discovery
	now       func() time.Time
	log       *slog.Logger

	ready atomic.Pointer[smart.Client]

	mu    sync.Mutex
	last  *smart.Token    // the one that was compared last
	lost  map[string]bool // scopes that a token did not grant
	types map[string]bool // types of the job that one did not let read
}

var (
	_ pipeline.Authorizer = (*authorizer)(nil)
	_ pipeline.Renewer    = (*authorizer)(nil)
	_ smart.TokenSource   = (*authorizer)(nil)
	_ smart.Invalidator   = (*authorizer)(nil)
)

// client is the SMART client, made when it is first asked for. Two callers may
// both make one; the first that is done wins.
func (z *authorizer) client(ctx context.Context) (*smart.Client, error) {
	if c := z.ready.Load(); c != nil {
		return c, nil
	}
	scopes := z.server.Auth.Scopes
	if len(scopes) == 0 {
		v2, err := z.v2(ctx)
		if err != nil {
			return nil, err
		}
		scopes = smart.ForTypes(z.scopes.types, z.scopes.level, smart.ScopeOptions{V2: v2, Also: z.scopes.also, Attachments: z.scopes.attachments})
	}
	c, err := z.unscoped(ctx)
	if err != nil {
		return nil, err
	}
	c.Scopes = scopes
	if !z.ready.CompareAndSwap(nil, c) {
		c = z.ready.Load()
	}
	return c, nil
}

// unscoped is a client that signs assertions, for which the server need not be asked which
// scopes it knows.
func (z *authorizer) unscoped(ctx context.Context) (*smart.Client, error) {
	auth := z.server.Auth
	c := &smart.Client{
		Base: z.server.URL, ClientID: auth.ClientID, TokenURL: auth.TokenURL,
		Algorithm: auth.Algorithm, JKU: auth.JKU, Lifetime: auth.Lifetime,
		Secret: z.secret, SecretInBody: auth.Post,
		HTTP: z.http, AllowHTTP: z.server.AllowHTTP, Discovery: z.discovery, Now: z.now, Log: z.log,
	}
	if z.secret == "" {
		keys, err := z.keys.source(ctx, z.discovery)
		if err != nil {
			return nil, err
		}
		c.Keys = keys
	}
	return c, nil
}

// v2 reports whether the server knows scopes of version 2. With a configured
// token endpoint the server need not be discoverable: then version 1 is asked for.
func (z *authorizer) v2(ctx context.Context) (bool, error) {
	conf, err := z.discovery.Get(ctx, z.server.URL)
	switch {
	case err == nil:
		return conf.V2(), nil
	case z.server.Auth.TokenURL != "" && ctx.Err() == nil:
		return false, nil
	}
	return false, err
}

// Token implements smart.TokenSource.
func (z *authorizer) Token(ctx context.Context) (*smart.Token, error) {
	c, err := z.client(ctx)
	if err != nil {
		return nil, err
	}
	t, err := c.Token(ctx)
	if err != nil {
		return nil, z.keys.explain(err)
	}
	z.compare(c, t)
	return t, nil
}

// compare keeps what a token does not grant.
func (z *authorizer) compare(c *smart.Client, t *smart.Token) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if t == z.last {
		return
	}
	z.last = t
	g := z.granted(c, t)
	if z.lost == nil {
		z.lost, z.types = map[string]bool{}, map[string]bool{}
	}
	for _, s := range g.Missing {
		z.lost[s] = true
	}
	for _, typ := range g.Types {
		z.types[typ] = true
	}
}

// Lost implements pipeline.Renewer.
func (z *authorizer) Lost() (scopes, types []string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Sorted(maps.Keys(z.lost)), slices.Sorted(maps.Keys(z.types))
}

// Invalidate implements smart.Invalidator.
func (z *authorizer) Invalidate(token smart.Secret) {
	if c := z.ready.Load(); c != nil {
		c.Invalidate(token)
	}
}

// Authorize implements pipeline.Authorizer: it compares by meaning what was
// granted with what was asked for (P16).
func (z *authorizer) Authorize(ctx context.Context) (pipeline.Grant, error) {
	t, err := z.Token(ctx)
	if err != nil {
		return pipeline.Grant{}, err
	}
	c, err := z.client(ctx)
	if err != nil {
		return pipeline.Grant{}, err
	}
	return z.granted(c, t), nil
}

// granted says what came with a token.
func (z *authorizer) granted(c *smart.Client, t *smart.Token) pipeline.Grant {
	g := pipeline.Grant{Requested: c.Scopes, Granted: t.Scopes}
	if t.Scopes == nil {
		return g // as asked for: the client has warned
	}
	g.Missing = smart.Missing(c.Scopes, t.Scopes)
	if len(z.server.Auth.Scopes) == 0 {
		g.Types = smart.Unreadable(slices.Concat(z.scopes.also, z.scopes.types), t.Scopes)
	} else {
		g.Types = smart.Unreadable(z.scopes.types, t.Scopes)
	}
	g.NoBinary = z.scopes.attachments && len(smart.Missing([]string{"system/Binary.r"}, t.Scopes)) > 0
	return g
}

// Tokens implements pipeline.Authorizer.
func (z *authorizer) Tokens() int64 {
	if c := z.ready.Load(); c != nil {
		return c.Tokens()
	}
	return 0
}

// describe says how the client authenticates, for people.
func (z *authorizer) describe(ctx context.Context) (string, error) {
	if z.secret != "" {
		return "client secret", nil
	}
	key, err := z.signingKey(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, kid %s", key.Algorithm(), key.ID()), nil
}
