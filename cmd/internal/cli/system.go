// Package cli is the command line of flue: one file a command, the printers for
// people and programs, and the exit codes. It alone touches the process: its
// arguments, environment, streams, signals, clock and exit, all through System,
// so that every command can run in a test.
//
// What a command gives to programs goes to stdout, what it tells people and logs
// to stderr. No line holds a token, a secret or anything of a resource (I6, I7).
package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // schedules have time zones, and small hosts have no database of them

	"golang.org/x/term"
)

// System is the process as the commands see it.
type System struct {
	Args      []string // without the program's name
	Stdin     io.Reader
	Stdout    io.Writer
	Stderr    io.Writer
	LookupEnv func(string) (string, bool)
	Now       func() time.Time
	// Terminal is the width of the terminal that Stderr is; ok is false when it is
	// none.
	Terminal func() (columns int, ok bool)
	// Interrupts delivers the signals that ask the program to end, until stop.
	Interrupts func() (signals <-chan os.Signal, stop func())
	// Exit ends the process at once: on the second signal.
	Exit func(code int)
}

// Main runs the program and ends the process with its exit code.
func Main() {
	os.Exit(process().Run(context.Background()))
}

// process is the System of this process.
func process() *System {
	return &System{
		Args:      os.Args[1:],
		Stdin:     os.Stdin,
		Stdout:    os.Stdout,
		Stderr:    os.Stderr,
		LookupEnv: os.LookupEnv,
		Now:       time.Now,
		Terminal: func() (int, bool) {
			fd := int(os.Stderr.Fd())
			if t, _ := os.LookupEnv("TERM"); t == "dumb" || !term.IsTerminal(fd) {
				return 0, false
			}
			width, _, err := term.GetSize(fd)
			return width, err == nil
		},
		Interrupts: func() (<-chan os.Signal, func()) {
			c := make(chan os.Signal, 2)
			signal.Notify(c, os.Interrupt, syscall.SIGTERM)
			return c, func() { signal.Stop(c) }
		},
		Exit: os.Exit,
	}
}

// Run executes the command that the arguments name and returns the exit code.
func (s *System) Run(ctx context.Context) int {
	ctx, release := s.interruptible(ctx)
	defer release()
	a := &app{sys: s}
	root := a.root()
	root.SetArgs(s.Args)
	root.SetOut(s.Stdout)
	root.SetErr(s.Stderr)
	err := unknownCommand(root.ExecuteContext(ctx))
	if err == nil {
		return exitOK
	}
	code := exitCode(ctx, err)
	a.report(err, code)
	return code
}

// interruptible returns a context that the first signal cancels with the cause
// errInterrupted: the work under way comes to a point from which it can be
// resumed. The second signal ends the process.
func (s *System) interruptible(parent context.Context) (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals, stop := s.Interrupts()
	done, watching := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watching)
		for count := 0; ; {
			select {
			case <-signals:
				count++
				if count > 1 {
					s.Exit(exitInterrupted)
					return
				}
				cancel(errInterrupted)
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		stop()
		close(done)
		<-watching
		cancel(nil)
	}
}
