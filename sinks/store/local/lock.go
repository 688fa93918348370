package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// lockName is the file in the job's folder that is locked while a process
// publishes there.
const lockName = ".lock"

// holder is what a process writes into the lock file.
type holder struct {
	PID  int    `json:"pid"`
	Host string `json:"host,omitempty"`
}

// HeldError says that another process publishes for the job in this destination.
type HeldError struct {
	Path string // of the lock file
	PID  int    // 0 when the process did not say
	Host string
}

func (e *HeldError) Error() string {
	switch {
	case e.Host != "":
		return fmt.Sprintf("the destination %s is held by process %d on %s", filepath.Dir(e.Path), e.PID, e.Host)
	case e.PID != 0:
		return fmt.Sprintf("the destination %s is held by process %d", filepath.Dir(e.Path), e.PID)
	}
	return fmt.Sprintf("the destination %s is held by another process", filepath.Dir(e.Path))
}

// Hint says what to do.
func (e *HeldError) Hint() string {
	return "Wait for that run. It has a state folder of its own: let one configuration run the jobs of a destination, or give each its own."
}

// Class puts the error among those of a held job.
func (e *HeldError) Class() string { return "held" }

// Lock makes the caller the one process that publishes for the job in this
// folder (I10), whatever state folder it has, or returns a *HeldError at once. It
// lasts until the closer is closed or the process ends. Readers do not heed it. A
// file system that cannot lock is an errors.ErrUnsupported.
func (s *Store) Lock(ctx context.Context, job string) (io.Closer, error) {
	if err := s.check(ctx, job); err != nil {
		return nil, err
	}
	own, err := s.ownership()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(s.Path, job)
	if err := s.disk.MkdirAll(home, 0o700, own.dir); err != nil {
		return nil, wrap("lock destination", home, err)
	}
	path := filepath.Join(home, lockName)
	f, err := own.lockFile(path)
	if err != nil {
		return nil, wrap("lock destination", home, err)
	}
	if err := flock(f); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			var h holder
			if text, err := io.ReadAll(io.LimitReader(f, 1<<10)); err == nil {
				_ = json.Unmarshal(text, &h) // may be half written: then it said nothing
			}
			return nil, &HeldError{Path: path, PID: h.PID, Host: h.Host}
		}
		return nil, wrap("lock destination", home, err)
	}
	h := holder{PID: os.Getpid()}
	h.Host, _ = os.Hostname() // for people; they can do without
	text, err := json.Marshal(h)
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(append(text, '\n'), 0)
	}
	if err != nil {
		return nil, wrap("lock destination", home, errors.Join(err, f.Close()))
	}
	return &lock{f}, nil
}

// lock is a held lock file.
type lock struct{ f *os.File }

// Close gives the lock back. The file stays: removing it would let two processes
// lock two files of one name.
func (k *lock) Close() error { return errors.Join(k.f.Truncate(0), k.f.Close()) }

// lockFile opens the lock file, for those who may change the folder.
func (o *ownership) lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, err
	}
	if err := o.apply(path, o.dirMode&0o660); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// flock locks the file for this process alone, or returns EWOULDBLOCK at once.
func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.EINVAL): // a share whose server does not lock
			return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
		}
		return err
	}
}
