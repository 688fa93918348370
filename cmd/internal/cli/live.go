package cli

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/flue-fhir/flue/pipeline"
)

const redrawEvery = 150 * time.Millisecond

// live is the picture of a run on a terminal: a few lines at the bottom that are
// drawn again and again, with warnings and log lines going by above them.
type live struct {
	job     string
	columns func() (int, bool) // of the terminal, asked before each drawing: windows change
	color   bool
	now     func() time.Time
	logs    slog.Handler

	mu      sync.Mutex
	out     io.Writer
	width   int   // of the terminal at the last drawing
	drawn   []int // columns of each line that is on the screen
	started time.Time
	event   pipeline.Event // the newest
	server  string         // what the server said of its progress
	rate    rate

	stop chan struct{}
	done chan struct{}
}

func newLive(out io.Writer, job string, columns func() (int, bool), color bool, now func() time.Time, logs func(io.Writer) slog.Handler) *live {
	l := &live{job: job, columns: columns, width: 80, color: color, now: now, out: out, started: now(), stop: make(chan struct{}), done: make(chan struct{})}
	l.logs = logs(aboveLive{l})
	go l.redraw()
	return l
}

func (l *live) handler() slog.Handler { return l.logs }

// close draws the last picture and leaves it on the screen.
func (l *live) close() {
	close(l.stop)
	<-l.done
}

func (l *live) redraw() {
	defer close(l.done)
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.above(nil)
		case <-l.stop:
			l.above(nil)
			_, _ = io.WriteString(l.out, "\n")
			return
		}
	}
}

func (l *live) observe(e pipeline.Event) {
	var line []byte
	l.mu.Lock()
	l.event = e
	l.rate.note(l.now(), e.Progress.BytesRead)
	switch e.Kind {
	case "poll":
		l.server = e.Text
	case "warning":
		line = []byte(l.paint(yellow, "warning: ") + e.Text + "\n")
	case "resume":
		line = []byte(textOf(e) + "\n")
	}
	l.mu.Unlock()
	if line != nil {
		l.above(line)
	}
}

// aboveLive writes whole lines above the picture.
type aboveLive struct{ l *live }

func (w aboveLive) Write(p []byte) (int, error) {
	w.l.above(p)
	return len(p), nil
}

// above writes text, which ends a line or is empty, and draws the picture anew
// below it.
func (l *live) above(text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b bytes.Buffer
	if n, ok := l.columns(); ok && n > 0 {
		l.width = n
	}
	if rows := l.rows(); rows > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", rows)
	}
	b.WriteString("\r\x1b[J")
	b.Write(text)
	l.drawn = l.drawn[:0]
	for _, line := range l.picture() {
		b.WriteString(line + "\n")
		l.drawn = append(l.drawn, columnsOf(line))
	}
	_, _ = l.out.Write(b.Bytes()) // a terminal that went away is no reason to stop a run
}

// rows is how much of the screen the last picture takes: a terminal that became
// narrower has broken its long lines.
func (l *live) rows() int {
	rows := 0
	for _, columns := range l.drawn {
		rows += max(1, (columns+l.width-1)/l.width)
	}
	return rows
}

// columnsOf is the width of a line of the picture without its colors.
func columnsOf(line string) int {
	columns, escaped := 0, false
	for _, r := range line {
		switch {
		case r == '\x1b':
			escaped = true
		case escaped:
			escaped = r != 'm'
		default:
			columns++
		}
	}
	return columns
}

