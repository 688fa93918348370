package cli

import (
	"fmt"
	"log/slog"
	"strings"
)

// say tells people something beside a command's result: a line on stderr, or an
// object where those are asked for.
func (a *app) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if a.jsonLogs() {
		slog.New(slog.NewJSONHandler(a.sys.Stderr, nil)).Info(line)
		return
	}
	fmt.Fprintln(a.sys.Stderr, line)
}

// sayGrid tells people a table of names and values.
func (a *app) sayGrid(message string, g *grid) error {
	if !a.jsonLogs() {
		return g.write(a.sys.Stderr)
	}
	attrs := make([]any, 0, 2*len(g.rows))
	for _, row := range g.rows {
		attrs = append(attrs, row[0], strings.Join(row[1:], " "))
	}
	slog.New(slog.NewJSONHandler(a.sys.Stderr, nil)).Info(message, attrs...)
	return nil
}

// hintedError is a failure that may pass, with what to do meanwhile.
type hintedError struct {
	message, hint string
	err           error
}

func (e *hintedError) Error() string {
	if e.err == nil {
		return e.message
	}
	return e.message + ": " + e.err.Error()
}

func (e *hintedError) Unwrap() error { return e.err }
func (e *hintedError) Hint() string  { return e.hint }
