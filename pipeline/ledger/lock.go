package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Lock is the right to run one job. It dies with its process (I10): the kernel
// gives it back, whatever kills the process.
type Lock struct {
	file *os.File
}

// Holder is who holds a lock, as far as it said so.
type Holder struct {
	PID int    `json:"pid"`
	Run string `json:"run,omitempty"`
}

// HeldError says that another run holds the job.
type HeldError struct {
	Job    string
	Holder Holder // zero when it did not say
}

func (e *HeldError) Error() string {
	switch {
	case e.Holder.Run != "":
		return fmt.Sprintf("job %s is held by run %s of process %d", e.Job, e.Holder.Run, e.Holder.PID)
	case e.Holder.PID != 0:
		return fmt.Sprintf("job %s is held by process %d", e.Job, e.Holder.PID)
	}
	return fmt.Sprintf("job %s is held by another process", e.Job)
}

// Hint says what to do.
func (e *HeldError) Hint() string {
	return "wait for that run, or stop it with flue cancel"
}

// Class puts the error among those of a held job.
func (e *HeldError) Class() string { return "held" }

// Lock takes the job's lock or returns a *HeldError at once. The caller closes
// the lock.
func (l *Ledger) Lock(ctx context.Context, job string) (*Lock, error) {
	if job == "" || job != filepath.Base(job) || strings.HasPrefix(job, ".") {
		return nil, errors.New("lock job: the name is not a file name")
	}
	path := filepath.Join(l.dir, "locks", job+".lock")
	f, err := lockFile(ctx, path, false)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		held := &HeldError{Job: job}
		if data, err := os.ReadFile(path); err == nil {
			_ = json.Unmarshal(data, &held.Holder) // may be half written: then it said nothing
		}
		return nil, held
	}
	if err != nil {
		return nil, fmt.Errorf("lock job: %w", err)
	}
	lock := &Lock{file: f}
	if err := lock.Tell(""); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return lock, nil
}

// Tell writes into the lock file which run holds it.
func (k *Lock) Tell(run string) error {
	data, err := json.Marshal(Holder{PID: os.Getpid(), Run: run})
	if err == nil {
		err = k.file.Truncate(0)
	}
	if err == nil {
		_, err = k.file.WriteAt(data, 0)
	}
	if err != nil {
		return fmt.Errorf("write lock: %w", err)
	}
	return nil
}

// Close gives the lock back. The file stays: removing it would let two
// processes lock two files of one name.
func (k *Lock) Close() error {
	return errors.Join(k.file.Truncate(0), k.file.Close())
}

// lockFile opens and locks a file. Without wait a held lock is EWOULDBLOCK.
func lockFile(ctx context.Context, path string, wait bool) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, syscall.EINTR):
			continue
		case wait && errors.Is(err, syscall.EWOULDBLOCK):
			timer := time.NewTimer(20 * time.Millisecond)
			select {
			case <-timer.C:
				continue
			case <-ctx.Done():
				timer.Stop()
				return nil, errors.Join(context.Cause(ctx), f.Close())
			}
		}
		return nil, errors.Join(err, f.Close())
	}
}

var _ io.Closer = (*Lock)(nil)
