package spool

import (
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"
)

var (
	errBusy   = errors.New("land part: it is being landed already")
	errLanded = errors.New("land part: it is landed already")
	errClosed = errors.New("land part: the landing is closed")
	errLent   = errors.New("open part: its body was borrowed and nobody said where it is")
)

// BodyError is a body that broke: its reader failed, or it ended before its
// announced length (F33). What came is kept: ask again from Landing.Resume.
type BodyError struct {
	Got  int64 // bytes as sent that have come so far
	Want int64 // announced length; -1 when unknown
	Err  error // the reader's; io.ErrUnexpectedEOF when it just ended
}

func (e *BodyError) Error() string {
	if e.Want >= 0 {
		return fmt.Sprintf("read body: broke after %d of %d bytes: %v", e.Got, e.Want, e.Err)
	}
	return fmt.Sprintf("read body: broke after %d bytes: %v", e.Got, e.Err)
}

// Unwrap returns the reader's error.
func (e *BodyError) Unwrap() error { return e.Err }

// Retryable is true: the rest can be asked for.
func (e *BodyError) Retryable() bool { return true }

// Fault names what is wrong with the bytes of a body.
type Fault string

// The faults of bodies. The comments say whether reading again may help.
const (
	Markup      Fault = "it is HTML or XML, not NDJSON"                      // F35: may; often a login or error page
	Encoding    Fault = "its content encoding is unknown"                    // no
	CorruptGzip Fault = "its gzip data is corrupt or ends early"             // F33: may
	CorruptZstd Fault = "its zstd data is corrupt or ends early"             // F33: may
	NestedGzip  Fault = "it is gzip in gzip in gzip"                         // F36: no
	Bomb        Fault = "it unpacks to more than the limits allow"           // F36: no
	TooLong     Fault = "it is longer than announced"                        // may
	Changed     Fault = "the file changed at the server while it was read"   // F34: may
	Misplaced   Fault = "the server went on at another byte than asked for"  // may
	CutLine     Fault = "it ends within a line"                              // F33: may
	BrokenSpool Fault = "the part of it that is on the local disk is broken" // may
)

// ContentError is a body that cannot become a part as it is. Nothing of it is
// kept: the next attempt begins at its first byte.
type ContentError struct {
	Fault Fault
	Err   error // cause, may be nil
}

func (e *ContentError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("read body: %s: %v", e.Fault, e.Err)
	}
	return "read body: " + string(e.Fault)
}

// Unwrap returns the cause.
func (e *ContentError) Unwrap() error { return e.Err }

// Retryable reports whether reading the body again may give another result.
func (e *ContentError) Retryable() bool {
	switch e.Fault {
	case Encoding, NestedGzip, Bomb:
		return false
	}
	return true
}

// Hint says what to do about it.
func (e *ContentError) Hint() string {
	switch e.Fault {
	case Markup:
		return "The server answers with a page instead of the file: it may want another token, or a proxy or login page stands before it."
	case Bomb:
		return "If a file of this size is what the server should send, raise the limits of the spool."
	}
	return ""
}

// Class is "quality" for what reading again cannot mend, otherwise empty.
func (e *ContentError) Class() string {
	if e.Retryable() {
		return ""
	}
	return "quality"
}

// CountError is a body with another number of resources than announced (F37).
// Nothing of it is kept.
type CountError struct {
	Want, Got int64
	// Whole says that the body itself was whole by its length or its checksum:
	// reading it again gives the same.
	Whole bool
}

func (e *CountError) Error() string {
	return fmt.Sprintf("check count: the server announced %d resources and sent %d", e.Want, e.Got)
}

// Retryable reports whether reading the body again may give another result.
func (e *CountError) Retryable() bool { return !e.Whole }

// Class is "quality" for what reading again cannot mend, otherwise empty.
func (e *CountError) Class() string {
	if e.Whole {
		return "quality"
	}
	return ""
}

// Hint says what to do about it.
func (e *CountError) Hint() string {
	return "If the server is known to count wrongly, set policies.on_count_mismatch to warn."
}

// FullError is a disk without room for the spool. What has landed stays: the
// run goes on once there is room.
type FullError struct {
	Dir  string // folder of the spool
	Free int64  // bytes that the disk has left; -1 when unknown
	Need int64  // bytes that are to stay free
	Err  error  // the write's error, may be nil
}

func (e *FullError) Error() string {
	if e.Free < 0 {
		return "write spool: the disk is full"
	}
	return fmt.Sprintf("write spool: %s left on the disk, of which %s must stay free",
		humanize.IBytes(uint64(max(e.Free, 0))), humanize.IBytes(uint64(max(e.Need, 0))))
}

// Unwrap returns the cause.
func (e *FullError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *FullError) Hint() string {
	return "Make room on the disk of " + e.Dir + ", or set spool_dir to a larger one, and run the job again: it goes on where it stopped."
}
