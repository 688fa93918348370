package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// The exit codes. 2 is left to the Go runtime: a crash must not read as
// configuration.
const (
	exitOK          = 0
	exitFailed      = 1
	exitAuth        = 3
	exitServer      = 4
	exitQuality     = 5
	exitHeld        = 6
	exitUsage       = 64
	exitInterrupted = 130
)

// errInterrupted is the cause of a context that a signal has cancelled.
var errInterrupted = errors.New("interrupted")

type exitRow struct {
	code    int
	class   string // of the errors that lead to it
	meaning string
}

// exitTable is the one table of exit codes, also printed by help.
func exitTable() []exitRow {
	return []exitRow{
		{exitOK, "", "done; after run: the snapshot is published, or with --detach the export runs"},
		{exitFailed, "", "failed for a reason that may pass: run again, and it is resumed; or cancelled"},
		{exitAuth, "auth", "authentication or authorization: key, registration, scopes"},
		{exitServer, "server", "the server refused or lost the export"},
		{exitQuality, "quality", "the data failed the job's quality policy"},
		{exitHeld, "held", "another run holds the job"},
		{exitUsage, "usage", "the command line or the configuration"},
		{exitInterrupted, "", "interrupted: run again, and it is resumed"},
	}
}

func exitHelp() string {
	var b strings.Builder
	for _, r := range exitTable() {
		fmt.Fprintf(&b, "  %3d  %s\n", r.code, r.meaning)
	}
	return b.String()
}

// exitCode finds the code of an error by its class.
func exitCode(ctx context.Context, err error) int {
	if errors.Is(err, errInterrupted) || context.Cause(ctx) == errInterrupted && errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	class := classOf(err)
	for _, r := range exitTable() {
		if class != "" && r.class == class {
			return r.code
		}
	}
	return exitFailed
}

// classOf is the class of the error that decides: the first in the chain that
// knows of classes, as for the ledger, which says by it whether the run is resumed.
// It is empty for what may pass by itself.
func classOf(err error) string {
	var e interface{ Class() string }
	if errors.As(err, &e) {
		return e.Class()
	}
	return ""
}

// hintOf is what a person can do about the error; empty when nobody knows.
func hintOf(err error) string {
	return first(err, func(err error) string {
		if e, ok := err.(interface{ Hint() string }); ok {
			return e.Hint()
		}
		return ""
	})
}

// first asks an error, and those it wraps, until one has an answer.
func first(err error, ask func(error) string) string {
	if err == nil {
		return ""
	}
	if answer := ask(err); answer != "" {
		return answer
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return first(e.Unwrap(), ask)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			if answer := first(one, ask); answer != "" {
				return answer
			}
		}
	}
	return ""
}

// usageError is a fault of the command line or of the configuration.
type usageError struct {
	message, hint string
	err           error
}

func (e *usageError) Error() string {
	switch {
	case e.err == nil:
		return e.message
	case e.message == "":
		return e.err.Error()
	}
	return e.message + ": " + e.err.Error()
}

func (e *usageError) Unwrap() error { return e.err }
func (e *usageError) Class() string { return "usage" }
func (e *usageError) Hint() string  { return e.hint }
