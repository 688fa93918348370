package spool

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/internal/durable"
)

// F40: what is told of bad lines is the same from the landed parts and from what
// was published of them, and holds nothing of the lines.
func TestF40BadLinesAreListedWithoutTheirContent(t *testing.T) {
	r, p := landMixed(t, []byte(mixed))
	long := openRun(t, &Spool{Dir: tempDir(t), MinFree: 1, MaxLine: 1 << 20})
	huge := land(t, long, "huge", unknown, source([]byte(`{"resourceType":"Patient","id":"`+strings.Repeat("x", 2*maxText)+`"}`+"\nbad\n")))
	parts := []*Part{p, huge}
	var landed []BadLine
	if err := EachBad(t.Context(), parts, func(b BadLine) error { landed = append(landed, b); return nil }); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if n, err := r.WriteQuarantine(t.Context(), parts, &out); err != nil || int(n) != len(landed) {
		t.Fatalf("WriteQuarantine: %d, %v; want %d", n, err, len(landed))
	}
	var published []BadLine
	if err := ReadQuarantine(t.Context(), &out, func(b BadLine) error { published = append(published, b); return nil }); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(landed, published); d != "" {
		t.Errorf("published otherwise than landed (-landed +published):\n%s", d)
	}
	if len(landed) != 8 {
		t.Fatalf("%d lines, want 8: %+v", len(landed), landed)
	}
	want := BadLine{Part: "huge", Type: landed[7].Type, Line: 2, Offset: 2*maxText + 35, Reason: landed[7].Reason}
	if landed[7] != want || want.Reason == "" {
		t.Errorf("last line %+v, want %+v", landed[7], want)
	}
}

func TestReadQuarantineTakesOnlyItsOwn(t *testing.T) {
	for name, text := range map[string]string{
		"NoObject":  "nonsense\n",
		"NoContent": `{"part":"a","line":1,"offset":0,"column":0,"reason":"r"}` + "\n",
		"Cut":       `{"part":"a","li`,
		"Blank":     "\n",
	} {
		t.Run(name, func(t *testing.T) {
			err := ReadQuarantine(t.Context(), strings.NewReader(text), func(b BadLine) error {
				t.Errorf("yielded %+v", b)
				return nil
			})
			if err == nil || strings.Contains(err.Error(), "nonsense") {
				t.Errorf("err = %v", err)
			}
		})
	}
	// Names that look like members do not end the head.
	var out bytes.Buffer
	want := BadLine{Part: `x,"text":"y,"base64":"`, Line: 1, Reason: `r","text":"`}
	w := bufio.NewWriter(&out)
	if err := errors.Join(WriteBad(w, want, strings.NewReader(`,"text":"`)), w.Flush()); err != nil {
		t.Fatal(err)
	}
	if err := ReadQuarantine(t.Context(), &out, func(b BadLine) error {
		if b != want {
			t.Errorf("read %+v, want %+v", b, want)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestEachResource(t *testing.T) {
	_, p := landMixed(t, gz(t, []byte(mixed)))
	var got []string
	if err := p.EachResource(t.Context(), func(l ResourceLine) error {
		if at := strings.Index(mixed, string(l.Text)); int64(at) != l.Offset {
			t.Errorf("line %d is said to be at %d, it is at %d", l.Number, l.Offset, at)
		}
		got = append(got, string(l.Text))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var want int64
	for _, typ := range p.Info().Types {
		want += typ.Lines
	}
	if int64(len(got)) != want || want == 0 {
		t.Errorf("%d resources, want %d", len(got), want)
	}
	for _, line := range got {
		if strings.Contains(line, "OperationOutcome") || strings.Contains(line, `"header"`) {
			t.Errorf("yielded %s", line)
		}
	}
	stop := errors.New("stop")
	if err := p.EachResource(t.Context(), func(ResourceLine) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("err = %v, want that of yield", err)
	}
}

// Looking at a run makes no folder, and leaves what a landing has in hand.
func TestLookChangesNothing(t *testing.T) {
	s := &Spool{Dir: tempDir(t), MinFree: 1}
	if r, err := s.Look("none"); r != nil || err != nil {
		t.Errorf("Look at nothing: %v, %v", r, err)
	}
	if runs, err := s.Runs(); len(runs) > 0 || err != nil {
		t.Errorf("runs %v, %v", runs, err)
	}
	r := openRun(t, s)
	land(t, r, "k", unknown, source([]byte("bad\n")))
	temp := filepath.Join(r.dir.Path, strings.Replace(durable.TempPattern, "*", "1", 1))
	if err := os.WriteFile(temp, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	look, err := s.Look(filepath.Base(r.dir.Path))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := look.Part("k"); err != nil || p.Info().Quarantined != 1 {
		t.Errorf("part %+v, %v", p, err)
	}
	if _, err := os.Stat(temp); err != nil {
		t.Errorf("a file in the making: %v", err)
	}
}
