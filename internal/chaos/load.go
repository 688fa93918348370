package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/flue-fhir/flue/export/sandbox"
	"github.com/flue-fhir/flue/export/sandbox/store"
	"github.com/flue-fhir/flue/smart/authserver"
)

// loadType is the type of the resources of a load.
const loadType = "Observation"

// load is a large export of plain resources: how it is cut into files, and what
// becomes of its connections.
type load struct {
	name      string
	resources int
	padding   int   // bytes of text in each resource
	fileLines int   // resources in a file
	fileSize  int64 // bytes of a file, when fileLines is 0
	cut       int64 // bytes after which a connection is cut; 0 for never
}

// figures are what a load cost.
type figures struct {
	wall      time.Duration
	cpu       time.Duration
	peak      int64
	files     int   // of the export
	bodies    int64 // bytes of all of them
	fetched   int64 // bytes that flue read
	sent      int64 // bytes that the server wrote
	cuts      int64
	parquet   int   // files
	ledger    int64 // bytes
	manifest  int64 // bytes
	landing   time.Duration
	published time.Duration
}

// resource writes the n-th resource of a load.
func (l load) resource(w *bufio.Writer, n int, padding string) error {
	_, err := fmt.Fprintf(w, `{"resourceType":"Observation","id":"o-%d","meta":{"lastUpdated":"2024-05-01T08:00:00.000Z"},"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"%d-4"}],"text":%q},"subject":{"reference":"Patient/p-%d"},"effectiveDateTime":"2023-%02d-%02dT10:00:00Z","valueQuantity":{"value":%d.%d,"unit":"mmol/L"}}`+"\n",
		n, n%500, padding[n%97:n%97+l.padding], n/50, n%12+1, n%28+1, n%200, n%10)
	return err
}

// write makes the load's data below the folder.
func (l load) write(dir string) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, loadType+".ndjson"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	padding := make([]byte, l.padding+100)
	for i := range padding {
		padding[i] = "abcdefghij klmnopqrstuvwxyz0123456789"[i*i%37]
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for n := range l.resources {
		if err := l.resource(w, n, string(padding)); err != nil {
			return err
		}
	}
	return w.Flush()
}

// run exports the load with the real binary.
func (l load) run(ctx context.Context, o options, data string) (f figures, err error) {
	dir := filepath.Join(o.dir, l.name)
	if err := os.RemoveAll(dir); err != nil {
		return f, err
	}
	s := &site{o: o, dir: dir, limit: 4 * time.Hour, state: filepath.Join(dir, "state"), out: filepath.Join(dir, "out"), spool: filepath.Join(dir, "spool"), temp: filepath.Join(dir, "tmp")}
	if err := os.MkdirAll(s.temp, 0o700); err != nil {
		return f, err
	}
	server, err := l.serve(ctx, o, data)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	jobs := fmt.Sprintf(`version: 1
state_dir: state
spool_dir: spool
servers:
  sandbox:
    url: http://%s/fhir
    auth: {type: smart, client_id: %s, key: "file:%s"}
    limits: {downloads: 4, poll_min: 100ms}
jobs:
  %s:
    server: sandbox
    export: {mode: bulk, types: [%s]}
    sinks: [{type: ndjson, compression: gzip}, {type: parquet}]
    destination: {path: out}
`, server.addr, clientName, filepath.Join(o.dir, "keys", "private_key.pem"), jobName, loadType)
	if err := os.WriteFile(filepath.Join(dir, "jobs.yaml"), []byte(jobs), 0o600); err != nil {
		return f, err
	}
	t, err := s.runOnce(ctx)
	if err != nil {
		return f, err
	}
	if t.Code != 0 {
		return f, fmt.Errorf("flue ended with exit code %d: %s", t.Code, t.Summary)
	}
	f.wall, f.cpu, f.peak = t.Took, t.cpu, t.peak
	f.landing, f.published = t.events["landing"], t.events["converting"]
	f.bodies, f.files, f.cuts = server.bodies.Load(), int(server.files.Load()), server.cuts.Load()
	f.sent = server.sent.Load()
	latest := filepath.Join(s.out, jobName, "latest")
	m, err := readManifest(latest)
	if err != nil {
		return f, err
	}
	f.fetched = m.Stats.BytesRead
	for _, file := range m.Files {
		if filepath.Ext(file.Path) == ".parquet" {
			f.parquet++
		}
	}
	if info, err := os.Stat(filepath.Join(latest, "manifest.json")); err == nil {
		f.manifest = info.Size()
	}
	if info, err := os.Stat(filepath.Join(s.state, "ledger.db")); err == nil {
		f.ledger = info.Size()
	}
	return f, l.check(latest)
}

