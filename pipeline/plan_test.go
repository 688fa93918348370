package pipeline

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/sinks"
)

var (
	noon = time.Date(2025, 5, 10, 12, 0, 0, 0, time.UTC)
	day  = 24 * time.Hour
)

func marks(pairs ...any) map[string]time.Time {
	m := map[string]time.Time{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1].(time.Time)
	}
	return m
}

func snapshot(kind sinks.Kind, m map[string]time.Time) *sinks.Manifest {
	s := &sinks.Manifest{
		Name: "latest", Kind: kind, Started: noon.Add(-day), Watermarks: m,
		Request: sinks.Request{Fingerprint: "same"},
	}
	if kind == sinks.Delta {
		base := noon.Add(-3 * day)
		s.Base, s.Previous, s.BaseStarted = "base", "before", &base
	}
	return s
}

func madeBy(m *sinks.Manifest, names ...string) *sinks.Manifest {
	m.Sinks = names
	return m
}

func begun(m *sinks.Manifest, t time.Time) *sinks.Manifest {
	m.Started = t
	return m
}

// I2: the oldest watermark of the asked types, or a full run where one has none.
func TestI2Decide(t *testing.T) {
	old, older := noon.Add(-day), noon.Add(-2*day)
	both := marks("Patient", old, "Observation", older)
	last := config.Export{Since: config.Since{Last: true}}
	types := []string{"Patient", "Observation"}
	tests := []struct {
		name  string
		known known
		kind  sinks.Kind
		since time.Time
		base  string
	}{
		{"everything, always", known{Types: types, Latest: snapshot(sinks.Full, both)}, sinks.Full, time.Time{}, ""},
		{"since a fixed time", known{Export: config.Export{Since: config.Since{Time: older}}, Types: types}, sinks.Full, older, ""},
		{"first run", known{Export: last, Types: types}, sinks.Full, time.Time{}, ""},
		{"oldest of the asked types", known{Export: last, Types: types, Latest: snapshot(sinks.Full, both)}, sinks.Delta, older, "latest"},
		{"only the asked types count", known{Export: last, Types: types[:1], Latest: snapshot(sinks.Full, both)}, sinks.Delta, old, "latest"},
		{"behind a delta", known{Export: last, Types: types, Latest: snapshot(sinks.Delta, both)}, sinks.Delta, older, "base"},
		{"a type without a watermark", known{Export: last, Types: append([]string{"Encounter"}, types...), Latest: snapshot(sinks.Full, both)}, sinks.Full, time.Time{}, ""},
		{"another request", known{Export: last, Request: "other", Types: types, Latest: snapshot(sinks.Full, both)}, sinks.Full, time.Time{}, ""},
		{"full by hand", known{Export: last, Types: types, Latest: snapshot(sinks.Full, both), Full: true}, sinks.Full, time.Time{}, ""},
		{"full by hand against an override", known{Export: last, Types: types, Full: true, Override: &ledger.Override{Mark: old}}, sinks.Full, time.Time{}, ""},
		{"cleared", known{Export: last, Types: types, Latest: snapshot(sinks.Full, both), Override: &ledger.Override{}}, sinks.Full, time.Time{}, ""},
		{"set by hand", known{Export: last, Types: types, Latest: snapshot(sinks.Full, both), Override: &ledger.Override{Mark: noon.Add(-5 * day)}}, sinks.Delta, noon.Add(-5 * day), "latest"},
		{"set by hand, another request", known{Export: last, Request: "other", Types: types, Latest: snapshot(sinks.Full, both), Override: &ledger.Override{Mark: old}}, sinks.Delta, old, ""},
		{"set by hand before the first run", known{Export: last, Types: types, Override: &ledger.Override{Mark: old}}, sinks.Delta, old, ""},
		{"chain too old", known{Export: last, Types: types, Latest: snapshot(sinks.Delta, both), FullEvery: 3 * day}, sinks.Full, time.Time{}, ""},
		{"chain not too old", known{Export: last, Types: types, Latest: snapshot(sinks.Delta, both), FullEvery: 3*day + time.Second}, sinks.Delta, older, "base"},
		{"a sink that the chain lacks", known{Export: last, Types: types, Sinks: []string{"ndjson", "parquet"}, Latest: madeBy(snapshot(sinks.Delta, both), "ndjson")}, sinks.Full, time.Time{}, ""},
		{"a sink less than the chain has", known{Export: last, Types: types, Sinks: []string{"parquet"}, Latest: madeBy(snapshot(sinks.Delta, both), "ndjson", "parquet")}, sinks.Delta, older, "base"},
		{"set by hand, a sink that the chain lacks", known{Export: last, Types: types, Sinks: []string{"parquet"}, Latest: madeBy(snapshot(sinks.Full, both), "ndjson"), Override: &ledger.Override{Mark: old}}, sinks.Delta, old, ""},
		{"a chain with a gap", known{Export: last, Types: types, Latest: snapshot(sinks.Delta, both), Gone: "base"}, sinks.Full, time.Time{}, ""},
		{"set by hand on a chain with a gap", known{Export: last, Types: types, Latest: snapshot(sinks.Delta, both), Gone: "base", Override: &ledger.Override{Mark: old}}, sinks.Delta, old, ""},
		{"a watermark in the future", known{Export: last, Types: types[:1], Latest: snapshot(sinks.Delta, marks("Patient", noon.Add(time.Hour)))}, sinks.Full, time.Time{}, ""},
		{"a chain from the future", known{Export: last, Types: types[:1], Latest: begun(snapshot(sinks.Full, both), noon.Add(day))}, sinks.Full, time.Time{}, ""},
		{"all types, not whole", known{Export: last, Latest: snapshot(sinks.Full, both)}, sinks.Full, time.Time{}, ""},
		{"all types, whole", known{Export: last, Latest: snapshot(sinks.Full, marks("Patient", old, anyType, older))}, sinks.Delta, older, "latest"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := tt.known
			k.Now = noon
			if k.Request == "" {
				k.Request = "same"
			}
			p := decide(k)
			if p.Kind != tt.kind || !p.Since.Equal(tt.since) || p.Base != tt.base {
				t.Errorf("decide = %s since %v on %q (%s), want %s since %v on %q", p.Kind, p.Since, p.Base, p.Reason, tt.kind, tt.since, tt.base)
			}
			if p.Reason == "" {
				t.Error("no reason is given")
			}
			if p.Base != "" && p.Previous != "latest" {
				t.Errorf("previous = %q, want latest", p.Previous)
			}
			if p.Base == "base" && !p.BaseTime.Equal(noon.Add(-3*day)) {
				t.Errorf("chain began %v, want that of its full run", p.BaseTime)
			}
			again, err := decodePlan(p.encode())
			if d := cmp.Diff(p, again); err != nil || d != "" {
				t.Errorf("plan does not survive the ledger: %v\n%s", err, d)
			}
		})
	}
}

