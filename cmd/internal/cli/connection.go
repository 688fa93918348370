package cli

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/smart"
)

// connection is how one server is reached: the three ways to send a request
// that the protocol knows.
type connection struct {
	base          *url.URL
	authenticated *http.Client // with token and extra headers, for the allowed origins only (P15)
	fresh         *http.Client // the same, each request on a connection of its own (P23)
	bare          *http.Client // without either
	auth          *authorizer  // nil for an open server
}

// close drops idle connections.
func (c *connection) close() {
	c.authenticated.CloseIdleConnections()
	c.bare.CloseIdleConnections()
}

// connect prepares the connection to a server. It sends nothing yet.
func (a *app) connect(f *config.File, s config.Server, scopes scopePlan, log *slog.Logger) (*connection, error) {
	base, err := url.Parse(s.URL)
	if err != nil {
		return nil, &usageError{message: "server " + s.Name + " has no valid URL"}
	}
	transport, err := newTransport(s)
	if err != nil {
		return nil, err
	}
	header := make(http.Header, len(s.Headers))
	for name, ref := range s.Headers {
		value, err := a.resolveSecret("header "+name+" of server "+s.Name, ref)
		if err != nil {
			return nil, err
		}
		header.Set(name, string(value))
	}
	var origins []smart.Origin
	for _, text := range s.Origins {
		o, err := smart.ParseOrigin(text)
		if err != nil {
			return nil, &usageError{message: "server " + s.Name + ": origins", err: err}
		}
		origins = append(origins, o)
	}
	c := &connection{base: base, bare: &http.Client{Transport: transport}}
	source, err := a.tokenSource(f, s, scopes, c.bare, log)
	if err != nil {
		return nil, err
	}
	if auth, ok := source.(*authorizer); ok {
		c.auth = auth
	}
	client := func(t http.RoundTripper) *http.Client {
		return &http.Client{Transport: &smart.Transport{
			Source: source, Server: base, Origins: origins, Header: header,
			AllowHTTP: s.AllowHTTP, Base: t, Log: log,
		}}
	}
	c.authenticated, c.fresh = client(transport), client(export.OneShot(transport))
	return c, nil
}

// lastResort is how long the header of an answer is waited for by those who have no
// patience of their own. It is longer than that of any who have: some servers prepare
// an export before they answer the kick-off, and whoever gives up then does not know
// whether it runs (F16).
const lastResort = 15 * time.Minute

// newTransport makes the transport of a server: TLS 1.2 or later (P10), the
// proxy from the environment, bodies as they were sent.
func newTransport(s config.Server) (*http.Transport, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.TLS.CA != "" {
		pem, err := os.ReadFile(s.TLS.CA)
		if err != nil {
			return nil, &usageError{message: "server " + s.Name + ": tls.ca", err: err, hint: "check the path in the configuration"}
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, &usageError{message: "server " + s.Name + ": tls.ca holds no certificate", hint: "it must be a PEM file with BEGIN CERTIFICATE blocks"}
		}
		settings.RootCAs = pool
	}
	if s.TLS.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(s.TLS.ClientCert, s.TLS.ClientKey)
		if err != nil {
			return nil, &usageError{message: "server " + s.Name + ": tls.client_cert", err: err, hint: "client_cert and client_key must be PEM files that belong together"}
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	parallel := max(s.Limits.Downloads, 4) + 2
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       settings,
		TLSHandshakeTimeout:   20 * time.Second,
		ResponseHeaderTimeout: max(lastResort, 2*s.Limits.Stall),
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConns:          2 * parallel,
		MaxIdleConnsPerHost:   parallel,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true,
	}, nil
}

// tokenSource is where the tokens of a server come from; nil for an open server.
func (a *app) tokenSource(f *config.File, s config.Server, scopes scopePlan, client *http.Client, log *slog.Logger) (smart.TokenSource, error) {
	what := func(key string) string { return fmt.Sprintf("server %s: auth.%s", s.Name, key) }
	switch s.Auth.Type {
	case config.None:
		return nil, nil
	case config.Bearer:
		token, err := a.resolveSecret(what("token"), s.Auth.Token)
		if err != nil {
			return nil, err
		}
		return smart.StaticToken{AccessToken: smart.Secret(strings.TrimSpace(string(token)))}, nil
	}
	auth := &authorizer{
		server: s, scopes: scopes, http: client, log: log, now: a.sys.Now,
		discovery: &smart.Discovery{HTTP: client, Now: a.sys.Now, Log: log},
		keys:      keyring{app: a, server: s, folder: keyFolder(f.StateDir, s.Name)},
	}
	if s.Auth.Type == config.ClientSecret {
		secret, err := a.resolveSecret(what("secret"), s.Auth.Secret)
		if err != nil {
			return nil, err
		}
		auth.secret = smart.Secret(secret)
	}
	return auth, nil
}
