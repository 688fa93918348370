package cli

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/flue-fhir/flue/pipeline"
	"github.com/flue-fhir/flue/sinks"
)

func TestFormats(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 2_500_000_000: "2.5 GB", -1500: "-1.5 kB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 38970: "38,970", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 1500 * time.Millisecond: "1.5 s", 42 * time.Second: "42 s", 61 * time.Second: "1 min 01 s", 3*time.Hour + 5*time.Minute: "3 h 05 min",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{5 * time.Second: "0:05", 61 * time.Second: "1:01", 3661 * time.Second: "1:01:01"} {
		if got := clock(d); got != want {
			t.Errorf("clock(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestSummary(t *testing.T) {
	declared := int64(12)
	s := &pipeline.Summary{
		Run: "r1", Job: "nightly", State: pipeline.Published, Resumed: true, Location: "/data/nightly/snapshots/x",
		Manifest: &sinks.Manifest{
			Job: "nightly", Kind: sinks.Full,
			Types: []sinks.TypeCount{
				{Type: "Observation", Declared: &declared, Delivered: 1212, Published: 1200, Quarantined: 12, Complete: true},
				{Type: "Patient", Published: 0, Complete: true, Reason: "none"},
				{Type: "Claim", Published: 3},
			},
			Files: []sinks.File{
				{Path: "ndjson/Observation/a", Type: "Observation", Bytes: 1000},
				{Path: "parquet/Observation/a", Type: "Observation", Bytes: 500},
				{Path: "ndjson/Claim/a", Type: "Claim", Bytes: 10},
			},
			Scopes:   sinks.Scopes{Missing: []string{"system/Claim.rs"}},
			Warnings: []sinks.Warning{{Code: "x", Text: "something odd", Count: 3}},
			Stats:    sinks.Stats{Tokens: 4, Retries: 1, Seconds: 75, BytesRead: 2_000_000},
		},
	}
	var b bytes.Buffer
	if err := writeSummary(&b, s); err != nil {
		t.Fatal(err)
	}
	want := `nightly published: full snapshot, run r1, resumed

type         resources  quarantined  files   bytes
Observation      1,200           12      2  1.5 kB
Patient              0            0      0     0 B  none
Claim                3            0      1    10 B  incomplete
total            1,203           12      3  1.5 kB

time       1 min 15 s, 2.0 MB read, 1 retry
tokens     4
missing    not granted: system/Claim.rs
warning    something odd (3 times)
snapshot   /data/nightly/snapshots/x
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	if err := writeSummary(&b, &pipeline.Summary{Run: "r2", Job: "nightly", State: pipeline.Failed}); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != "run r2 of nightly: failed\n" {
		t.Errorf("got %q", got)
	}
}

func TestTextHandler(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(newTextHandler(&b, slog.LevelInfo)).With("run", "r1").WithGroup("g")
	log.Debug("not shown")
	log.Warn("two words", "key", "a b", "n", 3, "err", errors.New("x\ny"))
	line := b.String()
	if _, rest, _ := strings.Cut(line, " "); rest != "warn: two words  run=r1  g.key=\"a b\"  g.n=3  g.err=\"x\\ny\"\n" {
		t.Errorf("got %q", line)
	}
	if newTextHandler(&b, slog.LevelWarn).Enabled(context.Background(), slog.LevelInfo) {
		t.Error("info is enabled at warn")
	}
}
