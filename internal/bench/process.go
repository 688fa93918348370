package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// figure is what one process cost.
type figure struct {
	wall time.Duration
	cpu  time.Duration // user and system
	peak int64         // resident bytes

	stdout []byte
}

// measure runs a command to its end, bound to the first n cores, and says what
// it cost. A failing command's stderr is part of the error.
func measure(cores int, env []string, name string, args ...string) (figure, error) {
	list := "0"
	if cores > 1 {
		list = "0-" + strconv.Itoa(cores-1)
	}
	if _, err := exec.LookPath("taskset"); err == nil {
		args = append([]string{"-c", list, name}, args...)
		name = "taskset"
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), append(env, "GOMAXPROCS="+strconv.Itoa(cores))...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if err != nil {
		tail := strings.TrimSpace(stderr.String())
		if len(tail) > 2000 {
			tail = tail[len(tail)-2000:]
		}
		return figure{}, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, tail)
	}
	ru := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return figure{
		wall: wall,
		cpu:  cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
		peak: ru.Maxrss * rssUnit,

		stdout: stdout.Bytes(),
	}, nil
}

// median is the figure with the median of each part; of an even number, the
// upper one.
func median(fs []figure) figure {
	pick := func(of func(figure) int64) int64 {
		v := make([]int64, len(fs))
		for i, f := range fs {
			v[i] = of(f)
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return figure{
		wall: time.Duration(pick(func(f figure) int64 { return int64(f.wall) })),
		cpu:  time.Duration(pick(func(f figure) int64 { return int64(f.cpu) })),
		peak: pick(func(f figure) int64 { return f.peak }),
	}
}

// rate is megabytes (10^6) a second.
func rate(bytes int64, d time.Duration) float64 {
	return float64(bytes) / 1e6 / d.Seconds()
}