// check wants every resource once in each format.
func (l load) check(latest string) error {
	m, err := readManifest(latest)
	if err != nil {
		return err
	}
	seen := map[string][]bool{"ndjson": make([]bool, l.resources), "parquet": make([]bool, l.resources)}
	total := map[string]int{}
	for _, f := range m.Files {
		format := filepath.Base(filepath.Dir(filepath.Dir(f.Path)))
		path := filepath.Join(latest, f.Path)
		each := func(line []byte) error {
			var r struct{ ID string }
			if err := json.Unmarshal(line, &r); err != nil {
				return err
			}
			var n int
			if _, err := fmt.Sscanf(r.ID, "o-%d", &n); err != nil || n < 0 || n >= l.resources || seen[format][n] {
				return errors.New("a resource is foreign or there twice")
			}
			seen[format][n] = true
			total[format]++
			return nil
		}
		switch {
		case filepath.Base(f.Path) == "_schema.json", f.Path == exportLog:
		case format == "ndjson":
			_, err = eachResource(path, each)
		case format == "parquet":
			_, err = eachRow(path, each)
		default:
			err = errors.New("it is not expected")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	for format, n := range total {
		if n != l.resources {
			return fmt.Errorf("%s has %d resources of %d", format, n, l.resources)
		}
	}
	if len(total) != 2 {
		return errors.New("a format is missing")
	}
	return nil
}

// loadServer is the server of a load.
type loadServer struct {
	addr   string
	stop   func() error
	files  atomic.Int64 // of the export
	bodies atomic.Int64 // bytes of them
	sent   atomic.Int64 // bytes of bodies that were written
	cuts   atomic.Int64
}

// serve starts a server whose connections are cut.
func (l load) serve(ctx context.Context, o options, data string) (*loadServer, error) {
	resources, err := store.Open(ctx, store.Options{Dir: data, Cache: filepath.Join(o.dir, "cache")})
	if err != nil {
		return nil, err
	}
	auth := &authserver.Server{}
	if err := auth.Register(authserver.Client{ID: clientName, JWKSFile: filepath.Join(o.dir, "keys", "jwks.json")}); err != nil {
		return nil, errors.Join(err, resources.Close())
	}
	box := &sandbox.Server{Data: resources, Auth: auth, ExportDuration: 100 * time.Millisecond, FileLines: l.fileLines, FileSize: l.fileSize, NoGzip: true}
	s := &loadServer{}
	box.EditManifest = func(m *sandbox.Manifest) { s.files.Store(int64(len(m.Output))) }
	info, err := os.Stat(filepath.Join(data, loadType+".ndjson"))
	if err != nil {
		return nil, errors.Join(err, resources.Close())
	}
	s.bodies.Store(info.Size())
	handler := box.Handler()
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if patternOf(r) == onFile {
			w = &countedBody{w, &s.sent}
		}
		handler.ServeHTTP(w, r)
	})
	main, err := listen(counted, func(c net.Conn) net.Conn {
		if l.cut == 0 {
			return c
		}
		return &cutConn{Conn: c, left: l.cut, cuts: &s.cuts}
	})
	if err != nil {
		return nil, errors.Join(err, resources.Close())
	}
	s.addr = main.addr
	s.stop = func() error { return errors.Join(main.stop(), box.Close(), resources.Close()) }
	return s, nil
}

// countedBody counts what is written of a body.
type countedBody struct {
	http.ResponseWriter
	n *atomic.Int64
}

// Unwrap is for http.ResponseController.
func (c *countedBody) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *countedBody) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// cutConn is a connection that is reset after so many bytes.
type cutConn struct {
	net.Conn
	left int64
	cuts *atomic.Int64
}

var errConnCut = errors.New("the connection was cut")

func (c *cutConn) Write(p []byte) (int, error) {
	if int64(len(p)) < c.left {
		n, err := c.Conn.Write(p)
		c.left -= int64(n)
		return n, err
	}
	n, _ := c.Conn.Write(p[:c.left])
	c.left = 0
	c.cuts.Add(1)
	// Orderly, so that what was sent arrives, as when a proxy's patience ends.
	return n, errors.Join(errConnCut, c.Conn.Close())
}