// I2: watermarks move only for types that came whole.
func TestI2Watermarks(t *testing.T) {
	old, mark := noon.Add(-day), noon
	counts := []sinks.TypeCount{
		{Type: "Patient", Complete: true}, {Type: "Observation", Reason: "error outcome"}, {Type: "Provenance", Complete: true},
	}
	asked := []string{"Patient", "Observation"}
	tests := []struct {
		name string
		plan plan
		mark time.Time
		in   []sinks.TypeCount
		want map[string]time.Time
	}{
		{"full, one incomplete", plan{Types: asked}, mark, counts, marks("Patient", mark)},
		{"delta, one incomplete keeps its own", plan{Kind: sinks.Delta, Types: asked, Earlier: marks("Patient", old, "Observation", old)}, mark, counts, marks("Patient", mark, "Observation", old)},
		{"no time known", plan{Types: asked, Earlier: marks("Patient", old)}, time.Time{}, counts, marks("Patient", old)},
		{"all types, incomplete", plan{Earlier: marks(anyType, old, "Device", old)}, mark, counts, marks("Patient", mark, "Provenance", mark, anyType, old, "Device", old)},
		{"all types, whole", plan{Earlier: marks(anyType, old, "Device", old)}, mark, counts[:1], marks("Patient", mark, anyType, mark, "Device", mark)},
		{"a type of an earlier request stays", plan{Types: asked, Earlier: marks("Device", old)}, mark, counts[:1], marks("Patient", mark, "Device", old)},
	}
	for _, tt := range tests {
		if d := cmp.Diff(tt.want, tt.plan.watermarks(tt.mark, tt.in, false)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

// P28, F57: the earlier of the two clocks, less an overlap.
func TestP28Mark(t *testing.T) {
	hour := time.Hour
	tests := []struct {
		name                        string
		transaction, kickoff, until time.Time
		overlap                     time.Duration
		want                        time.Time
	}{
		{"the server's clock is ahead", noon.Add(3 * day), noon.Add(3 * day), time.Time{}, 0, noon.Add(day - 10*time.Minute)},
		{"set when the job ended", noon.Add(hour), noon, time.Time{}, 0, noon.Add(-10 * time.Minute)},
		{"set before the kick-off's answer", noon, noon.Add(hour), time.Time{}, 0, noon.Add(-10 * time.Minute)},
		{"search", time.Time{}, noon, time.Time{}, hour, noon.Add(-hour)},
		{"no Date", noon, time.Time{}, time.Time{}, hour, noon.Add(-hour)},
		{"until", noon, noon, noon.Add(-day), 0, noon.Add(-day)},
		{"until in the future", noon, noon, noon.Add(day), hour, noon.Add(-hour)},
		{"nothing known", time.Time{}, time.Time{}, noon, 0, time.Time{}},
	}
	for _, tt := range tests {
		if got := mark(tt.transaction, tt.kickoff, noon.Add(day), tt.until, tt.overlap); !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// I2: what changes which resources come changes the fingerprint, and nothing
// else does.
func TestI2RequestFingerprint(t *testing.T) {
	base := config.Export{Mode: "bulk", Level: "group", Group: "g", Types: []string{"Patient"}, Patients: []string{"a", "b"}, Since: config.Since{Last: true}}
	print := func(f func(*config.Export)) string {
		e := base
		f(&e)
		return requestFingerprint(config.Server{URL: "https://fhir.example.org"}, config.Job{Export: e})
	}
	want := print(func(*config.Export) {})
	for name, f := range map[string]func(*config.Export){
		"level":      func(e *config.Export) { e.Level = "patient" },
		"group":      func(e *config.Export) { e.Group = "h" },
		"patients":   func(e *config.Export) { e.Patients = []string{"a"} },
		"filters":    func(e *config.Export) { e.TypeFilters = []string{"Patient?active=true"} },
		"elements":   func(e *config.Export) { e.Elements = []string{"id"} },
		"mode":       func(e *config.Export) { e.Mode = "search" },
		"until":      func(e *config.Export) { e.Until = noon },
		"extra":      func(e *config.Export) { e.Extra = map[string]string{"a": "b"} },
		"associated": func(e *config.Export) { e.IncludeAssociatedData = []string{"x"} },
		"fixed time": func(e *config.Export) { e.Since = config.Since{Time: noon} },
	} {
		if print(f) == want {
			t.Errorf("another %s has the same fingerprint", name)
		}
	}
	for name, f := range map[string]func(*config.Export){
		"types":   func(e *config.Export) { e.Types = []string{"Patient", "Device"} },
		"order":   func(e *config.Export) { e.Patients = []string{"b", "a"} },
		"post":    func(e *config.Export) { e.Post = true },
		"lenient": func(e *config.Export) { e.Lenient = true },
	} {
		if print(f) != want {
			t.Errorf("other %s have another fingerprint", name)
		}
	}
	typeless := base
	typeless.Types = nil
	for name, s := range map[string]config.Server{
		"server": {URL: "https://other.example.org"},
		"client": {URL: "https://fhir.example.org", Auth: config.Auth{ClientID: "c"}},
		"scopes": {URL: "https://fhir.example.org", Auth: config.Auth{Scopes: []string{"system/Patient.rs"}}},
	} {
		if requestFingerprint(s, config.Job{Export: typeless}) == want {
			t.Errorf("another %s has the same fingerprint", name)
		}
		if named := requestFingerprint(s, config.Job{Export: base}) == want; named != (name == "scopes") {
			t.Errorf("another %s, where the job names its types: the same fingerprint is %v", name, named)
		}
	}
	attached := func(a config.Attachments) string {
		return requestFingerprint(config.Server{URL: "https://fhir.example.org"}, config.Job{Export: base, Attachments: &a})
	}
	// A chain has the attachments of all its resources.
	all := attached(config.Attachments{MaxSize: 5})
	if all == want || attached(config.Attachments{MaxSize: 6}) == all || attached(config.Attachments{MaxSize: 5, MIME: []string{"text/*"}}) == all {
		t.Error("other attachments have the same fingerprint")
	}
	if attached(config.Attachments{MaxSize: 5, Parallel: 3, OnUnavailable: "record"}) != all {
		t.Error("how attachments are fetched changes the fingerprint")
	}
}

func TestBackoff(t *testing.T) {
	for attempt, want := range map[int]time.Duration{1: 500 * time.Millisecond, 2: time.Second, 4: 4 * time.Second, 50: 30 * time.Second, 1 << 30: 30 * time.Second} {
		if got := backoff(attempt, 0.999999999, maxWait); got < want-time.Millisecond || got > want {
			t.Errorf("backoff(%d) = %v at most, want %v", attempt, got, want)
		}
		if got := backoff(attempt, 0, maxWait); got != want/2 {
			t.Errorf("backoff(%d) = %v at least, want %v", attempt, got, want/2)
		}
	}
}
