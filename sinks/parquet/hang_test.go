package parquet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/flue-fhir/flue/sinks"
)

// fullDisk is a staging with room for so many bytes.
type fullDisk struct {
	discard
	left *atomic.Int64
}

var errDisk = errors.New("disk is full")

// Create implements sinks.Staging.
func (d fullDisk) Create(context.Context, string) (sinks.FileWriter, error) {
	return fullFile{&discarded{}, d.left}, nil
}

type fullFile struct {
	sinks.FileWriter
	left *atomic.Int64
}

func (f fullFile) Write(b []byte) (int, error) {
	if f.left.Add(-int64(len(b))) < 0 {
		return 0, errDisk
	}
	return f.FileWriter.Write(b)
}

// TestNoWorkerHangs: wherever a conversion fails, all its workers end. One that
// waits for ever is a deadlock to synctest.
func TestNoWorkerHangs(t *testing.T) {
	lines := patients(1500)
	for i := 500; i < len(lines); i += 500 {
		lines[i] = `{"resourceType":"Patient","id":"long","name":[{"text":"` + strings.Repeat("x", 30_000) + `"}]}`
	}
	whole := text(lines...)
	input := newInput(t, "Patient", whole)
	for i := range 60 {
		r := rand.New(rand.NewPCG(uint64(i), 1))
		in, room, want := input, int64(1<<40), ""
		switch i % 3 {
		case 0:
			room, want = int64(r.IntN(20_000)), errDisk.Error()
		case 1:
			cut := bytes.LastIndexByte(whole.data[:1000+r.IntN(len(whole.data)-1000)], '\n') + 1
			in.Parts, want = []sinks.Part{broken{part{data: whole.data[:cut], lines: 1500}}}, "disk is gone"
		case 2:
			bad := append([]string(nil), lines...)
			bad[r.IntN(len(bad))] = `{"resourceType":"Patient","id":1,"id":2}`
			in.Parts, want = []sinks.Part{part{data: text(bad...).data, lines: 1500}}, "line at byte"
		}
		in.Budget = []int64{0, 300_000, 1}[r.IntN(3)]
		s := &Sink{Workers: 1 + r.IntN(6), block: 512, least: 1, RowGroup: []int64{0, 1, 20_000}[r.IntN(3)], TargetSize: 10_000}
		synctest.Test(t, func(t *testing.T) {
			left := &atomic.Int64{}
			left.Store(room)
			_, err := s.Convert(t.Context(), in, fullDisk{left: left})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%d: %v, want %s", i, err, want)
			}
		})
	}
}

var _ io.Writer = fullFile{}
