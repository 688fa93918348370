package parquet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/sinks"
)

func TestConfigErrors(t *testing.T) {
	in := newInput(t, "Patient", text(`{"resourceType":"Patient"}`))
	for _, s := range []*Sink{{Compression: "lzma"}, {Unmapped: "drop"}, {MaxLine: 2 << 30}} {
		_, err := s.Convert(context.Background(), in, newStaging())
		var e *ConfigError
		if !errors.As(err, &e) || e.Class() != "usage" {
			t.Errorf("%+v: %v", s, err)
		}
	}
	_, err := (&Sink{}).Convert(context.Background(), sinks.Input{Type: "SubscriptionStatus"}, newStaging())
	var e *TypeError
	if !errors.As(err, &e) || e.Hint() == "" {
		t.Errorf("unknown type: %v", err)
	}
}

// broken is a part whose bytes end in an error.
type broken struct{ part }

func (b broken) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(bytes.NewReader(b.data), iotestReader{})), nil
}

type iotestReader struct{}

func (iotestReader) Read([]byte) (int, error) { return 0, errors.New("disk is gone") }

// miscounted is a part that promises another number of lines (I3).
type miscounted struct{ part }

func (miscounted) Lines() int64 { return 3 }

// TestFailures: an error leaves no file behind and shows no content (I7).
func TestFailures(t *testing.T) {
	good := patients(2000)
	secret := `{"resourceType":"Patient","id":"SECRET","id":"SECRET"}`
	in := newInput(t, "Patient", text(good...))
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		part sinks.Part
		sink Sink
		fail int
		want string
	}{
		{name: "invalid line", part: text(append(good[:len(good):len(good)], secret)...), want: fmt.Sprintf("part 1, line at byte %d: ", len(text(good...).data))},
		{name: "other type", part: text(`{"resourceType":"Observation","id":"SECRET"}`), want: "part 1, line at byte 0: resource of another type"},
		{name: "no type", part: text(`{"id":"SECRET"}`), want: "resource of another type"},
		{name: "broken part", part: broken{text(good...)}, want: "read part 1: disk is gone"},
		{name: "long line", part: text(`{"resourceType":"Patient","id":"` + strings.Repeat("SECRET", 5000) + `"}`), sink: Sink{MaxLine: 20_000}, want: "line is too long"},
		{name: "miscounted", part: miscounted{text(good[0], good[1])}, want: "convert Patient: 2002 rows for 2003 published lines"},
		{name: "staging fails", part: text(good...), sink: Sink{TargetSize: 1}, fail: 2, want: "create parquet/Patient/part-00002.parquet"},
		{name: "unmapped", part: text(good...), sink: Sink{Unmapped: Fail}, want: "values of Patient have no column"},
		{name: "canceled", ctx: canceled, part: text(good...), want: "context canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := in
			in.Parts = append(in.Parts[:1:1], c.part)
			dst := newStaging()
			if c.fail > 0 {
				dst.fail = c.fail
			}
			ctx := c.ctx
			if ctx == nil {
				ctx = context.Background()
			}
			s := c.sink
			s.Workers, s.block, s.RowGroup = 3, 2048, 20_000
			_, err := s.Convert(ctx, in, dst)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the error shows content: %v", err)
			}
			if len(dst.files) > 0 {
				t.Errorf("files are left: %v", slices.Collect(maps.Keys(dst.files)))
			}
		})
	}
}

func TestUnmappedError(t *testing.T) {
	in := newInput(t, "Patient", text(`{"resourceType":"Patient","x":1,"y":2}`))
	_, err := (&Sink{Unmapped: Fail}).Convert(context.Background(), in, newStaging())
	var e *UnmappedError
	if !errors.As(err, &e) || e.Count != 2 || e.Class() != "quality" || e.Hint() == "" {
		t.Errorf("got %v", err)
	}
}
