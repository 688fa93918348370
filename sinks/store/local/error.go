package local

import (
	"errors"
	"io/fs"
	"syscall"
)

// Error is what keeps a destination from being read or written.
type Error struct {
	Op   string
	Path string
	Err  error

	hint  string
	class string
}

func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *Error) Hint() string {
	switch {
	case e.hint != "":
		return e.hint
	case errors.Is(e.Err, fs.ErrPermission):
		return "The user that runs flue must be able to write in " + e.Path + "."
	case errors.Is(e.Err, syscall.ENOSPC), errors.Is(e.Err, syscall.EDQUOT):
		return "Make room on the disk of " + e.Path + " and run the job again: it goes on where it stopped."
	case errors.Is(e.Err, syscall.EROFS):
		return "The file system of " + e.Path + " is mounted read-only."
	}
	return ""
}

// Class is "usage" for what the configuration must mend, otherwise empty.
func (e *Error) Class() string { return e.class }

// wrap makes an error an *Error, unless it is nil or one already.
func wrap(op, path string, err error) error {
	if own := (*Error)(nil); err == nil || errors.As(err, &own) {
		return err
	}
	return &Error{Op: op, Path: path, Err: err}
}
