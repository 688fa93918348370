package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/smart"
)

// serveOptions are the switches of jwks serve.
type serveOptions struct {
	listen, cert, key string
	file, kid         string
	maxAge            time.Duration
	addressFile       string
	asJSON            bool
}

func (a *app) jwksServeCommand() *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve [SERVER...]",
		Short: "Serve public key sets, for registration by URL",
		Long: `Serve the public keys of servers of the configuration, or of a key file, as JWK Sets
with Cache-Control and ETag. The key files are read again when they change, so that a
rotation is published at once.

One set is served as /jwks.json and /.well-known/jwks.json; each server of the
configuration has /SERVER/jwks.json. FHIR servers fetch sets over https alone: give a
certificate (read again when it is renewed), or put a proxy with TLS in front. The URLs
are printed once requests are answered; an interrupt ends the command when the answers
under way are done.`,
		Example: `  flue jwks serve hospital --listen :8443 --tls-cert cert.pem --tls-key key.pem
  flue jwks serve --key private_key.pem --listen 127.0.0.1:8081`,
		ValidArgsFunction: a.completeServers,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case (o.cert == "") != (o.key == ""):
				return &usageError{message: "--tls-cert and --tls-key belong together", hint: "give both"}
			case o.maxAge < time.Second || o.maxAge > 366*24*time.Hour:
				return &usageError{message: "--max-age is not between 1 s and a year"}
			}
			mux, paths, err := a.jwksMux(args, o)
			if err != nil {
				return err
			}
			return a.serveJWKS(c.Context(), o, mux, paths)
		},
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8081", "address to listen on; port 0 takes a free one")
	f.StringVar(&o.cert, "tls-cert", "", "PEM file of the certificate chain")
	f.StringVar(&o.key, "tls-key", "", "PEM file of its private key")
	f.DurationVar(&o.maxAge, "max-age", 5*time.Minute, "how long servers may keep a set; a rotation waits at least as long")
	f.StringVar(&o.file, "key", "", "private key file instead of servers' keys")
	f.StringVar(&o.kid, "kid", "", "kid of the key in a PEM file (default: its thumbprint)")
	f.StringVar(&o.addressFile, "address-file", "", "write the first URL to this file once requests are answered")
	f.BoolVar(&o.asJSON, "json", false, "print the URLs as one JSON object")
	return c
}

// jwksMux mounts the sets. Every source is read once, so that a mistake is told
// before anything is served.
func (a *app) jwksMux(names []string, o serveOptions) (*http.ServeMux, []string, error) {
	mux, paths := http.NewServeMux(), []string{}
	mount := func(read func() (smart.Keys, error), at ...string) {
		h := &smart.JWKSHandler{MaxAge: o.maxAge, Log: a.logger(), Keys: func() (smart.JWKS, error) {
			keys, err := read()
			return keys.Published(a.sys.Now()).JWKS(), err
		}}
		for _, path := range at {
			mux.Handle(path, h)
		}
		paths = append(paths, at[0])
	}
	alone := []string{"/jwks.json", "/.well-known/jwks.json"}
	if o.file != "" {
		if len(names) > 0 {
			return nil, nil, &usageError{message: "--key names a file, and " + names[0] + " a server", hint: "give one of them"}
		}
		read := fileKeys(o.file, o.kid)
		if _, err := read(); err != nil {
			return nil, nil, err
		}
		mount(read, alone...)
		return mux, paths, nil
	}
	f, err := a.load()
	if err != nil {
		return nil, nil, a.orKeyFile(err)
	}
	if len(names) == 0 {
		for _, name := range serverNames(f) {
			if f.Servers[name].Auth.Type == config.SMART {
				names = append(names, name)
			}
		}
		if names == nil {
			return nil, nil, &usageError{message: "no server of the configuration has a key", hint: "name a key file: --key"}
		}
	}
	names = unique(names)
	for _, name := range names {
		s, err := a.serverNamed(f, name)
		if err != nil {
			return nil, nil, err
		}
		read, err := a.ring(f, s).public()
		if err == nil {
			_, err = read()
		}
		if err != nil {
			return nil, nil, err
		}
		at := []string{"/" + s.Name + "/jwks.json"}
		if len(names) == 1 {
			at = append(alone, at...)
		}
		mount(read, at...)
	}
	return mux, paths, nil
}

// serveJWKS serves until ctx ends, then waits for the answers under way.
func (a *app) serveJWKS(ctx context.Context, o serveOptions, mux *http.ServeMux, paths []string) error {
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(a.logHandler(a.sys.Stderr), slog.LevelDebug),
	}
	scheme := "http"
	if o.cert != "" {
		cert := &certFile{cert: o.cert, key: o.key}
		if _, err := cert.get(nil); err != nil {
			return &usageError{message: "--tls-cert", err: err, hint: "both must be PEM files that belong together"}
		}
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
		scheme = "https"
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return &usageError{message: "listen", err: err, hint: "choose another address with --listen; port 0 takes a free one"}
	}
	if host, _, err := net.SplitHostPort(listener.Addr().String()); err == nil && scheme == "http" && !loopback(host) {
		a.logger().Warn("plain http on an address of the network: FHIR servers fetch key sets over https alone, and whoever changes the answer on its way can register a key of their own")
	}
	if host, _, err := net.SplitHostPort(listener.Addr().String()); err == nil && net.ParseIP(host).IsUnspecified() {
		a.say("%s stands for every address of this machine: register the URL with the host name that FHIR servers reach it by", host)
	}
	urls := make([]string, len(paths))
	for i, path := range paths {
		urls[i] = scheme + "://" + listener.Addr().String() + path
	}
	served := make(chan error, 1)
	go func() {
		if server.TLSConfig != nil {
			served <- server.ServeTLS(listener, "", "")
			return
		}
		served <- server.Serve(listener)
	}()
	if err := a.tellServed(o, urls); err != nil {
		return errors.Join(err, server.Close(), ignoreClosed(<-served))
	}
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = server.Shutdown(ending)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	return errors.Join(err, ignoreClosed(<-served))
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// tellServed prints where the sets are.
func (a *app) tellServed(o serveOptions, urls []string) error {
	if o.addressFile != "" {
		if err := os.WriteFile(o.addressFile, []byte(urls[0]+"\n"), 0o600); err != nil {
			return fmt.Errorf("write address: %w", err)
		}
	}
	if o.asJSON {
		return a.printJSON(map[string][]string{"urls": urls})
	}
	for _, u := range urls {
		if _, err := fmt.Fprintln(a.sys.Stdout, u); err != nil {
			return err
		}
	}
	return nil
}

// certFile is a certificate that is read again when its file changes, so that a
// renewed one needs no restart.
type certFile struct {
	cert, key string

	mu   sync.Mutex
	read time.Time // modification time of what was read
	have *tls.Certificate
}

func (c *certFile) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.cert)
	if err == nil && c.have != nil && info.ModTime().Equal(c.read) {
		return c.have, nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		if c.have != nil { // half renewed: the old one is better than none
			return c.have, nil
		}
		return nil, err
	}
	c.have = &pair
	if info != nil {
		c.read = info.ModTime()
	}
	return c.have, nil
}
