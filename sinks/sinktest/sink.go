package sinktest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/flue-fhir/flue/internal/fhirjson"
	"github.com/flue-fhir/flue/sinks"
)

// SinkHarness tells TestSink what it tests.
type SinkHarness struct {
	// New makes the sink. Its files should be small, so that a few thousand rows
	// need several.
	New func() sinks.Sink
	// IDs reads the ids of the resources in a published file, in its order.
	// For a file that holds no resources ok is false.
	IDs func(t *testing.T, path string, data []byte) (ids []string, ok bool)
}

// TestSink proves that a sink publishes exactly the lines that it is told to,
// describes its files rightly, and leaves nothing half-done behind it.
func TestSink(t *testing.T, h SinkHarness) {
	t.Run("PublishesWhatIsNotSkipped", h.publishes)
	t.Run("NoRows", h.noRows)
	t.Run("ManyParts", h.manyParts)
	t.Run("Repeatable", h.repeatable)
	t.Run("RetryAfterEveryFailure", h.retry)
	t.Run("BrokenPart", h.brokenPart)
	t.Run("WrongCount", h.wrongCount)
	t.Run("Cancelled", h.cancelled)
	t.Run("Concurrent", h.concurrent)
}

// Patients makes lines of Patient resources with the ids "p<from>" and on.
func Patients(from, n int) []string {
	var lines []string
	for i := from; i < from+n; i++ {
		lines = append(lines, fmt.Sprintf(`{"resourceType":"Patient","id":"p%d","meta":{"lastUpdated":"2024-01-02T03:04:05.678Z"},`+
			`"name":[{"family":"Family%d","given":["Ada","%x"]}],"birthDate":"19%02d-0%d"}`, i, i%97, i*7919, i%100, i%9+1))
	}
	return lines
}

// input makes the input of a type from parts, with the columns that occur.
func input(t *testing.T, typ string, parts ...*Part) sinks.Input {
	t.Helper()
	in := sinks.Input{Type: typ, Run: "r1", Budget: 32 << 20}
	var w fhirjson.Walker
	for _, p := range parts {
		in.Parts = append(in.Parts, p)
		r := fhirjson.NewReader(bytes.NewReader(p.Data), 0)
		for {
			line, err := r.Next()
			if err != nil {
				break
			}
			_, _ = w.Walk(line, nil) // invalid lines are among the skipped ones
		}
	}
	in.Columns = w.Tree(typ)
	return in
}

func (h SinkHarness) convert(t *testing.T, s *Staging, in sinks.Input) sinks.Output {
	t.Helper()
	out, err := h.New().Convert(t.Context(), in, s)
	if err != nil {
		t.Fatalf("Convert: %v", err)
	}
	h.check(t, s, in, out)
	return out
}

// check compares the output's description with the files.
func (h SinkHarness) check(t *testing.T, s *Staging, in sinks.Input, out sinks.Output) {
	t.Helper()
	for _, fault := range s.Faults() {
		t.Error(fault)
	}
	var described []string
	for _, f := range out.Files {
		described = append(described, f.Path)
		data := s.Data(f.Path)
		sum := sha256.Sum256(data)
		if f.Bytes != int64(len(data)) || f.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: described as %d bytes with sum %s; it has %d with %x", f.Path, f.Bytes, f.SHA256, len(data), sum)
		}
		if f.Type != in.Type {
			t.Errorf("%s: type %q, want %q", f.Path, f.Type, in.Type)
		}
		if want := h.New().Name() + "/" + in.Type + "/"; !strings.HasPrefix(f.Path, want) {
			t.Errorf("%s: not below %s", f.Path, want)
		}
		if ids, ok := h.IDs(t, f.Path, data); ok && int64(len(ids)) != f.Rows {
			t.Errorf("%s: described with %d rows, has %d", f.Path, f.Rows, len(ids))
		}
	}
	slices.Sort(described)
	for _, path := range s.Files() {
		if _, found := slices.BinarySearch(described, path); !found && strings.HasPrefix(path, h.New().Name()+"/"+in.Type+"/") {
			if _, ok := h.IDs(t, path, s.Data(path)); ok {
				t.Errorf("%s: committed and not described", path)
			}
		}
	}
}

// ids are those of all files of a type, in order of the paths.
func (h SinkHarness) ids(t *testing.T, s *Staging) []string {
	t.Helper()
	var all []string
	for _, path := range s.Files() {
		ids, _ := h.IDs(t, path, s.Data(path))
		all = append(all, ids...)
	}
	return all
}

func wantIDs(ranges ...[2]int) []string {
	var ids []string
	for _, r := range ranges {
		for i := r[0]; i < r[1]; i++ {
			ids = append(ids, fmt.Sprintf("p%d", i))
		}
	}
	return ids
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("%s: row %d is %s, want %s (%d rows, want %d)", what, i, got[i], want[i], len(got), len(want))
		}
	}
	t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
}

func (h SinkHarness) publishes(t *testing.T) {
	lines := Patients(0, 10)
	lines[3] = `{"resourceType":"Observation","id":"o1"}` // another type
	lines[4] = `{"resourceType":"Patient","id":`          // quarantined
	lines[9] = Patients(1, 1)[0]                          // an older version of p1
	crlf := &Part{
		Data: []byte("\ufeff" + Patients(10, 1)[0] + "\r\n\r\n  \n" + Patients(11, 1)[0] + " \r\n" + Patients(12, 1)[0] + "\n \n" + Patients(13, 1)[0]),
		Skip: []int64{4}, Rows: 3,
	}
	var s Staging
	h.convert(t, &s, input(t, "Patient", NewPart(lines, 0, 3, 4, 9), crlf))
	same(t, "published", h.ids(t, &s), append(wantIDs([2]int{1, 3}, [2]int{5, 9}), "p10", "p11", "p13"))
}

