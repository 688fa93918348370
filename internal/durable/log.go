package durable

import (
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// Log is a file that grows at its end. Goroutines that append at once share a
// sync, so that many small pieces cost a few.
type Log struct {
	fs    FS
	file  *os.File
	syncs shared

	mu   sync.Mutex
	size int64 // of what was appended
}

// CreateLog begins the file path, in a folder that exists; the name is durable
// when it returns. The caller closes it.
func (s FS) CreateLog(path string, perm fs.FileMode, d *Dir) (*Log, error) {
	if err := s.step("create", path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, fmt.Errorf("create file: %w", err)
	}
	if err := d.Sync(); err != nil {
		_ = f.Close()
		return nil, err
	}
	return &Log{fs: s, file: f}, nil
}

// Append adds a piece and returns where it begins. It is durable when Append
// returns; of a piece whose Append failed, or did not return before a crash, the
// file may hold any part or none, and other pieces behind it.
func (l *Log) Append(piece []byte) (at int64, err error) {
	if at, err = l.write(piece); err != nil {
		return 0, err
	}
	if err := l.syncs.wait(l.sync); err != nil {
		return 0, err
	}
	return at, nil
}

func (l *Log) sync() error {
	if err := l.fs.step("sync", l.file.Name()); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("sync file: %w", err)
	}
	return nil
}

func (l *Log) write(piece []byte) (at int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.fs.step("append", l.file.Name()); err != nil {
		return 0, err
	}
	at = l.size
	if _, err := l.file.WriteAt(piece, at); err != nil {
		return 0, fmt.Errorf("write file: %w", err) // the next piece takes its place
	}
	l.size += int64(len(piece))
	return at, nil
}

// Close closes the file. Nobody may be appending.
func (l *Log) Close() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("close file: %w", err)
	}
	return nil
}
