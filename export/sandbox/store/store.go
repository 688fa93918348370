// Package store keeps the sandbox's resources: a folder of NDJSON files as it
// is, beside it an index of where each resource lies, and the changes made
// since. Open a Store, and read it through a View, which never changes.
//
// Neither lines nor index are held in memory, so that a folder of millions of
// resources costs a few megabytes. Lines are given out byte for byte as they
// stand in the files, valid JSON or not.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"
)

// indexVersion changes whenever an index on disk would be written differently.
const indexVersion = 1

// Options say where the resources are.
type Options struct {
	// Dir holds *.ndjson and *.ndjson.gz files (also *.jsonl), of any types in
	// any mixture. It is only read.
	Dir string
	// Cache holds the index, unpacked and split files; required.
	Cache string
	// Workers index at the same time; 0 means one a CPU.
	Workers int
	// Log is told of files and lines that cannot be indexed; nil discards.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Store is an opened folder of resources. Its methods may be called by several
// goroutines at once.
type Store struct {
	dir   string // of the index
	types map[string]*table
	now   func() time.Time

	mu   sync.Mutex
	view *View
	last time.Time // latest instant that was given out
}

// segment is a file that holds resources of one type.
type segment struct {
	Path string `json:"path"` // absolute, or relative to the index folder
	Size int64  `json:"size"`
	Rows uint32 `json:"rows"`
}

// catalog is the index folder's table of contents.
type catalog struct {
	Version int                  `json:"version"`
	Types   map[string][]segment `json:"types"`
	Bad     int64                `json:"bad"` // lines without a type, not served
}

// table is the base index of one type.
type table struct {
	name     string
	segments []segment
	first    []uint32 // first row of each segment
	rows     *recordFile
	ids      *recordFile
	refs     *recordFile
	members  *Rows // rows in any patient's compartment; nil when all are
}

// Open opens the folder, and indexes it where the cache has no index of its
// present files.
func Open(ctx context.Context, opt Options) (*Store, error) {
	if opt.Workers <= 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Cache == "" {
		return nil, errors.New("open resources: no cache folder is given")
	}
	dir, err := filepath.Abs(opt.Dir)
	if err != nil {
		return nil, fmt.Errorf("open resources: %w", err)
	}
	sources, key, err := list(dir)
	if err != nil {
		return nil, fmt.Errorf("open resources: %w", err)
	}
	if err := os.MkdirAll(opt.Cache, 0o700); err != nil {
		return nil, fmt.Errorf("create cache folder: %w", err)
	}
	index := filepath.Join(opt.Cache, "index-"+key)
	if _, err := os.Stat(filepath.Join(index, "catalog.json")); err != nil {
		if err := build(ctx, opt, sources, index); err != nil {
			return nil, fmt.Errorf("index resources: %w", err)
		}
	}
	s := &Store{dir: index, now: opt.Now, types: map[string]*table{}}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("load index: %w", err), s.Close())
	}
	s.view = &View{store: s, types: map[string]*layer{}}
	for name, t := range s.types {
		s.view.types[name] = &layer{base: t}
	}
	return s, nil
}

// source is a file of the folder.
type source struct {
	path    string
	size    int64
	changed time.Time
}

// list finds the folder's files in the order of their names, and a key that
// changes with any of them.
func list(dir string) ([]source, string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, indexVersion, dir)
	var out []source
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".gz")
		if !strings.HasSuffix(name, ".ndjson") && !strings.HasSuffix(name, ".jsonl") {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, "", err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		out = append(out, source{filepath.Join(dir, e.Name()), info.Size(), info.ModTime()})
		fmt.Fprintln(sum, e.Name(), info.Size(), info.ModTime().UnixNano())
	}
	if len(out) == 0 {
		return nil, "", errors.New("the folder holds no .ndjson file")
	}
	return out, hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

// load opens the index's files.
func (s *Store) load() error {
	data, err := os.ReadFile(filepath.Join(s.dir, "catalog.json"))
	if err != nil {
		return err
	}
	var c catalog
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("read catalog: %w", err)
	}
	for name, segments := range c.Types {
		t := &table{name: name, segments: segments}
		s.types[name] = t
		next := uint32(0)
		for i := range t.segments {
			if p := t.segments[i].Path; !filepath.IsAbs(p) {
				t.segments[i].Path = filepath.Join(s.dir, p)
			}
			t.first = append(t.first, next)
			next += t.segments[i].Rows
		}
		if t.rows, err = openRecords(filepath.Join(s.dir, name+".rows"), rowSize); err != nil {
			return err
		}
		if t.ids, err = openRecords(filepath.Join(s.dir, name+".ids"), keySize); err != nil {
			return err
		}
		if t.refs, err = openRecords(filepath.Join(s.dir, name+".refs"), keySize); err != nil {
			return err
		}
		if t.members, err = readRows(filepath.Join(s.dir, name+".members")); err != nil {
			return err
		}
		if t.rows.n != int(next) {
			return fmt.Errorf("%s: the index has %d rows, its catalog %d", name, t.rows.n, next)
		}
	}
	return nil
}

// Close closes the index's files. No view may be read afterwards.
func (s *Store) Close() error {
	var errs []error
	for _, t := range s.types {
		errs = append(errs, t.rows.close(), t.ids.close(), t.refs.close())
	}
	return errors.Join(errs...)
}

// Dir is the folder of the index. Whoever derives files from the resources may
// keep them in a folder of its own below it.
func (s *Store) Dir() string { return s.dir }

// View returns the resources as they are now.
func (s *Store) View() *View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

// Snapshot returns the resources as they are now together with an instant that
// lies after every change in the view and before every later one.
func (s *Store) Snapshot() (*View, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view, s.tick()
}

// tick returns the present, in milliseconds, moved on so that no instant is
// given out twice. The caller holds mu.
func (s *Store) tick() time.Time {
	now := s.now().UTC().Truncate(time.Millisecond)
	if !now.After(s.last) {
		now = s.last.Add(time.Millisecond)
	}
	s.last = now
	return now
}

// Types returns the types that have resources, sorted.
func (v *View) Types() []string {
	var out []string
	for name, l := range v.types {
		if l.live() > 0 {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}
