package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/flue-fhir/flue/pipeline/config"
)

// logForm is the form of what goes to stderr.
type logForm string

const (
	logAuto logForm = "auto" // of events: JSON unless stderr is a terminal
	logText logForm = "text"
	logJSON logForm = "json"
)

// String, Type and Set make it a flag.
func (f *logForm) String() string { return string(*f) }
func (f *logForm) Type() string   { return "form" }
func (f *logForm) Set(s string) error {
	switch logForm(s) {
	case logAuto, logText, logJSON:
		*f = logForm(s)
		return nil
	}
	return errors.New("want auto, text or json")
}

// jsonLogs reports whether stderr gets one JSON object a line.
func (a *app) jsonLogs() bool {
	switch a.logs {
	case logJSON:
		return true
	case logAuto:
		_, terminal := a.sys.Terminal()
		return !terminal && a.events
	}
	return false
}

// logHandler is where log lines go, in the form that stderr has.
func (a *app) logHandler(w io.Writer) slog.Handler {
	level := slog.LevelWarn
	if a.verbose {
		level = slog.LevelDebug
	}
	if a.jsonLogs() {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	}
	return newTextHandler(w, level)
}

// report tells what went wrong, each error with its excerpt and hint.
func (a *app) report(err error, code int) {
	if a.jsonLogs() {
		a.reportJSON(err, code)
		return
	}
	var all *config.Errors
	if errors.As(err, &all) {
		for _, e := range all.List {
			fmt.Fprintf(a.sys.Stderr, "flue: %s\n", e)
			if e.Excerpt != "" {
				fmt.Fprintln(a.sys.Stderr, e.Excerpt)
			}
			printHint(a.sys.Stderr, e.Hint())
		}
		if n := len(all.List); n > 1 {
			fmt.Fprintf(a.sys.Stderr, "flue: %d errors in the configuration\n", n)
		}
		return
	}
	fmt.Fprintf(a.sys.Stderr, "flue: %s\n", err)
	printHint(a.sys.Stderr, a.hint(err, code))
}

// hint is that of the error; an interrupted run has one of its own.
func (a *app) hint(err error, code int) string {
	h := hintOf(err)
	if h == "" && code == exitInterrupted && a.events {
		return "run it again: it goes on where it stood"
	}
	return h
}

func (a *app) reportJSON(err error, code int) {
	log := slog.New(slog.NewJSONHandler(a.sys.Stderr, nil))
	var all *config.Errors
	if !errors.As(err, &all) {
		attrs := []any{"exit", code}
		if c := classOf(err); c != "" {
			attrs = append(attrs, "class", c)
		}
		if h := a.hint(err, code); h != "" {
			attrs = append(attrs, "hint", h)
		}
		log.Error(err.Error(), attrs...)
		return
	}
	for _, e := range all.List {
		log.Error(e.Message, "exit", code, "class", "usage", "hint", e.Hint(),
			"file", e.File, "line", e.Line, "column", e.Column, "path", e.Path)
	}
}

// printHint prints a hint below its message, each of its lines indented.
func printHint(w io.Writer, hint string) {
	for i, line := range strings.Split(hint, "\n") {
		switch {
		case hint == "":
		case i == 0:
			fmt.Fprintf(w, "  hint: %s\n", line)
		default:
			fmt.Fprintf(w, "        %s\n", line)
		}
	}
}
