package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// part mirrors sinks.Part, which this package must not import.
type part interface {
	Open() (io.ReadCloser, error)
	Lines() int64
	Bytes() int64
	Skips() func(yield func(line int64) bool)
	Raw() (open func() (io.ReadCloser, error), encoding string, ok bool)
}

var _ part = (*View)(nil)

// landLines lands a part of lines; those that are empty are blank.
func landLines(t testing.TB, r *Run, key string, lines ...string) *Part {
	t.Helper()
	return land(t, r, key, unknown, source([]byte(strings.Join(lines, "\n")+"\n")))
}

func selectLines(t testing.TB, r *Run, typ string, memory int64, parts ...*Part) *Selection {
	t.Helper()
	s, err := r.Select(t.Context(), typ, parts, SelectOptions{Memory: memory})
	if err != nil {
		t.Fatalf("Select: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// published are the lines that a sink would write.
func published(t testing.TB, s *Selection) []string {
	t.Helper()
	var all []string
	for _, v := range s.Views {
		skip := map[int64]bool{}
		if skips := v.Skips(); skips != nil {
			last := int64(-1)
			skips(func(line int64) bool {
				if line <= last {
					t.Fatalf("Skips yields %d after %d", line, last)
				}
				last = line
				skip[line] = true
				return true
			})
		}
		var n int64
		for i, line := range strings.Split(string(readAll(t, v.Open)), "\n") {
			if line != "" && !skip[int64(i)] {
				all = append(all, line)
				n++
			}
		}
		if n != v.Lines() {
			t.Fatalf("a view publishes %d lines and says %d", n, v.Lines())
		}
	}
	if int64(len(all)) != s.Published || s.Delivered != s.Published+s.Superseded {
		t.Fatalf("%d lines are published; the selection says %d of %d, %d superseded", len(all), s.Published, s.Delivered, s.Superseded)
	}
	return all
}

func resource(typ, id, updated string, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"resourceType":%q`, typ)
	if id != "" {
		fmt.Fprintf(&b, `,"id":%q`, id)
	}
	if updated != "" {
		fmt.Fprintf(&b, `,"meta":{"lastUpdated":%q%s}`, updated, more)
	} else if more != "" {
		fmt.Fprintf(&b, `,"meta":{%s}`, more[1:])
	}
	return b.String() + "}"
}

const subsetted = `,"tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]`

// An id's escapes are resolved once: a backslash in an id is no escape.
func TestIDsWithBackslashesDiffer(t *testing.T) {
	lines := []string{
		resource("Patient", "a", "2024-01-01T00:00:00Z", ""),
		resource("Patient", `\u0061`, "2024-01-02T00:00:00Z", ""),
	}
	r := newRun(t)
	if got := published(t, selectLines(t, r, "Patient", 0, landLines(t, r, "1", lines...))); len(got) != 2 {
		t.Errorf("published %q, want both", got)
	}
}

func TestF53NewestVersionWins(t *testing.T) {
	a1 := resource("Patient", "a", "2024-01-01T00:00:00Z", "")
	a2 := resource("Patient", "a", "2024-01-01T00:00:00.000001Z", "")
	a2b := resource("Patient", "a", "2023-12-31T19:00:00.000001-05:00", "") // the same instant
	aNone := resource("Patient", "a", "", "")
	for name, c := range map[string]struct {
		lines []string
		want  int
	}{
		"Newer":             {[]string{a2, a1}, 0},
		"NewerLater":        {[]string{a1, a2}, 1},
		"TiesGoToTheLater":  {[]string{a2, a2b}, 1},
		"TiesByTheInstant":  {[]string{a2b, a2}, 1},
		"MissingIsOldest":   {[]string{a1, aNone}, 0},
		"GarbageIsOldest":   {[]string{a1, resource("Patient", "a", "soon", "")}, 0},
		"LeapSecond":        {[]string{resource("Patient", "a", "2016-12-31T23:59:60Z", ""), resource("Patient", "a", "2016-12-31T23:59:59Z", "")}, 0},
		"EscapedIDIsEqual":  {[]string{a1, strings.Replace(a2, `"a"`, `"\u0061"`, 1)}, 1},
		"SameLineTwice":     {[]string{a1, a1}, 1},
		"FullBeatsPartial":  {[]string{a1, resource("Patient", "a", "2025-01-01T00:00:00Z", subsetted)}, 0},
		"FullBeatsPartial2": {[]string{resource("Patient", "a", "2025-01-01T00:00:00Z", subsetted), a1}, 1},
		"NewestPartial":     {[]string{resource("Patient", "a", "2025-01-01T00:00:00Z", subsetted), resource("Patient", "a", "", subsetted)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, apart := range []bool{false, true} {
				r := newRun(t)
				var parts []*Part
				if apart {
					parts = []*Part{landLines(t, r, "1", c.lines[0]), landLines(t, r, "2", c.lines[1])}
				} else {
					parts = []*Part{landLines(t, r, "1", c.lines...)}
				}
				s := selectLines(t, r, "Patient", 0, parts...)
				if got := published(t, s); len(got) != 1 || got[0] != c.lines[c.want] {
					t.Errorf("apart %t: published %q, want line %d", apart, got, c.want)
				}
			}
		})
	}
}

func TestSelectKeepsWhatIsNotTheSame(t *testing.T) {
	r := newRun(t)
	lines := []string{
		resource("Patient", "a", "", ""),
		resource("Patient", "A", "", ""), // ids are case-sensitive
		resource("Patient", "", "", ""),  // no id: nothing to be the same
		resource("Patient", "", "", ""),
		`{"resourceType":"Patient","id":""}`,
		`{"resourceType":"Patient","id":""}`,
		resource("Observation", "a", "", ""), // another type
	}
	p := landLines(t, r, "1", lines...)
	if got := published(t, selectLines(t, r, "Patient", 0, p)); !slices.Equal(got, lines[:6]) {
		t.Errorf("published %q", got)
	}
	if got := published(t, selectLines(t, r, "Observation", 0, p)); !slices.Equal(got, lines[6:]) {
		t.Errorf("published %q", got)
	}
	s := selectLines(t, r, "Encounter", 0, p)
	if len(s.Views) != 0 || s.Delivered != 0 || s.Tree != nil {
		t.Errorf("a type that did not come: %+v", s)
	}
}

func TestSelectTree(t *testing.T) {
	r := newRun(t)
	a := landLines(t, r, "1", `{"resourceType":"Patient","id":"a","gender":"female"}`, `{"resourceType":"Unheard","id":"a","x":1}`)
	b := landLines(t, r, "2", `{"resourceType":"Patient","id":"b","name":[{"given":["B"]}]}`)
	s := selectLines(t, r, "Patient", 0, a, b)
	if s.Tree == nil {
		t.Fatal("no columns")
	}
	for path, want := range map[string]bool{"id": true, "gender": true, "name.given": true, "birthDate": false} {
		if got := s.Tree.Lookup(path) != nil; got != want {
			t.Errorf("column %s: %t, want %t", path, got, want)
		}
	}
	unheard := selectLines(t, r, "Unheard", 0, a, b)
	if unheard.Tree != nil || len(published(t, unheard)) != 1 {
		t.Errorf("F29: a type that R4 has not: %+v", unheard)
	}
}

func TestRawOnlyWhenEveryByteIsPublished(t *testing.T) {
	a, b := resource("Patient", "a", "", ""), resource("Patient", "b", "", "")
	whole := []byte(a + "\n" + b + "\n")
	for name, c := range map[string]struct {
		body []byte
		raw  bool
	}{
		"Plain":        {whole, true},
		"Gzip":         {gz(t, whole), true},
		"Doubled":      {gz(t, gz(t, whole)), false},
		"NoLastEnd":    {whole[:len(whole)-1], false},
		"CRLF":         {[]byte(a + "\r\n" + b + "\r\n"), false},
		"BOM":          {[]byte("\ufeff" + a + "\n"), false},
		"Blank":        {[]byte(a + "\n\n" + b + "\n"), false},
		"Spaces":       {[]byte(" " + a + "\n"), false},
		"OtherType":    {[]byte(a + "\n" + resource("Group", "g", "", "") + "\n"), false},
		"Outcome":      {[]byte(a + "\n" + `{"resourceType":"OperationOutcome","issue":[]}` + "\n"), false},
		"Quarantined":  {[]byte(a + "\n{\n"), false},
		"Superseded":   {[]byte(a + "\n" + a + "\n"), false},
		"GzipWithSkip": {gz(t, []byte(a+"\n"+a+"\n")), false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t)
			s := selectLines(t, r, "Patient", 0, land(t, r, "1", unknown, source(c.body)))
			open, encoding, ok := s.Views[0].Raw()
			if ok != c.raw {
				t.Fatalf("Raw: %t, want %t", ok, c.raw)
			}
			if !ok {
				return
			}
			if got := readAll(t, open); !bytes.Equal(got, c.body) || s.Views[0].RawLen() != int64(len(c.body)) {
				t.Error("Raw is not what was sent")
			}
			if want := map[string]string{"Plain": "", "Gzip": "gzip"}[name]; encoding != want {
				t.Errorf("encoding %q, want %q", encoding, want)
			}
		})
	}
}

// TestSelectAgainstModel compares selections under every memory budget with a
// map that has all the memory it wants.
func TestSelectAgainstModel(t *testing.T) {
	type line struct {
		text      string
		id        int
		updated   int
		subsetted bool
	}
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("/dev/shm", "spool-test-")
		if err != nil {
			dir = t.TempDir()
		}
		defer os.RemoveAll(dir)
		r := openRun(t, &Spool{Dir: dir, MinFree: 1})
		var parts []*Part
		var all []line
		for p := range rapid.IntRange(1, 5).Draw(rt, "parts") {
			var lines []string
			for range rapid.IntRange(1, 60).Draw(rt, "lines") {
				switch rapid.IntRange(0, 9).Draw(rt, "kind") {
				case 0:
					lines = append(lines, "")
				case 1:
					lines = append(lines, resource("Observation", "o", "", ""))
				case 2:
					lines = append(lines, `{"broken`)
				default:
					l := line{id: rapid.IntRange(0, 30).Draw(rt, "id"), updated: rapid.IntRange(0, 3).Draw(rt, "updated"), subsetted: rapid.IntRange(0, 4).Draw(rt, "subsetted") == 0}
					updated, more := "", ""
					if l.updated > 0 {
						updated = fmt.Sprintf("2024-01-0%dT00:00:00Z", l.updated)
					}
					if l.subsetted {
						more = subsetted
					}
					l.text = resource("Patient", fmt.Sprint("p", l.id), updated, more)
					all = append(all, l)
					lines = append(lines, l.text)
				}
			}
			parts = append(parts, landLines(t, r, fmt.Sprint(p), lines...))
		}
		before := files(t, r)
		best := map[int]int{}
		for i, l := range all {
			j, ok := best[l.id]
			if b := all[j]; !ok || l.subsetted == b.subsetted && l.updated >= b.updated || !l.subsetted && b.subsetted {
				best[l.id] = i
			}
		}
		var want []string
		for i, l := range all {
			if best[l.id] == i {
				want = append(want, l.text)
			}
		}
		for _, memory := range []int64{1, 2_000, 10_000, 0} {
			s, err := r.Select(t.Context(), "Patient", parts, SelectOptions{Memory: memory})
			if err != nil {
				rt.Fatal(err)
			}
			if got := published(t, s); !slices.Equal(got, want) {
				rt.Fatalf("memory %d: published\n%q\nwant\n%q", memory, got, want)
			}
			if err := s.Close(); err != nil {
				rt.Fatal(err)
			}
			if got := files(t, r); !slices.Equal(got, before) {
				rt.Fatalf("memory %d: files %v are left", memory, got)
			}
		}
	})
}

