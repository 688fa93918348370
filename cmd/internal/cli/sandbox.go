package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/export/sandbox"
	"github.com/flue-fhir/flue/export/sandbox/population"
	"github.com/flue-fhir/flue/export/sandbox/store"
	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/smart/authserver"
)

// sandboxOptions are the switches of the sandbox.
type sandboxOptions struct {
	listen      string
	data        string // folder of NDJSON; empty means a synthetic population
	patients    int
	seed        uint64
	cache       string
	open        bool
	clients     []string // ID=JWKSFILE
	scopes      []string
	narrow      bool
	lifetime    time.Duration
	duration    time.Duration
	fileSize    sizeFlag
	page        int
	bandwidth   sizeFlag
	latency     time.Duration
	noGzip      bool
	noRange     bool
	admin       bool
	requestLog  string
	addressFile string
}

// sizeFlag is a number of bytes as jobs.yaml writes it.
type sizeFlag int64

func (s *sizeFlag) String() string {
	if *s == 0 {
		return ""
	}
	return fmt.Sprintf("%dB", int64(*s))
}
func (s *sizeFlag) Type() string { return "size" }
func (s *sizeFlag) Set(text string) error {
	n, err := config.ParseSize(text)
	if err != nil {
		return errors.New("write a number with its unit: 256KiB, 8MiB")
	}
	*s = sizeFlag(n)
	return nil
}

func (a *app) sandboxCommand() *cobra.Command {
	o := sandboxOptions{}
	var asJSON, generateOnly bool
	c := &cobra.Command{
		Use:     "sandbox",
		Short:   "Serve a FHIR server with bulk export to try jobs against",
		GroupID: "try",
		Long: `Serve a FHIR R4 server with SMART Backend Services, bulk export and paged search,
over a synthetic population or a folder of NDJSON files. It is for demonstrations and
tests: do not give it real patients' data.

A client is registered by its public key set: --client ID=FILE, where FILE is read again
when it changes and need not exist yet. Without --client, the client flue-demo is
registered with the key that flue makes for the server named sandbox of the configuration.`,
		Example: `  flue sandbox --patients 1000
  flue sandbox --data exports/ --open --listen 127.0.0.1:9090`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := cmp.Or(exclusive(c, "data", "patients"), exclusive(c, "data", "seed"), exclusive(c, "open", "client")); err != nil {
				return err
			}
			if generateOnly {
				dir, err := a.sandboxData(c.Context(), o)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(a.sys.Stdout, dir)
				return err
			}
			if !o.open && len(o.clients) == 0 {
				state, err := a.sandboxState()
				if err != nil {
					return err
				}
				o.clients = []string{demoClient + "=" + filepath.Join(keyFolder(state, demoServer), jwksFile)}
			}
			box, err := a.startSandbox(c.Context(), o)
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(a.sys.Stdout).Encode(map[string]string{"url": box.base})
			} else {
				_, err = fmt.Fprintln(a.sys.Stdout, box.base)
			}
			if err != nil {
				return errors.Join(err, box.stop())
			}
			if o.addressFile != "" {
				if err := os.WriteFile(o.addressFile, []byte(box.base+"\n"), 0o600); err != nil {
					return errors.Join(fmt.Errorf("write address: %w", err), box.stop())
				}
			}
			<-c.Context().Done()
			return box.stop()
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the base URL as a JSON object")
	c.Flags().BoolVar(&generateOnly, "generate-only", false, "make the population, print its folder and end")
	return c
}

// flags gives the command the flags of the options.
func (o *sandboxOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "address to listen on; port 0 takes a free one")
	f.StringVar(&o.data, "data", "", "folder of NDJSON files (.gz too) to serve instead of a synthetic population")
	f.IntVar(&o.patients, "patients", 500, "size of the synthetic population")
	f.Uint64Var(&o.seed, "seed", 1, "which population of that size")
	f.StringVar(&o.cache, "cache", "", "folder of populations and indexes (default: flue in the XDG cache folder)")
	f.BoolVar(&o.open, "open", false, "no authentication")
	f.StringArrayVar(&o.clients, "client", nil, "register a client: ID=JWKSFILE (repeatable)")
	f.StringSliceVar(&o.scopes, "scopes", nil, "scopes that clients may have (default: system/*.cruds)")
	f.BoolVar(&o.narrow, "narrow", false, "grant what is allowed of the scopes asked for, instead of refusing")
	f.DurationVar(&o.lifetime, "token-lifetime", 5*time.Minute, "lifetime of access tokens")
	f.DurationVar(&o.duration, "export-duration", 2*time.Second, "how long an export takes at least")
	f.Var(&o.fileSize, "file-size", "bytes of one export file (default 32MiB)")
	f.IntVar(&o.page, "manifest-page", 0, "files on one page of the manifest; 0 means all")
	f.Var(&o.bandwidth, "bandwidth", "bytes a second of one download")
	f.DurationVar(&o.latency, "latency", 0, "wait before each answer")
	f.BoolVar(&o.noGzip, "no-gzip", false, "never compress")
	f.BoolVar(&o.noRange, "no-range", false, "do not serve byte ranges")
	f.BoolVar(&o.admin, "admin", false, "mount /_sandbox/, which changes data and revokes tokens without a token")
	f.StringVar(&o.requestLog, "request-log", "", "append one JSON object for each request to this file")
	f.StringVar(&o.addressFile, "address-file", "", "write the base URL to this file once the server listens")
}

