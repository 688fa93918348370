package cli

import (
	"context"
	"log/slog"

	"github.com/flue-fhir/flue/smart"
)

// logger writes to stderr what the command has to say beside its result.
func (a *app) logger() *slog.Logger { return slog.New(a.logHandler(a.sys.Stderr)) }

// assertion signs one as a token request would carry it.
func (z *authorizer) assertion(ctx context.Context) (smart.Secret, error) {
	c, err := z.unscoped(ctx)
	if err != nil {
		return "", err
	}
	return c.Assertion(ctx)
}

// endpoint is where tokens are asked for.
func (z *authorizer) endpoint(ctx context.Context) (string, error) {
	if url := z.server.Auth.TokenURL; url != "" {
		return url, nil
	}
	conf, err := z.discovery.Get(ctx, z.server.URL)
	if err != nil {
		return "", err
	}
	return conf.TokenEndpoint, nil
}

// signingKey is the key that the next assertion is signed with. It may make one,
// and then fails: see keyring.source.
func (z *authorizer) signingKey(ctx context.Context) (*smart.Key, error) {
	c, err := z.unscoped(ctx)
	if err != nil {
		return nil, err
	}
	return c.SigningKey(ctx)
}
