// Package spool keeps landed parts on the local disk: whole and checked, or not
// there, and resumable at the byte where a body broke.
//
// A Spool holds a folder for each run. A body is landed by Run.Land, as many
// calls of Landing.Copy as it takes, and Landing.Commit; from then on it is a
// Part. While the bytes go to the disk as they were sent, every line passes
// through fhirjson.Walker once, and what it learns is kept with the part: type,
// id, lastUpdated, the elements that occur, which lines are not resources to
// publish, and why. A large part has a file of its own; small ones lie on a shelf
// and share its syncs. Run.Select decides which lines of a type are published.
//
// Memory is bounded by the number of landings at once and by the budget of
// Select, not by the size of a body or the number of its lines (I8). Everything
// in a spool is for its owner only (0700, 0600, I7), and no error of this
// package holds content of a line.
package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/flue-fhir/flue/internal/durable"
	"github.com/flue-fhir/flue/internal/fhirjson"
)

// Spool is a folder of landed parts. Its methods may be called by several
// goroutines at once, but only one process may use a run's folder (I10). A
// Spool must not be copied after its first use.
type Spool struct {
	// Dir is the folder; it is made when it is missing.
	Dir string
	// MaxLine is the length in bytes from which a line is quarantined; 0 means
	// 64 MiB (F39).
	MaxLine int64
	// MinFree is how many bytes of the disk must stay free; 0 means 256 MiB.
	MinFree int64
	// MaxRatio is how many times larger than its compressed bytes a body may
	// become, beyond its first 64 MiB; 0 means 400 (F36).
	MaxRatio int64
	// MaxBody is how many decoded bytes one body may have; 0 means 1 TiB (F36).
	MaxBody int64
	// Limits bound the columns of a type.
	Limits fhirjson.Limits

	chunk int  // bytes of a data chunk; 0 means maxData. Tests cut finer.
	apart bool // every part has a file of its own, for tests of those
	pools pools
}

// Run opens the folder of a run, and makes it when it is missing. A run's name
// is a plain file name. The caller closes it.
func (s *Spool) Run(run string) (*Run, error) {
	if err := checkName(run); err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Dir, run)
	var disk durable.FS
	if err := disk.MkdirAll(dir, 0o700, nil); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	if err := disk.RemoveTemps(dir, false); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return s.open(dir), nil
}

func (s *Spool) open(dir string) *Run {
	r := &Run{spool: s, dir: &durable.Dir{Path: dir}, busy: map[string]bool{}}
	r.shelves.dir = r.dir
	return r
}

// Look opens the folder of a run for its landed parts alone, and changes nothing:
// another process may have the run in hand (I10). It returns nil without error
// when there is none.
func (s *Spool) Look(run string) (*Run, error) {
	if err := checkName(run); err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Dir, run)
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return s.open(dir), nil
}

func (s *Spool) maxLine() int64 {
	if s.MaxLine > 0 {
		return s.MaxLine
	}
	return maxLineLen
}

// Runs lists the runs that have a folder, sorted by name.
func (s *Spool) Runs() ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list spool: %w", err)
	}
	var runs []string
	for _, e := range entries {
		if e.IsDir() && checkName(e.Name()) == nil {
			runs = append(runs, e.Name())
		}
	}
	return runs, nil
}

// Sweep removes the folders of the runs that keep refuses.
func (s *Spool) Sweep(keep func(run string) bool) error {
	runs, err := s.Runs()
	if err != nil {
		return err
	}
	for _, run := range runs {
		if keep(run) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.Dir, run)); err != nil {
			return fmt.Errorf("sweep spool: %w", err)
		}
	}
	return nil
}

// Check proves that the spool can be written and has room: it returns a
// *FullError when the disk has less than MinFree bytes left.
func (s *Spool) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var disk durable.FS
	if err := disk.MkdirAll(s.Dir, 0o700, nil); err != nil {
		return fmt.Errorf("check spool: %w", err)
	}
	f, err := disk.Create(filepath.Join(s.Dir, "probe"), 0o600)
	if err != nil {
		return fmt.Errorf("check spool: %w", err)
	}
	if err := f.Abort(); err != nil {
		return fmt.Errorf("check spool: %w", err)
	}
	_, err = s.room(0)
	return err
}

// Run is the folder of one run. Its methods may be called by several goroutines
// at once.
type Run struct {
	spool   *Spool
	dir     *durable.Dir
	shelves shelves
	journal journal

	mu   sync.Mutex
	busy map[string]bool // names of the parts that are being landed
}

// Close closes the files that the run holds open. Its parts can still be read.
func (r *Run) Close() error { return errors.Join(r.shelves.close(), r.journal.close()) }

// Drop removes a part, landed or partial. A missing one is no error. The key
// must not be one that is being landed. After a crash a small part that is not
// damaged may be there again.
func (r *Run) Drop(key string) error {
	name := fileName(key)
	if !r.hold(name) {
		return errBusy
	}
	defer r.free(name)
	if err := r.shelves.drop(name); err != nil {
		return err
	}
	for _, path := range []string{r.path(name, partSuffix), r.path(name, partialSuffix), r.path(name, originSuffix)} {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("drop part: %w", err)
		}
	}
	return r.dir.Sync()
}

// Remove removes the run's folder with all it holds.
func (r *Run) Remove() error {
	if err := errors.Join(r.Close(), os.RemoveAll(r.dir.Path)); err != nil {
		return fmt.Errorf("remove spool: %w", err)
	}
	return nil
}

func (r *Run) path(name, suffix string) string { return filepath.Join(r.dir.Path, name+suffix) }

func (r *Run) hold(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[name] {
		return false
	}
	r.busy[name] = true
	return true
}

func (r *Run) free(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, name)
}

func checkName(run string) error {
	if run == "" || strings.HasPrefix(run, ".") || strings.ContainsAny(run, "/\\\x00") {
		return fmt.Errorf("open spool: the name of the run is no file name")
	}
	return nil
}