// picture is the run as it stands.
func (l *live) picture() []string {
	e := l.event
	now := l.now()
	p := e.Progress
	state := stateText(e.State)
	if e.State == "" {
		state = "starting"
	}
	lines := []string{l.title(state, clock(now.Sub(l.started)))}
	switch {
	case l.server != "" && p.Files == 0:
		lines = append(lines, l.row("server", l.server))
	case p.Files > 0:
		share := float64(p.FilesDone) / float64(p.Files)
		if p.BytesTotal > 0 {
			share = float64(p.BytesRead) / float64(p.BytesTotal)
		}
		lines = append(lines, l.row("files", l.bar(share)+fmt.Sprintf("  %s of %s", number(p.FilesDone), number(p.Files))))
	}
	if p.BytesRead > 0 || p.Resources > 0 {
		text := fmt.Sprintf("%s resources  %s", number(p.Resources), size(p.BytesRead))
		if speed := l.rate.perSecond(now); speed > 0 && e.State == pipeline.Landing {
			text += fmt.Sprintf("  %s/s", size(int64(speed)))
			if left := l.left(p, speed, now); left != "" {
				text += "  about " + left + " left"
			}
		}
		lines = append(lines, l.row("data", text))
	}
	if e.State == pipeline.Converting && p.ToConvert > 0 {
		text := fmt.Sprintf("  %s of %s", size(p.Converted), size(p.ToConvert))
		lines = append(lines, l.row("output", l.bar(float64(p.Converted)/float64(p.ToConvert))+text))
	}
	var rest []string
	switch {
	case p.Types > p.TypesDone:
		rest = append(rest, fmt.Sprintf("%d of %d types converted", p.TypesDone, p.Types))
	case p.TypesDone > 0:
		rest = append(rest, plural(int64(p.TypesDone), "type")+" converted")
	}
	if p.Attachments > 0 {
		rest = append(rest, plural(p.Attachments, "attachment"))
	}
	if p.Tokens > 0 {
		rest = append(rest, plural(p.Tokens, "token"))
	}
	if p.Retries == 1 {
		rest = append(rest, "1 retry")
	} else if p.Retries > 1 {
		rest = append(rest, number(p.Retries)+" retries")
	}
	if len(rest) > 0 {
		lines = append(lines, l.row("", strings.Join(rest, "  ")))
	}
	return lines
}

// left is how long the rest takes, by bytes where their sum is known and by files
// otherwise; empty when nobody knows.
func (l *live) left(p pipeline.Progress, speed float64, now time.Time) string {
	switch {
	case p.BytesTotal > p.BytesRead:
		return clock(time.Duration(float64(p.BytesTotal-p.BytesRead) / speed * float64(time.Second)))
	case p.BytesTotal == 0 && p.FilesDone > 2 && p.Files > p.FilesDone:
		perFile := float64(p.BytesRead) / float64(p.FilesDone)
		return clock(time.Duration(perFile * float64(p.Files-p.FilesDone) / speed * float64(time.Second)))
	}
	return ""
}

func (l *live) title(state, elapsed string) string {
	head := l.job
	if id := "  " + l.event.Run; l.event.Run != "" && utf8.RuneCountInString(head+id+state+elapsed)+4 < l.width {
		head += id
	}
	text := head + "  " + state
	gap := max(2, l.width-1-utf8.RuneCountInString(text)-len(elapsed))
	return l.cut(l.paint(bold, l.job)+strings.TrimPrefix(head, l.job)+"  "+l.paint(cyan, state)+strings.Repeat(" ", gap)+elapsed, text+strings.Repeat(" ", gap)+elapsed)
}

func (l *live) row(label, text string) string {
	plain := fmt.Sprintf("  %-7s%s", label, clean(text))
	return l.cut(plain, plain)
}

func (l *live) bar(share float64) string {
	cells := min(24, max(4, l.width-30)) // the rest of the line is the number of files
	full := int(min(max(share, 0), 1) * float64(cells))
	return strings.Repeat("█", full) + strings.Repeat("░", cells-full)
}

// cut keeps a line from wrapping, which would break the redraw; painted is the
// line with its colors, plain the same without.
func (l *live) cut(painted, plain string) string {
	if r := []rune(plain); len(r) >= l.width {
		return string(r[:max(0, l.width-1)])
	}
	return painted
}

// The colors of the picture.
const (
	bold   = "1"
	cyan   = "36"
	yellow = "33"
)

func (l *live) paint(color, text string) string {
	if !l.color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// clean takes control characters out of what a server sent: it must not steer the
// terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}

// rate is the speed over the last seconds.
type rate struct {
	samples []sample
}

type sample struct {
	at    time.Time
	bytes int64
}

const rateWindow = 8 * time.Second

func (r *rate) note(now time.Time, bytes int64) {
	if bytes == 0 {
		r.samples = append(r.samples[:0], sample{now, 0}) // nothing has come: the waiting does not count
		return
	}
	if n := len(r.samples); n > 0 && (now.Sub(r.samples[n-1].at) < 100*time.Millisecond || bytes < r.samples[n-1].bytes) {
		return
	}
	r.samples = append(r.samples, sample{now, bytes})
	for len(r.samples) > 2 && now.Sub(r.samples[0].at) > rateWindow {
		r.samples = r.samples[1:]
	}
}

// perSecond is the speed in bytes; 0 when it is not known yet.
func (r *rate) perSecond(now time.Time) float64 {
	if len(r.samples) < 2 {
		return 0
	}
	first, last := r.samples[0], r.samples[len(r.samples)-1]
	seconds := later(last.at, now).Sub(first.at).Seconds()
	if seconds < 0.3 {
		return 0
	}
	return float64(last.bytes-first.bytes) / seconds
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