// The client and the server of jobs.yaml that the sandbox knows by default.
const (
	demoClient = "flue-demo"
	demoServer = "sandbox"
)

// sandboxState is the state folder of the configuration, if there is one.
func (a *app) sandboxState() (string, error) {
	f, err := a.load()
	if err != nil {
		return "", &usageError{message: "find the client's public key", err: err, hint: "register a client with --client ID=FILE, or serve without authentication: --open"}
	}
	return f.StateDir, nil
}

// runningSandbox is a sandbox that answers requests.
type runningSandbox struct {
	base string       // FHIR base URL
	stop func() error // ends it and waits
}

// startSandbox makes or opens the data and begins to serve. It returns when
// requests are answered; the caller stops it.
func (a *app) startSandbox(ctx context.Context, o sandboxOptions) (*runningSandbox, error) {
	o.cache = cmp.Or(o.cache, a.cacheFolder())
	log := slog.New(newTextHandler(a.sys.Stderr, slog.LevelWarn))
	if a.verbose {
		log = slog.New(newTextHandler(a.sys.Stderr, slog.LevelDebug))
	}
	dir, err := a.sandboxData(ctx, o)
	if err != nil {
		return nil, err
	}
	data, err := store.Open(ctx, store.Options{Dir: dir, Cache: o.cache, Log: log, Now: a.sys.Now})
	if err != nil {
		return nil, err
	}
	auth, err := o.auth(a, log)
	if err != nil {
		return nil, errors.Join(err, data.Close())
	}
	var requests io.WriteCloser
	if o.requestLog != "" {
		if requests, err = os.OpenFile(o.requestLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("open request log: %w", err), data.Close())
		}
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return nil, errors.Join(&usageError{message: "listen", err: err, hint: "choose another address with --listen; port 0 takes a free one"}, data.Close())
	}
	server := &sandbox.Server{
		Data: data, Auth: auth, ExportDuration: o.duration, FileSize: int64(o.fileSize), ManifestPage: o.page,
		Bandwidth: int64(o.bandwidth), Latency: o.latency, NoGzip: o.noGzip, NoRange: o.noRange,
		Admin: o.admin, Log: log, Now: a.sys.Now, Version: version(),
	}
	if requests != nil {
		server.RequestLog = requests
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- server.Serve(serving, listener) }()
	return &runningSandbox{
		base: "http://" + listener.Addr().String() + "/fhir",
		stop: func() error {
			cancel()
			err := errors.Join(<-done, data.Close())
			if requests != nil {
				err = errors.Join(err, requests.Close())
			}
			return err
		},
	}, nil
}

// sandboxData is the folder of resources to serve; a population that is not in
// the cache is made.
func (a *app) sandboxData(ctx context.Context, o sandboxOptions) (string, error) {
	cache := cmp.Or(o.cache, a.cacheFolder())
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", fmt.Errorf("make cache folder: %w", err)
	}
	if o.data != "" {
		if info, err := os.Stat(o.data); err != nil || !info.IsDir() {
			return "", &usageError{message: "--data: no such folder", err: err, hint: "name a folder of .ndjson or .ndjson.gz files"}
		}
		return o.data, nil
	}
	if o.patients < 1 {
		return "", &usageError{message: "--patients: it needs at least one", hint: "leave it out for a population of 500"}
	}
	return population.Population{Patients: o.patients, Seed: o.seed}.Dir(ctx, cache)
}

// auth makes the authorization server; nil for an open sandbox.
func (o sandboxOptions) auth(a *app, log *slog.Logger) (*authserver.Server, error) {
	if o.open {
		return nil, nil
	}
	s := &authserver.Server{TokenLifetime: o.lifetime, Scopes: o.scopes, Narrow: o.narrow, Now: a.sys.Now, Log: log}
	for _, text := range o.clients {
		id, file, ok := strings.Cut(text, "=")
		if !ok || id == "" || file == "" {
			return nil, &usageError{message: fmt.Sprintf("--client: %q is not ID=JWKSFILE", text), hint: "make the file with 'flue keys generate'"}
		}
		if err := s.Register(authserver.Client{ID: id, JWKSFile: file}); err != nil {
			return nil, &usageError{message: "--client", err: err}
		}
	}
	return s, nil
}

// cacheFolder is where the sandbox keeps populations and indexes.
func (a *app) cacheFolder() string {
	if dir, ok := a.sys.LookupEnv("XDG_CACHE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "flue")
	}
	if home, ok := a.sys.LookupEnv("HOME"); ok && home != "" {
		return filepath.Join(home, ".cache", "flue")
	}
	return filepath.Join(os.TempDir(), "flue-cache")
}
