package ledger

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestMain is also the process that TestI10LockDiesWithItsProcess kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("FLUE_TEST_HOLD_LOCK"); dir != "" {
		l, err := Open(context.Background(), dir, nil)
		if err == nil {
			var k *Lock
			if k, err = l.Lock(context.Background(), "j"); err == nil {
				err = k.Tell("run1")
			}
		}
		fmt.Println("held", err)
		time.Sleep(time.Minute)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestI10LockDiesWithItsProcess(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "FLUE_TEST_HOLD_LOCK="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "held <nil>\n" {
		t.Fatalf("the holder said %q", line)
	}

	_, err = l.Lock(t.Context(), "j")
	var held *HeldError
	if !errors.As(err, &held) {
		t.Fatalf("Lock = %v, want *HeldError", err)
	}
	if held.Holder.PID != cmd.Process.Pid || held.Holder.Run != "run1" || held.Class() != "held" {
		t.Errorf("held by %+v of class %q, want process %d, run1, held", held.Holder, held.Class(), cmd.Process.Pid)
	}
	if !strings.Contains(held.Error(), "run1") {
		t.Errorf("message %q does not name the run", held)
	}
	other, err := l.Lock(t.Context(), "other")
	if err != nil {
		t.Fatalf("the lock of another job: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	lock, err := l.Lock(t.Context(), "j")
	if err != nil {
		t.Fatalf("Lock after the holder was killed: %v", err)
	}
	if _, err := l.Lock(t.Context(), "j"); !errors.As(err, &held) {
		t.Errorf("second Lock in one process = %v, want *HeldError", err)
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
}

func TestLockRefusesPaths(t *testing.T) {
	l := open(t, t.TempDir())
	for _, job := range []string{"", "..", "a/b", ".hidden", "../x"} {
		if k, err := l.Lock(t.Context(), job); err == nil {
			t.Errorf("Lock(%q) worked", job)
			k.Close()
		}
	}
}
