package spool

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// mixed is a body with every kind of line.
var mixed = strings.Join([]string{
	0:  "\ufeff" + `{"resourceType":"Patient","id":"a","meta":{"lastUpdated":"2024-03-01T10:00:00+01:00"}}`,
	1:  "",
	2:  `{"resourceType":"Observation","id":"o","meta":{"lastUpdated":"2024-03-02T00:00:00Z","tag":[{"code":"SUBSETTED"}]}}`,
	3:  `{"resourceType":"Patient","id":"b","id":"b"}`,
	4:  `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"exception","diagnostics":"secret"},{"severity":"warning","code":"made-up-code"}]}` + "\r",
	5:  `{"resourceType":"Parameters","parameter":[{"name":"header","valueReference":{"reference":"Patient/a"}}]}`,
	6:  `{"resourceType":"Parameters","id":"not-a-header"}`,
	7:  `  {"id":"x"}`,
	8:  `{"resourceType":"../../etc","id":"x"}`,
	9:  `{"resourceType":"Newcomer","id":"n"}`,
	10: "{\"resourceType\":\"Patient\",\"id\":\"\xff\"}",
	11: `{"resourceType":"Patient","id":"` + strings.Repeat("long", 1000) + `"}`,
	12: `{"resourceType":"OperationOutcome"}`,
	13: `{"resourceType":"Patient"}`,
	14: `{"resourceType":"Patient","id":"c"`,
}, "\n")

func landMixed(t *testing.T, body []byte) (*Run, *Part) {
	t.Helper()
	r := openRun(t, &Spool{Dir: tempDir(t), MinFree: 1, MaxLine: 1000})
	return r, land(t, r, "output/Patient/0", unknown, source(body))
}

func TestF40EveryKindOfLine(t *testing.T) {
	_, p := landMixed(t, []byte(mixed))
	day := func(d, h int) time.Time { return time.Date(2024, 3, d, h, 0, 0, 0, time.UTC) }
	want := &Info{
		Key: "output/Patient/0", Type: "Patient", Expect: -1,
		Lines: 14,
		Types: []TypeInfo{
			{Type: "Newcomer", Lines: 1},
			{Type: "Observation", Known: true, Lines: 1, Subsetted: 1, Updated: UpdatedSpan{day(2, 0), day(2, 0)}},
			{Type: "Parameters", Known: true, Lines: 1},
			{Type: "Patient", Known: true, Lines: 2, WithoutID: 1, Updated: UpdatedSpan{day(1, 9), day(1, 9)}},
		},
		Outcomes: 2, Headers: 1, Quarantined: 6,
		Issues: []Issue{{"error", "exception", 1}, {"unknown", "unknown", 1}, {"warning", "unknown", 1}},
		Reasons: []Reason{
			{"duplicate member name", 1},
			{"invalid UTF-8", 1},
			{"line longer than max_line", 1},
			{"no resourceType", 1},
			{"resourceType is no name of a type", 1},
			{"unexpected end", 1},
		},
		Updated:  UpdatedSpan{day(1, 9), day(2, 0)},
		RawBytes: int64(len(mixed)), Bytes: int64(len(mixed)), SHA256: p.Info().SHA256,
	}
	if diff := cmp.Diff(want, p.Info()); diff != "" {
		t.Errorf("Info (-want +got):\n%s", diff)
	}
	if lines := p.Info().Of("Patient").Lines; lines != 2 {
		t.Errorf("Of(Patient) says %d lines", lines)
	}
}

// TestF29MissingAndUnknownTypes: the spool routes by the lines, whatever the
// server declared, and leaves no name that is no type.
func TestF29MissingAndUnknownTypes(t *testing.T) {
	for typ, ok := range map[string]bool{"Patient": true, "NewType2": true, "patient": false, "A.B": false, "A/B": false, "A\\u0000": false, strings.Repeat("A", 65): false, "É": false} {
		_, p := landMixed(t, []byte(`{"resourceType":"`+typ+`","id":"x"}`+"\n"))
		if got := p.Info().Quarantined == 0; got != ok {
			t.Errorf("type %q: taken %t, want %t", typ, got, ok)
		}
	}
}