func (h SinkHarness) noRows(t *testing.T) {
	for name, in := range map[string]sinks.Input{
		"NoParts":    {Type: "Patient", Run: "r1", Budget: 1 << 20},
		"AllSkipped": input(t, "Patient", NewPart(Patients(0, 2), 0, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			var s Staging
			out := h.convert(t, &s, in)
			for _, f := range out.Files {
				if f.Rows != 0 {
					t.Errorf("%s: %d rows, want none", f.Path, f.Rows)
				}
			}
			same(t, "published", h.ids(t, &s), nil)
		})
	}
}

func (h SinkHarness) manyParts(t *testing.T) {
	var parts []*Part
	for i := range 300 {
		parts = append(parts, NewPart(Patients(i*20, 20)))
	}
	parts = append(parts, NewPart(Patients(6000, 3000)))
	var s Staging
	out := h.convert(t, &s, input(t, "Patient", parts...))
	same(t, "published", h.ids(t, &s), wantIDs([2]int{0, 9000}))
	if n := len(out.Files); n < 2 || n > 150 {
		t.Errorf("%d files, want several, and far fewer than parts", n)
	}
}

func (h SinkHarness) repeatable(t *testing.T) {
	var a, b Staging
	lines := Patients(0, 500)
	h.convert(t, &a, input(t, "Patient", NewPart(lines, 7), NewPart(Patients(500, 3000))))
	h.convert(t, &b, input(t, "Patient", NewPart(lines, 7), NewPart(Patients(500, 3000))))
	if !slices.Equal(a.Files(), b.Files()) {
		t.Fatalf("files %v, then %v", a.Files(), b.Files())
	}
	for _, path := range a.Files() {
		if !bytes.Equal(a.Data(path), b.Data(path)) {
			t.Errorf("%s: two conversions of the same input differ", path)
		}
	}
}

// retry fails at every step, or at many of them, and converts again into what
// that left.
func (h SinkHarness) retry(t *testing.T) {
	in := input(t, "Patient", NewPart(Patients(0, 300), 5), NewPart(Patients(300, 2000)))
	small := input(t, "Patient", NewPart(Patients(0, 300), 5))
	var whole Staging
	h.convert(t, &whole, in)
	stride := 1 + whole.Steps()/40
	for at := 1; at <= whole.Steps(); at += stride {
		s := Staging{FailAt: at}
		if _, err := h.New().Convert(t.Context(), in, &s); !errors.Is(err, ErrInjected) {
			t.Fatalf("step %d of %d failed and Convert returned %v", at, whole.Steps(), err)
		}
		for _, fault := range s.Faults() {
			t.Errorf("step %d: %s", at, fault)
		}
		s.FailAt = 0
		h.convert(t, &s, small) // a smaller result must not leave the larger one's files
		same(t, "after the retry", h.ids(t, &s), append(wantIDs([2]int{0, 5}), wantIDs([2]int{6, 300})...))
	}
}

func (h SinkHarness) brokenPart(t *testing.T) {
	boom := errors.New("disk on fire")
	for name, broken := range map[string]*Part{
		"Open": {Data: []byte(Patients(0, 1)[0] + "\n"), Rows: 1, OpenErr: boom},
		"Read": {Data: []byte(strings.Join(Patients(0, 100), "\n")), Rows: 100, ReadErr: boom},
	} {
		t.Run(name, func(t *testing.T) {
			var s Staging
			_, err := h.New().Convert(t.Context(), input(t, "Patient", NewPart(Patients(100, 10)), broken), &s)
			if !errors.Is(err, boom) {
				t.Errorf("Convert returned %v, want the part's error", err)
			}
			for _, fault := range s.Faults() {
				t.Error(fault)
			}
		})
	}
}

// wrongCount gives a part with other rows than it says: I3 says that this is
// never published.
func (h SinkHarness) wrongCount(t *testing.T) {
	for _, rows := range []int64{9, 11} {
		p := NewPart(Patients(0, 10))
		p.Rows = rows
		var s Staging
		if _, err := h.New().Convert(t.Context(), input(t, "Patient", p), &s); err == nil {
			t.Errorf("10 lines were published as %d", rows)
		}
	}
}

func (h SinkHarness) cancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("stop")
	cancel(cause)
	var s Staging
	if _, err := h.New().Convert(ctx, input(t, "Patient", NewPart(Patients(0, 10))), &s); !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
		t.Errorf("Convert returned %v, want that it was cancelled", err)
	}
	for _, fault := range s.Faults() {
		t.Error(fault)
	}
}

// concurrent converts several types at once with one sink.
func (h SinkHarness) concurrent(t *testing.T) {
	sink := h.New()
	var s Staging
	var wg sync.WaitGroup
	types := []string{"Patient", "Observation", "Encounter", "Condition"}
	errs := make([]error, len(types))
	for i, typ := range types {
		var lines []string
		for n := range 500 {
			lines = append(lines, fmt.Sprintf(`{"resourceType":"%s","id":"%s-%d"}`, typ, typ, n))
		}
		in := input(t, typ, NewPart(lines))
		wg.Go(func() {
			_, errs[i] = sink.Convert(t.Context(), in, &s)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	got := h.ids(t, &s)
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != 500*len(types) {
		t.Errorf("%d different rows, want %d", n, 500*len(types))
	}
}
