package spool

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// journalName is the file in a run's folder that keeps what happened to the run.
const journalName = "journal.ndjson"

// journal is that file, open since the first line.
type journal struct {
	mu   sync.Mutex
	file *os.File
}

// Log adds a line, a JSON object without a line feed, to what is kept of the
// run's course. It outlives the process but not a loss of power: a line may be
// missing then. It may be called by several goroutines at once.
func (r *Run) Log(line []byte) error {
	j := &r.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	text := make([]byte, 0, len(line)+2)
	if j.file == nil {
		f, err := os.OpenFile(filepath.Join(r.dir.Path, journalName), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return fmt.Errorf("log: %w", err)
		}
		j.file = f
		// A process that died may have left half a line.
		if fi, err := f.Stat(); err == nil && fi.Size() > 0 {
			var last [1]byte
			if _, err := f.ReadAt(last[:], fi.Size()-1); err != nil || last[0] != '\n' {
				text = append(text, '\n')
			}
		}
	}
	if _, err := j.file.Write(append(append(text, line...), '\n')); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := j.file
	j.file = nil
	if f == nil {
		return nil
	}
	return f.Close()
}

// EachLogged yields the lines that Log was given by this process and by earlier
// ones, in their order, until yield returns an error. What a process that died
// left half written is passed over. The slice is only valid within the call.
func (r *Run) EachLogged(yield func(line []byte) error) (err error) {
	f, err := os.Open(filepath.Join(r.dir.Path, journalName))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := bufio.NewReader(f) // of our own: none is long
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read log: %w", err)
		}
		if n := len(line); n > 1 && err == nil && json.Valid(line) {
			if err := yield(line[:n-1]); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

// Clear removes every part of the run, landed or partial, and keeps what was
// logged. No part may be landing.
func (r *Run) Clear() error {
	if err := r.shelves.close(); err != nil {
		return fmt.Errorf("clear spool: %w", err)
	}
	entries, err := os.ReadDir(r.dir.Path)
	if err != nil {
		return fmt.Errorf("clear spool: %w", err)
	}
	for _, e := range entries {
		if e.Name() == journalName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(r.dir.Path, e.Name())); err != nil {
			return fmt.Errorf("clear spool: %w", err)
		}
	}
	return r.dir.Sync()
}
