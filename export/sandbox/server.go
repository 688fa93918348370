// Package sandbox is a FHIR R4 server for demonstrations, tests and benchmarks:
// SMART Backend Services, Bulk Data Access at the system, Patient and Group
// level, paged search and reads, over a folder of resources that it serves
// straight from its files. Fill in a Server and mount its Handler, or Serve it.
//
// It is strict: what the specifications let a server refuse, it refuses, so
// that a client which passes here has done nothing by luck. What goes wrong out
// there can be switched on: expiring links, throttling, faults. It shares no
// code with the clients, so that a mistake in the one cannot hide in the other,
// and it is not meant to guard real patients' data.
//
// Sources: Bulk Data Access 2.0.0 and 3.0.0 (export), SMART App Launch 2.2.0
// (backend services), FHIR R4 (http, search).
package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/flue-fhir/flue/export/sandbox/store"
	"github.com/flue-fhir/flue/smart/authserver"
)

// Server is the sandbox. Its fields are not to be changed after the first
// request, and its methods may be called by several goroutines at once. Data is
// required; everything else has a useful zero value. Close it when it is done.
type Server struct {
	// Data are the resources. The caller closes it after the Server.
	Data *store.Store
	// Auth issues and checks access tokens; nil makes an open server, whose
	// manifests say requiresAccessToken false.
	Auth *authserver.Server
	// Path of the FHIR base; empty means "/fhir".
	Path string
	// BaseURL of the FHIR base as clients see it; empty means that it is made of
	// each request's own scheme and host and of Path.
	BaseURL string

	// ExportDuration is how long an export stays 202 at least.
	ExportDuration time.Duration
	// RetryAfter is what a 202 asks for; 0 means 1 s. It is sent in whole seconds.
	RetryAfter time.Duration
	// MinPoll is the least time between two polls of an export: sooner is 429.
	MinPoll time.Duration
	// FileSize bounds a file's bytes; 0 means 32 MiB. FileLines bounds its lines; 0
	// is no limit.
	FileSize  int64
	FileLines int
	// ManifestPage is how many output files a manifest lists before it links to the
	// next; 0 lists all.
	ManifestPage int
	// JobExpiry is how long a complete export is kept; 0 is as long as the Server.
	JobExpiry time.Duration
	// FileExpiry is how long a manifest's links work, 0 for ever. With it every
	// manifest has links of its own.
	FileExpiry time.Duration
	// MaxJobs bounds a client's exports that are running: more is 429; 0 means 16.
	MaxJobs int
	// OpenFiles serves files by signed links: requiresAccessToken is false, and a
	// request that sends a token with the signature is refused.
	OpenFiles bool
	// NoGzip and NoRange leave out gzip coding and byte ranges.
	NoGzip  bool
	NoRange bool

	// PageSize is the number of matches on a search page without _count, 0 means
	// 100; MaxPageSize bounds _count, 0 means 1,000. PageExpiry is how long a next
	// link works: after it the answer is 410; 0 means an hour.
	PageSize    int
	MaxPageSize int
	PageExpiry  time.Duration
	// MaxURL bounds the bytes of a request's target: more is 414; 0 is no limit.
	MaxURL int

	// Latency is waited before each answer, Bandwidth bounds a file's bytes a
	// second; 0 is none.
	Latency   time.Duration
	Bandwidth int64

	// Temp is where exports keep their files; empty means a folder beside the
	// index.
	Temp string
	// RequestLog receives one JSON object a line for each request; may be nil.
	RequestLog io.Writer
	// Log receives what a person running the server wants to know; nil discards.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Version of the software in the CapabilityStatement.
	Version string

	// Admin mounts /_sandbox/, which needs no token.
	Admin bool
	// Fault may return what shall go wrong with a request; may be nil.
	Fault func(*http.Request) *Fault
	// EditManifest may change a manifest before it is sent; may be nil.
	EditManifest func(*Manifest)

	once    sync.Once
	failed  error
	temp    string // owned
	secret  []byte
	cancel  context.CancelFunc
	running context.Context
	work    sync.WaitGroup
	jobs    jobs
	pages   pages
	zipped  zipper
	record  requestLog
	rules   FaultRules
}

// start makes what the first request needs.
func (s *Server) start() error {
	s.once.Do(func() {
		s.running, s.cancel = context.WithCancel(context.Background())
		s.secret = make([]byte, 32)
		_, _ = rand.Read(s.secret) // never fails
		s.record.out = s.RequestLog
		if s.Data == nil {
			s.failed = errors.New("start sandbox: it has no data")
			return
		}
		parent := s.Temp
		if parent == "" {
			parent = s.Data.Dir()
			sweep(parent, s.now())
		}
		if s.temp, s.failed = os.MkdirTemp(parent, tempPrefix); s.failed != nil {
			s.failed = fmt.Errorf("start sandbox: %w", s.failed)
		}
	})
	return s.failed
}

const tempPrefix = "exports-"

// sweep removes the folders of servers that were killed a week ago.
func sweep(parent string, now time.Time) {
	old, err := filepath.Glob(filepath.Join(parent, tempPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range old {
		if info, err := os.Stat(dir); err == nil && now.Sub(info.ModTime()) > 7*24*time.Hour {
			_ = os.RemoveAll(dir) // tried again at the next start
		}
	}
}

// Close ends the exports that are running, waits for them and removes their
// files.
func (s *Server) Close() error {
	if s.start() != nil && s.temp == "" {
		return nil
	}
	s.jobs.mu.Lock() // no export begins after this
	s.cancel()
	s.jobs.mu.Unlock()
	s.work.Wait()
	if err := os.RemoveAll(s.temp); err != nil {
		return fmt.Errorf("close sandbox: %w", err)
	}
	return nil
}

// Serve answers requests on the listener until ctx is done, and then closes the
// listener and the Server. Requests in flight have two seconds to end.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	if err := s.start(); err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(s.log().Handler(), slog.LevelDebug)}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close() // cuts what is still in flight
		}
		err = <-done
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, s.Close())
}

func (s *Server) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Server) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.New(slog.DiscardHandler)
}

func (s *Server) path() string {
	if s.Path == "" {
		return "/fhir"
	}
	return "/" + strings.Trim(s.Path, "/")
}

// base is the FHIR base URL as the client of the request sees it, without a
// trailing slash.
func (s *Server) base(r *http.Request) string {
	if s.BaseURL != "" {
		return strings.TrimSuffix(s.BaseURL, "/")
	}
	return origin(r) + strings.TrimSuffix(s.path(), "/")
}

func origin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// orElse is v, or what its zero value means.
func orElse[T comparable](v, meaning T) T {
	var zero T
	if v == zero {
		return meaning
	}
	return v
}

// randomID is a name that cannot be guessed.
func randomID() string {
	raw := make([]byte, 16)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}