func TestF40WriteQuarantine(t *testing.T) {
	lines := strings.Split(mixed, "\n")
	type object struct {
		Part                 string
		Line, Offset, Column int64
		Reason, Text, Base64 string
	}
	for name, body := range map[string][]byte{"Identity": []byte(mixed), "Gzip": gz(t, []byte(mixed))} {
		t.Run(name, func(t *testing.T) {
			r, p := landMixed(t, body)
			clean := landLines(t, r, "clean", `{"resourceType":"Patient","id":"z"}`)
			var out bytes.Buffer
			n, err := r.WriteQuarantine(t.Context(), []*Part{clean, p, clean}, &out)
			if err != nil || n != 6 {
				t.Fatalf("WriteQuarantine: %d, %v, want 6", n, err)
			}
			numbers := []int64{3, 7, 8, 10, 11, 14}
			for i, text := range strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n") {
				var o object
				if err := json.Unmarshal([]byte(text), &o); err != nil {
					t.Fatalf("line %d: %v", i, err)
				}
				want := strings.TrimLeft(lines[numbers[i]], " ")
				got := o.Text
				if numbers[i] == 10 {
					raw, err := base64.StdEncoding.DecodeString(o.Base64)
					if err != nil {
						t.Fatal(err)
					}
					got = string(raw)
				}
				offset := int64(strings.Index(mixed, want))
				if numbers[i] == 3 {
					offset = int64(strings.Index(mixed, `{"resourceType":"Patient","id":"b"`))
				}
				if o.Part != "output/Patient/0" || o.Line != numbers[i]+1 || o.Offset != offset || got != want || o.Reason == "" {
					t.Errorf("object %d: %+v, want line %d at %d with %q", i, o, numbers[i]+1, offset, want)
				}
			}
		})
	}
}

// TestF39LongLineIsNotHeld quarantines a line far over what may be held.
func TestF39LongLineIsNotHeld(t *testing.T) {
	r := openRun(t, &Spool{Dir: tempDir(t), MinFree: 1, MaxLine: 1 << 20})
	long := `{"resourceType":"Patient","id":"` + strings.Repeat("x", 2*maxText) + `"}`
	p := land(t, r, "k", unknown, source([]byte(`{"resourceType":"Patient","id":"a"}`+"\n"+long+"\n"+`{"resourceType":"Patient","id":"b"}`+"\n")))
	if info := p.Info(); info.Of("Patient").Lines != 2 || info.Quarantined != 1 || info.Reasons[0].Text != "line longer than max_line" {
		t.Fatalf("%+v", info)
	}
	var out bytes.Buffer
	if n, err := r.WriteQuarantine(t.Context(), []*Part{p}, &out); n != 1 || err != nil {
		t.Fatalf("WriteQuarantine: %d, %v", n, err)
	}
	var o struct{ Base64 []byte }
	if err := json.Unmarshal(out.Bytes(), &o); err != nil || string(o.Base64) != long {
		t.Errorf("%d bytes were kept of %d (%v)", len(o.Base64), len(long), err)
	}
}

func TestF41WriteOutcomes(t *testing.T) {
	r, p := landMixed(t, []byte(mixed))
	var out bytes.Buffer
	n, err := r.WriteOutcomes(t.Context(), []*Part{p, p}, &out)
	if err != nil || n != 4 {
		t.Fatalf("WriteOutcomes: %d, %v, want 4", n, err)
	}
	lines := strings.Split(mixed, "\n")
	once := lines[4] + "\n" + lines[12] + "\n"
	if out.String() != once+once {
		t.Errorf("wrote %q", out.String())
	}
}

func TestParseUpdated(t *testing.T) {
	for text, want := range map[string]int64{
		"":                                   noTime,
		"2024-01-01":                         noTime,
		"2024-01-01T00:00:00":                noTime,
		"nonsense nonsense nonsense":         noTime,
		"1970-01-01T00:00:00Z":               0,
		"1970-01-01T00:00:00.000001Z":        1,
		"1970-01-01T01:00:01+01:00":          1_000_000,
		"1969-12-31T23:59:59.5Z":             -500_000,
		"1970-01-01T00:00:60Z":               59_999_999,
		"1970-01-01T00:00:60.5+00:00":        59_999_999,
		"1970-01-01T00:00:00.1234567890123Z": 123_456,
	} {
		if got := parseUpdated([]byte(text)); got != want {
			t.Errorf("parseUpdated(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestF32PlausibleType(t *testing.T) {
	for name, want := range map[string]bool{
		"Patient": true, "X": true, "": false, "patient": false, "Pa/tient": false, "P..": false, "Pat\x00": false, "P1": true, "1P": false,
		strings.Repeat("A", 65): false, "Ü": false,
	} {
		if got := PlausibleType(name); got != want {
			t.Errorf("PlausibleType(%q) = %v, want %v", name, got, want)
		}
	}
}
