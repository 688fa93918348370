package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline"
	"github.com/flue-fhir/flue/pipeline/ledger"
)

type classed struct {
	class, hint string
	err         error
}

func (e *classed) Error() string { return "classed" }
func (e *classed) Class() string { return e.class }
func (e *classed) Hint() string  { return e.hint }
func (e *classed) Unwrap() error { return e.err }

func TestExitCode(t *testing.T) {
	interrupted, cancel := context.WithCancelCause(context.Background())
	cancel(errInterrupted)
	background := context.Background()
	tests := []struct {
		name string
		ctx  context.Context
		err  error
		want int
	}{
		{"may pass", background, errors.New("connection reset"), 1},
		{"a class", background, &classed{class: "auth"}, 3},
		{"refused export", background, fmt.Errorf("run: %w", &export.RefusedError{Status: 400}), 4},
		{"busy server", background, &export.RefusedError{Status: 503}, 1},
		{"quality", background, &classed{class: "quality"}, 5},
		{"held job", background, &ledger.HeldError{Job: "j"}, 6},
		{"usage", background, &usageError{message: "m"}, 64},
		{"the class is below an error without", background, fmt.Errorf("run: %w", &classed{class: "server"}), 4},
		{"a server's fault of which the run says that it may pass", background, &pipeline.Failure{Text: "t", Err: &classed{class: "server"}}, 1},
		{"the class is in the second of two", background, errors.Join(errors.New("x"), &classed{class: "quality"}), 5},
		{"unknown class", background, &classed{class: "other"}, 1},
		{"interrupted", interrupted, fmt.Errorf("land: %w", errInterrupted), 130},
		{"interrupted while asking", interrupted, fmt.Errorf("get: %w", context.Canceled), 130},
		{"failed before the signal took effect", interrupted, &classed{class: "server"}, 4},
	}
	for _, test := range tests {
		if got := exitCode(test.ctx, test.err); got != test.want {
			t.Errorf("%s: exit code %d, want %d", test.name, got, test.want)
		}
	}
}

func TestHintOfTheDeepestThatHasOne(t *testing.T) {
	err := fmt.Errorf("a: %w", errors.Join(&classed{}, fmt.Errorf("b: %w", &classed{hint: "do this"})))
	if got := hintOf(err); got != "do this" {
		t.Errorf("hint is %q", got)
	}
	if got := hintOf(errors.New("x")); got != "" {
		t.Errorf("hint is %q, want none", got)
	}
}

// The table has every class once, and 2 is left to the runtime.
func TestExitTable(t *testing.T) {
	codes, classes := map[int]bool{}, map[string]bool{}
	for _, r := range exitTable() {
		if codes[r.code] || r.code == 2 || r.class != "" && classes[r.class] {
			t.Errorf("row %+v", r)
		}
		codes[r.code], classes[r.class] = true, true
		if !strings.Contains(exitHelp(), r.meaning) {
			t.Errorf("help lacks %q", r.meaning)
		}
	}
	for _, class := range []string{"auth", "server", "quality", "held", "usage"} {
		if !classes[class] {
			t.Errorf("no code for class %s", class)
		}
	}
}

// The first signal cancels with the cause, the second ends the process.
func TestInterruptTwice(t *testing.T) {
	signals := make(chan os.Signal)
	ended := make(chan int, 1)
	s := &System{
		Interrupts: func() (<-chan os.Signal, func()) { return signals, func() {} },
		Exit:       func(code int) { ended <- code },
	}
	ctx, release := s.interruptible(context.Background())
	signals <- os.Interrupt
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the first signal did not cancel")
	}
	if context.Cause(ctx) != errInterrupted {
		t.Errorf("cause is %v", context.Cause(ctx))
	}
	select {
	case code := <-ended:
		t.Fatalf("ended with %d at the first signal", code)
	default:
	}
	signals <- os.Interrupt
	if code := <-ended; code != 130 {
		t.Errorf("ended with %d, want 130", code)
	}
	release()
}

// README and docs/ARCHITECTURE.md have the same table.
func TestExitTableIsDocumented(t *testing.T) {
	for _, path := range []string{"../../../README.md", "../../../docs/ARCHITECTURE.md"} {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range exitTable() {
			meaning := r.meaning
			if r.code == exitOK {
				_, meaning, _ = strings.Cut(r.meaning, "after run: ")
			}
			found := false
			for line := range strings.Lines(string(page)) {
				found = found || strings.HasPrefix(line, fmt.Sprintf("| %d |", r.code)) && strings.Contains(line, meaning)
			}
			if !found {
				t.Errorf("%s lacks %d %q", path, r.code, meaning)
			}
		}
	}
}
