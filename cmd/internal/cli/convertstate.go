package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
)

// conversionState is the folder where a conversion keeps how far it came, so
// that it can go on after a crash. It is there for one destination, while that
// is held (I10), and goes when nothing is left to go on with.
type conversionState struct {
	dir  string
	hold *os.File // the destination's folder, locked; nil where folders cannot be locked
	log  *slog.Logger
}

// openConversion makes and holds the state of the conversion to out/job: within
// the destination, or below --state-dir where that is given.
func (a *app) openConversion(out, job string, log *slog.Logger) (*conversionState, error) {
	home := filepath.Join(out, job)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, &usageError{message: "make destination", err: err, hint: "name a folder that can be written with --out"}
	}
	s := &conversionState{dir: filepath.Join(home, ".state"), log: log}
	if a.stateDir != "" {
		abs, err := filepath.Abs(a.stateDir)
		if err != nil {
			return nil, fmt.Errorf("find state folder: %w", err)
		}
		sum := sha256.Sum256([]byte(home))
		s.dir = filepath.Join(abs, "convert", hex.EncodeToString(sum[:8]))
	}
	f, err := os.Open(home)
	if err != nil {
		return nil, &usageError{message: "open destination", err: err}
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case err == nil:
		s.hold = f
	case errors.Is(err, syscall.EWOULDBLOCK):
		_ = f.Close()
		return nil, &heldError{home}
	default:
		// Some network file systems lock no folders. The ledger's own lock keeps
		// conversions apart there, and the state stays.
		_ = f.Close()
	}
	return s, nil
}

// close removes the state unless the conversion can go on, and lets go of the
// destination.
func (s *conversionState) close(result error) error {
	if s.hold == nil {
		return nil
	}
	var err error
	switch {
	case result == nil, classOf(result) == "quality", classOf(result) == "usage":
		if rerr := os.RemoveAll(s.dir); rerr != nil {
			err = fmt.Errorf("remove state: %w", rerr)
		}
	}
	_ = s.hold.Close()
	return err
}

// heldError is a destination that another conversion is writing to.
type heldError struct{ home string }

func (e *heldError) Error() string { return "another conversion writes to " + e.home }
func (e *heldError) Class() string { return "held" }
func (e *heldError) Hint() string {
	return "wait for its end, or give this one another --out or --job"
}
