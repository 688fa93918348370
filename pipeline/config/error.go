package config

import (
	"fmt"
	"strings"
)

// Error is one thing wrong in a configuration file and the place where it is.
// Its texts never hold an expanded value, an inline secret or a patient id: those
// parts of the excerpt are masked (I6, I7).
type Error struct {
	File    string // as given to Parse
	Line    int    // from 1; 0 when the whole file is meant
	Column  int    // from 1, in characters
	Path    string // "jobs.nightly.export.types[2]"; empty for errors of syntax
	Message string
	Excerpt string // the line and a caret below the column; empty without a line
	hint    string
}

// Error gives file, line, column, path and message on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path)
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	return b.String()
}

// Hint says what to do about the error; it may be empty.
func (e *Error) Hint() string { return e.hint }

// Class says that the configuration is at fault.
func (e *Error) Class() string { return "usage" }

// Errors are all the errors of a file, in the order of their lines. It is never
// empty.
type Errors struct {
	List []*Error
}

// Error gives one line for each error.
func (e *Errors) Error() string {
	lines := make([]string, len(e.List))
	for i, one := range e.List {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Class says that the configuration is at fault.
func (e *Errors) Class() string { return "usage" }

// Unwrap gives the single errors.
func (e *Errors) Unwrap() []error {
	list := make([]error, len(e.List))
	for i, one := range e.List {
		list[i] = one
	}
	return list
}
