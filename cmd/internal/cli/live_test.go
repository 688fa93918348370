package cli

import (
	"bytes"
	"io"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/flue-fhir/flue/pipeline"
)

// screen is a terminal that knows what live uses: new lines, going up, and
// clearing from the cursor on.
type screen struct {
	width int
	lines []string
	row   int
	t     *testing.T
}

var sequence = regexp.MustCompile("^\x1b\\[([0-9]*)([AJm])")

func (s *screen) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		for len(s.lines) <= s.row {
			s.lines = append(s.lines, "")
		}
		if m := sequence.FindSubmatch(p); m != nil {
			p = p[len(m[0]):]
			switch string(m[2]) {
			case "A":
				up, _ := strconv.Atoi(string(m[1]))
				if s.row -= up; s.row < 0 {
					s.t.Error("the cursor went above the first line")
					s.row = 0
				}
			case "J":
				s.lines = s.lines[:s.row]
			}
			continue
		}
		r, size := utf8.DecodeRune(p)
		p = p[size:]
		switch r {
		case '\n':
			s.row++
		case '\r':
		default:
			s.lines[s.row] += string(r)
			if utf8.RuneCountInString(s.lines[s.row]) >= s.width {
				s.t.Errorf("line wraps: %q", s.lines[s.row])
			}
		}
	}
	return n, nil
}

func (s *screen) columns() (int, bool) { return s.width, true }

// narrow makes the screen narrower: like most terminals it breaks the lines that
// are too long now.
func (s *screen) narrow(width int) {
	var broken []string
	for i, line := range s.lines[:s.row] {
		for n := 0; utf8.RuneCountInString(line) > width; n++ {
			r := []rune(line)
			broken, line = append(broken, string(r[:width])), string(r[width:])
		}
		broken = append(broken, line)
		if i == s.row-1 {
			s.row = len(broken)
		}
	}
	s.width, s.lines = width, broken
}

func (s *screen) String() string { return strings.Join(s.lines, "\n") }

func plainLogs(w io.Writer) slog.Handler { return newTextHandler(w, slog.LevelWarn) }

func TestLivePicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &screen{width: 72, t: t}
		l := newLive(out, "nightly", out.columns, false, time.Now, plainLogs)
		l.observe(pipeline.Event{Kind: "state", Run: "r1", State: pipeline.Exporting})
		l.observe(pipeline.Event{Kind: "poll", Run: "r1", State: pipeline.Exporting, Text: "25 %\x1b[2J of all"})
		time.Sleep(time.Second)
		synctest.Wait()
		if got := out.String(); !strings.Contains(got, "waiting for the server") || !strings.Contains(got, "server 25 %[2J of all") {
			t.Errorf("while exporting:\n%s", got)
		}
		slog.New(l.handler()).Warn("above")
		l.observe(pipeline.Event{Kind: "warning", Text: "odd", State: pipeline.Landing})
		for i := range 10 {
			l.observe(pipeline.Event{Kind: "progress", Run: "r1", State: pipeline.Landing, Progress: pipeline.Progress{
				Files: 20, FilesDone: int64(i), Resources: int64(1000 * i), BytesRead: int64(i) * 1_000_000, BytesTotal: 20_000_000,
				TypesDone: 1, Types: 3, Tokens: 2, Retries: 1,
			}})
			time.Sleep(500 * time.Millisecond)
		}
		synctest.Wait()
		want := []string{
			"above", "warning: odd",
			"nightly  r1  fetching files",
			"files  ██████████░░░░░░░░░░░░░░  9 of 20",
			"data   9,000 resources  9.0 MB  1.8 MB/s  about 0:0",
			"1 of 3 types converted  2 tokens  1 retry",
		}
		got := out.String()
		for _, w := range want {
			if strings.Count(got, w) != 1 {
				t.Errorf("%q is not once in\n%s", w, got)
			}
		}
		l.observe(pipeline.Event{Kind: "state", Run: "r1", State: pipeline.Published})
		l.close()
		if got := out.String(); !strings.Contains(got, "published") || strings.Contains(got, "fetching") {
			t.Errorf("in the end:\n%s", got)
		}
	})
}

// A window that changes leaves no pieces of older pictures behind.
func TestLivePictureInAWindowThatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &screen{width: 100, t: t}
		l := newLive(out, "nightly", out.columns, true, time.Now, plainLogs)
		slog.New(l.handler()).Warn("above")
		show := func() {
			l.observe(pipeline.Event{Kind: "progress", Run: "1m804k543cpn", State: pipeline.Landing, Progress: pipeline.Progress{
				Files: 20, FilesDone: 3, Resources: 1000, BytesRead: 1_000_000, BytesTotal: 20_000_000, Types: 3, Tokens: 2,
			}})
			time.Sleep(redrawEvery)
			synctest.Wait()
		}
		show()
		for _, width := range []int{60, 31, 7} {
			out.narrow(width)
			show()
			got := strings.ReplaceAll(out.String(), "\n", "")
			if strings.Count(got, "warn: above") != 1 {
				t.Errorf("at %d columns:\n%s", width, out)
			}
			if lines := strings.Count(out.String(), "\n"); width > 7 && (lines != 4 || !strings.Contains(got, "fetching files") || !strings.Contains(got, "3 of 20")) {
				t.Errorf("at %d columns:\n%s", width, out)
			}
		}
		l.close()
	})
}

func TestEventLines(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var b bytes.Buffer
	w := &textEvents{log: slog.New(newTextHandler(&b, slog.LevelInfo))}
	for _, e := range []pipeline.Event{
		{Kind: "state", State: pipeline.KickedOff},
		{Kind: "poll", Text: "12 %"},
		{Kind: "progress"},
		{Kind: "progress", Progress: pipeline.Progress{BytesRead: 5, FilesDone: 1, Files: 2}},
		{Kind: "file", Time: start.Add(time.Second), Type: "Patient", Progress: pipeline.Progress{BytesRead: 6, FilesDone: 2, Files: 2}},
		{Kind: "warning", Text: "odd", Code: "odd"},
		{Kind: "retry", Text: "503"},
		{Kind: "resume"},
		{Kind: "type", Type: "Patient"},
	} {
		if e.Time.IsZero() {
			e.Time = start
		}
		w.observe(e)
	}
	var got []string
	for line := range strings.Lines(b.String()) {
		_, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		got = append(got, text)
	}
	want := []string{
		"export accepted by the server",
		"the server is exporting: 12 %",
		`progress  files=1  of=2  resources=0  read="5 B"`,
		"warn: odd",
		"retrying: 503",
		"an earlier run is taken up again",
		`type converted  type=Patient  files=0  of=0  resources=0  read="0 B"`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