// TestI8SelectManyUnderASmallBudget uses buckets and spilled runs for real.
func TestI8SelectManyUnderASmallBudget(t *testing.T) {
	r := newRun(t)
	first := land(t, r, "1", unknown, source(patients(1, 50_000)))
	second := land(t, r, "2", unknown, source(patients(2, 40_000)))
	large := selectLines(t, r, "Patient", 64<<20, first, second)
	want := published(t, large)
	if len(want) != 50_000 {
		t.Fatalf("%d lines are published, want 50000", len(want))
	}
	for _, memory := range []int64{20_000, 200_000, 2 << 20} {
		s := selectLines(t, r, "Patient", memory, first, second)
		if memory < 1<<20 && len(s.losers.runs) < 2 {
			t.Errorf("memory %d: %d runs were spilled, want several", memory, len(s.losers.runs))
		}
		if got := published(t, s); !slices.Equal(got, want) {
			t.Errorf("memory %d: another selection", memory)
		}
	}
}

// TestI3UnreadableIndexFailsTheView: when it cannot be told which lines are not
// to be published, the reader fails instead of ending.
func TestI3UnreadableIndexFailsTheView(t *testing.T) {
	r := newRun(t)
	p := landLines(t, r, "1", resource("Patient", "a", "", ""), `{"broken`, resource("Patient", "b", "", ""))
	s := selectLines(t, r, "Patient", 0, p)
	v := s.Views[0]
	data, err := os.ReadFile(p.place.path)
	if err != nil {
		t.Fatal(err)
	}
	data[p.foot.IndexAt+headerLen+5] ^= 1
	if err := os.WriteFile(p.place.path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	v.Skips()(func(int64) bool { return true })
	body, err := v.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var damaged *DamagedError
	if _, err := io.ReadAll(body); !errors.As(err, &damaged) || damaged.Hint() == "" {
		t.Errorf("reading ended with %v, want a *DamagedError", err)
	}
	if _, err := r.Select(t.Context(), "Patient", []*Part{p}, SelectOptions{}); !errors.As(err, &damaged) {
		t.Errorf("Select returned %v, want a *DamagedError", err)
	}
}

// TestI3UndatedLinesAreKept: in a bulk export two lines of one id are reduced to
// one only where lastUpdated tells which; a body that came twice counts once.
func TestI3UndatedLinesAreKept(t *testing.T) {
	a, b := resource("Patient", "a", "", ""), resource("Patient", "a", "", `,"versionId":"2"`)
	dated, newer := resource("Patient", "a", "2024-01-01T00:00:00Z", ""), resource("Patient", "a", "2024-01-02T00:00:00Z", "")
	part := resource("Patient", "a", "", subsetted)
	for name, c := range map[string]struct {
		bodies   [][]string
		want     []string
		repeated int64
	}{
		"InOneBody":       {[][]string{{a, b, a}}, []string{a, b, a}, 2},
		"InTwoBodies":     {[][]string{{a}, {b}}, []string{a, b}, 1},
		"SameBodyTwice":   {[][]string{{a, b}, {a, b}}, []string{a, b}, 1},
		"BodyWithoutIDs":  {[][]string{{resource("Patient", "", "", "")}, {resource("Patient", "", "", "")}}, []string{resource("Patient", "", "", "")}, 0},
		"DatedStillFight": {[][]string{{dated, a, newer}}, []string{a, newer}, 0},
		"PartialLoses":    {[][]string{{part, dated}}, []string{dated}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, memory := range []int64{0, 1} {
				r := newRun(t)
				var parts []*Part
				for i, lines := range c.bodies {
					parts = append(parts, landLines(t, r, fmt.Sprint(i), lines...))
				}
				s, err := r.Select(t.Context(), "Patient", parts, SelectOptions{Memory: memory, KeepUndated: true})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if got := published(t, s); !slices.Equal(got, c.want) || s.Repeated != c.repeated {
					t.Errorf("memory %d: published %q, %d repeated; want %q, %d", memory, got, s.Repeated, c.want, c.repeated)
				}
			}
		})
	}
}
