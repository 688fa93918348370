package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"syscall"
	"time"
)

// tryLimit bounds one process: what takes longer hangs.
const tryLimit = 3 * time.Minute

// try is what came of one process.
type try struct {
	Code    int           `json:"code"` // -1 when it was killed
	Killed  bool          `json:"killed,omitempty"`
	Hung    bool          `json:"hung,omitempty"`
	Took    time.Duration `json:"took"`
	Summary string        `json:"error,omitempty"` // what stdout said of the failure

	log    []byte // stderr and stdout
	peak   int64  // resident bytes
	cpu    time.Duration
	events map[string]time.Duration // when each kind of event came first
	last   string                   // state of the last event
}

// event is a line of the log of `flue run`.
type event struct {
	Kind  string
	State string
}

func (e event) name() string {
	if e.Kind == "state" {
		return e.State
	}
	return e.Kind
}

// runOnce runs the job in a process of its own, until it ends.
func (s *site) runOnce(ctx context.Context, args ...string) (*try, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.o.flue, append([]string{"run", jobName, "--log", "json", "--json"}, args...)...)
	cmd.Dir = s.dir
	cmd.Env = s.environment()
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.process, s.killed = cmd.Process, false
	s.tries++
	s.mu.Unlock()
	if s.injector != nil {
		if f := s.injector.take(func(f fault) bool { return f.On == killAfter }); f != nil {
			timer := time.AfterFunc(f.Delay, func() {
				if s.kill() {
					s.injector.note(f.Kind)
				}
			})
			defer timer.Stop()
		}
	}
	t := &try{events: map[string]time.Duration{}}
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadBytes('\n')
		t.log = append(t.log, line...)
		var e event
		if json.Unmarshal(line, &e) == nil && e.name() != "" {
			t.last = e.State
			if _, seen := t.events[e.name()]; !seen {
				t.events[e.name()] = time.Since(begun)
			}
			if s.injector != nil {
				s.injector.killAt(e.name())
			}
		}
		if err != nil {
			break
		}
	}
	_ = cmd.Wait() // the exit code says it
	s.mu.Lock()
	t.Killed = s.killed
	s.process = nil
	s.mu.Unlock()
	t.Took = time.Since(begun)
	t.Code = cmd.ProcessState.ExitCode()
	t.Hung = t.Code == -1 && !t.Killed
	t.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		t.peak = usage.Maxrss * rssUnit
	}
	t.log = append(t.log, stdout.Bytes()...)
	var summary struct{ Error string }
	if json.Unmarshal(stdout.Bytes(), &summary) == nil {
		t.Summary = summary.Error
	}
	return t, ctx.Err()
}

// kill kills the process that runs, and reports whether one did.
func (s *site) kill() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil || s.killed || s.process.Signal(syscall.SIGKILL) != nil {
		return false
	}
	s.killed = true
	return true
}

// try is the number of the process that runs or ran last, from 1.
func (s *site) try() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}
