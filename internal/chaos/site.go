package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/flue-fhir/flue/export/sandbox"
	"github.com/flue-fhir/flue/export/sandbox/population"
	"github.com/flue-fhir/flue/export/sandbox/store"
	"github.com/flue-fhir/flue/smart/authserver"
)

const (
	jobName    = "nightly"
	clientName = "flue-chaos"
)

// site is one job, its folder and its server.
type site struct {
	o     options
	s     scenario
	dir   string // where flue runs
	state string
	spool string
	out   string // destination
	temp  string // TMPDIR of flue
	data  string // folder of the resources
	limit time.Duration

	auth        *authserver.Server
	sandbox     *sandbox.Server
	injector    *injector // nil without faults
	secrets     *secrets
	kickoffs    kickoffs
	disk        *disk
	host        string // host:port of the server
	otherOrigin string
	stop        func() error

	mu         sync.Mutex
	process    *os.Process
	killed     bool
	tries      int
	violations []string
	gone       []string // ids of deleted resources
	noDisk     bool
}

// environment is that of the processes.
func (s *site) environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TMPDIR=" + s.temp, "TZ=UTC"}
}

// violate records something that must not be.
func (s *site) violate(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violations = append(s.violations, text)
}

// newSite makes the folder and starts the server. The caller closes it.
func newSite(ctx context.Context, o options, s scenario, dir string) (_ *site, err error) {
	t := &site{
		o: o, s: s, dir: dir, limit: tryLimit, secrets: newSecrets(),
		state: filepath.Join(dir, "state"), spool: filepath.Join(dir, "spool"), out: filepath.Join(dir, "out"), temp: filepath.Join(dir, "tmp"),
	}
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.MkdirAll(t.temp, 0o700)); err != nil {
		return nil, err
	}
	if err := t.mountDisk(); err != nil {
		return nil, err
	}
	if t.data, err = (population.Population{Patients: s.Patients, Seed: 1}).Dir(ctx, filepath.Join(o.dir, "cache")); err != nil {
		return nil, err
	}
	if err := t.serve(ctx); err != nil {
		return nil, errors.Join(err, t.disk.close())
	}
	if err := os.WriteFile(filepath.Join(dir, "jobs.yaml"), []byte(t.config()), 0o600); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// mountDisk gives a part of the site a disk of its own where the scenario fills
// one. Without the right to mount there is none, and the fault is skipped.
func (s *site) mountDisk() (err error) {
	for _, f := range s.s.Faults {
		if f.On != onDisk || s.disk != nil {
			continue
		}
		switch f.How {
		case "destination":
			s.out = filepath.Join(s.dir, "disk", "out")
		case "spool":
			s.spool = filepath.Join(s.dir, "disk", "spool")
		default:
			s.out, s.spool, s.state = filepath.Join(s.dir, "disk", "out"), filepath.Join(s.dir, "disk", "spool"), filepath.Join(s.dir, "disk", "state")
		}
		if s.disk, err = newDisk(filepath.Join(s.dir, "disk")); err != nil {
			s.disk, s.noDisk = nil, true
		}
	}
	return nil
}

// serve starts the sandbox behind its listeners.
func (s *site) serve(ctx context.Context) error {
	data, err := store.Open(ctx, store.Options{Dir: s.data, Cache: filepath.Join(s.o.dir, "cache")})
	if err != nil {
		return err
	}
	s.auth = &authserver.Server{}
	if err := s.auth.Register(authserver.Client{ID: clientName, JWKSFile: filepath.Join(s.o.dir, "keys", "jwks.json")}); err != nil {
		return errors.Join(err, data.Close())
	}
	s.sandbox = &sandbox.Server{
		Data: data, Auth: s.auth, ExportDuration: s.s.Export, FileSize: s.s.FileSize, ManifestPage: s.s.ManifestPage,
		PageSize: s.s.PageSize, MaxPageSize: s.s.PageSize, NoGzip: s.s.NoGzip, NoRange: s.s.NoRange,
	}
	s.injector = newInjector(s, s.sandbox.Handler(), s.s.Faults)
	main, err := listen(s.injector, nil)
	if err != nil {
		return errors.Join(err, data.Close())
	}
	other, err := listen(http.HandlerFunc(s.injector.away), nil)
	if err != nil {
		return errors.Join(err, main.stop(), data.Close())
	}
	s.host, s.otherOrigin = main.addr, "http://"+other.addr
	s.stop = func() error { return errors.Join(main.stop(), other.stop(), s.sandbox.Close(), data.Close()) }
	return nil
}

// skew sets the server's clock off by d.
func (s *site) skew(d time.Duration) { s.auth.SetFaults(authserver.Faults{Skew: d}) }

// close stops the server. The folder stays.
func (s *site) close() error { return errors.Join(s.stop(), s.disk.close()) }

// listener is a server on a port of its own.
type listener struct {
	addr string
	stop func() error
}

// listen serves on a free port; wrap, which may be nil, gets every connection.
func listen(h http.Handler, wrap func(net.Conn) net.Conn) (*listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if wrap != nil {
		l = &wrapping{l, wrap}
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	return &listener{addr: l.Addr().String(), stop: func() error {
		err := server.Close()
		if serr := <-done; !errors.Is(serr, http.ErrServerClosed) {
			err = errors.Join(err, serr)
		}
		return err
	}}, nil
}

// wrapping is a listener whose connections are wrapped.
type wrapping struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (w *wrapping) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return w.wrap(c), nil
}

// config is the site's jobs.yaml.
func (s *site) config() string {
	sc := s.s
	export := fmt.Sprintf("{mode: bulk, types: [%s], since: last}", strings.Join(sc.Types, ", "))
	if sc.Mode == search {
		export = fmt.Sprintf("{mode: search, types: [%s], since: last, count: %d}", strings.Join(sc.Types, ", "), sc.PageSize)
	}
	return fmt.Sprintf(`version: 1
state_dir: %s
spool_dir: %s
servers:
  sandbox:
    url: http://%s/fhir
    auth: {type: smart, client_id: %s, key: "file:%s"}
    limits: {downloads: %d, poll_min: 50ms, poll_max: 400ms, stall: 1500ms}
jobs:
  %s:
    server: sandbox
    export: %s
    sinks: [{type: ndjson, compression: %s}, {type: parquet}]
    destination: {path: %s}
    policies: {max_bad_lines: %d, on_count_mismatch: %s, min_free_disk: 1MiB}
`, s.state, s.spool, s.host, clientName, filepath.Join(s.o.dir, "keys", "private_key.pem"), sc.Downloads, jobName, export,
		sc.Compression, s.out, sc.MaxBadLines, sc.OnMismatch)
}
