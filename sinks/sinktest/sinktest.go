// Package sinktest has the suites that every sink and every store passes:
// TestSink and TestStore. Staging and Part are what a sink is tested with, also
// by its own tests.
package sinktest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/flue-fhir/flue/sinks"
)

// Part is a sinks.Part made of lines.
type Part struct {
	Data []byte  // decoded NDJSON
	Skip []int64 // numbers of the lines that are not published, rising
	Rows int64   // lines that are published
	// RawData is what the server sent, in the encoding RawEncoding; nil when the
	// part cannot be published as it was sent.
	RawData     []byte
	RawEncoding string
	// OpenErr fails Open, ReadErr ends reading after half of the data.
	OpenErr, ReadErr error
}

// NewPart makes a part of lines, of which those with the numbers in skip are
// not published.
func NewPart(lines []string, skip ...int64) *Part {
	var data []byte
	for _, l := range lines {
		data = append(append(data, l...), '\n')
	}
	return &Part{Data: data, Skip: skip, Rows: int64(len(lines) - len(skip))}
}

// Open implements sinks.Part.
func (p *Part) Open() (io.ReadCloser, error) {
	if p.OpenErr != nil {
		return nil, p.OpenErr
	}
	if p.ReadErr != nil {
		return io.NopCloser(io.MultiReader(bytes.NewReader(p.Data[:len(p.Data)/2]), failingReader{p.ReadErr})), nil
	}
	return io.NopCloser(bytes.NewReader(p.Data)), nil
}

// Lines implements sinks.Part.
func (p *Part) Lines() int64 { return p.Rows }

// Bytes implements sinks.Part.
func (p *Part) Bytes() int64 { return int64(len(p.Data)) }

// Skips implements sinks.Part.
func (p *Part) Skips() func(yield func(line int64) bool) {
	if len(p.Skip) == 0 {
		return nil
	}
	return iter.Seq[int64](slices.Values(p.Skip))
}

// Raw implements sinks.Part.
func (p *Part) Raw() (open func() (io.ReadCloser, error), encoding string, ok bool) {
	if p.RawData == nil {
		return nil, "", false
	}
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p.RawData)), p.OpenErr }, p.RawEncoding, true
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// ErrInjected is the error of a Staging that was told to fail.
var ErrInjected = errors.New("injected fault")

// Staging is a sinks.Staging in memory that watches how it is used.
type Staging struct {
	// FailAt is the number of the Create, Write or Commit, counted together from
	// 1, that fails with ErrInjected, and every one after it; 0 never fails.
	FailAt int

	mu     sync.Mutex
	files  map[string][]byte
	open   int
	steps  int
	misuse []string
}

// Create implements sinks.Staging.
func (s *Staging) Create(ctx context.Context, path string) (sinks.FileWriter, error) {
	if err := s.step(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files = map[string][]byte{}
	}
	s.open++
	return &writer{staging: s, path: path}, nil
}

// Remove implements sinks.Staging.
func (s *Staging) Remove(_ context.Context, path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.files {
		if name == path || strings.HasPrefix(name, path+"/") {
			delete(s.files, name)
		}
	}
	return nil
}

// Publish implements sinks.Staging.
func (s *Staging) Publish(context.Context, *sinks.Manifest) (string, error) {
	return "", errors.ErrUnsupported
}

// Discard implements sinks.Staging.
func (s *Staging) Discard(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.files)
	return nil
}

// Files returns the paths of the committed files, sorted.
func (s *Staging) Files() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var paths []string
	for path := range s.files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// Data returns the content of a committed file.
func (s *Staging) Data(path string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[path]
}

// Steps is how many steps FailAt could have named.
func (s *Staging) Steps() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.steps
}

// Faults tells what the sink did wrong: writers left open, used after their
// end, or committed after a failed write.
func (s *Staging) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	faults := slices.Clone(s.misuse)
	if s.open != 0 {
		faults = append(faults, fmt.Sprintf("%d files are neither committed nor aborted", s.open))
	}
	return faults
}

func (s *Staging) step(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps++
	if s.FailAt > 0 && s.steps >= s.FailAt {
		return ErrInjected
	}
	return nil
}

func (s *Staging) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.misuse = append(s.misuse, fmt.Sprintf(format, args...))
}

// writer is a file of a Staging.
type writer struct {
	staging *Staging
	path    string
	data    []byte
	failed  bool
	ended   bool
}

func (w *writer) Write(p []byte) (int, error) {
	if w.ended {
		w.staging.fault("%s: written after its end", w.path)
	}
	if err := w.staging.step(context.Background()); err != nil {
		w.failed = true
		return 0, err
	}
	w.data = append(w.data, p...)
	return len(p), nil
}

func (w *writer) Commit() (int64, string, error) {
	if w.ended {
		w.staging.fault("%s: committed after its end", w.path)
	}
	if w.failed {
		w.staging.fault("%s: committed after a failed write", w.path)
	}
	if err := w.staging.step(context.Background()); err != nil {
		w.failed = true
		return 0, "", err
	}
	sum := sha256.Sum256(w.data)
	w.ended = true
	w.staging.mu.Lock()
	defer w.staging.mu.Unlock()
	w.staging.open--
	w.staging.files[w.path] = w.data
	return int64(len(w.data)), hex.EncodeToString(sum[:]), nil
}

func (w *writer) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	w.staging.mu.Lock()
	defer w.staging.mu.Unlock()
	w.staging.open--
	return nil
}
