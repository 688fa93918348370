package ndjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/sinktest"
)

func TestSink(t *testing.T) {
	for _, c := range []Compression{None, Gzip, Zstd} {
		t.Run(string(c), func(t *testing.T) {
			sinktest.TestSink(t, sinktest.SinkHarness{
				New: func() sinks.Sink { return &Sink{Compression: c, TargetSize: 20 << 10, Workers: 3} },
				IDs: func(t *testing.T, path string, data []byte) ([]string, bool) {
					var ids []string
					for _, line := range lines(t, path, data) {
						var r struct{ ID string }
						if err := json.Unmarshal([]byte(line), &r); err != nil {
							t.Errorf("%s: %v in line %q", path, err, line)
						}
						ids = append(ids, r.ID)
					}
					return ids, true
				},
			})
		})
	}
}

// lines reads a published file.
func lines(t *testing.T, path string, data []byte) []string {
	t.Helper()
	var r io.Reader = bytes.NewReader(data)
	var err error
	switch {
	case strings.HasSuffix(path, ".gz"):
		r, err = gzip.NewReader(r)
	case strings.HasSuffix(path, ".zst"):
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		t.Errorf("%s: the last line does not end", path)
	}
	all := strings.Split(string(text), "\n")
	return all[:len(all)-1]
}

func convert(t *testing.T, s *Sink, parts ...*sinktest.Part) (*sinktest.Staging, sinks.Output) {
	t.Helper()
	in := sinks.Input{Type: "Patient", Run: "r1", Budget: 64 << 20}
	for _, p := range parts {
		in.Parts = append(in.Parts, p)
	}
	var st sinktest.Staging
	out, err := s.Convert(t.Context(), in, &st)
	if err != nil {
		t.Fatal(err)
	}
	return &st, out
}

func gz(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLinesAreKeptByteForByte(t *testing.T) {
	want := []string{
		`{"resourceType" : "Patient",  "id":"a", "x": 1.50 }`,
		`{"b":2,"a":1,"resourceType":"Patient"}`,
		`{"long":"` + strings.Repeat("  x\t", 200_000) + `"}`, // longer than the buffer
		`{"name":"Zoë \u00e9 \/"}`,
	}
	p := &sinktest.Part{
		Data: []byte("\ufeff" + want[0] + "\r\n\n\r\n   \n\t" + want[1] + "   \n" + strings.Repeat(" ", 300_000) + "\n" + want[2] + strings.Repeat(" ", 300_000) + "\r\n" + want[3]),
		Rows: 4,
	}
	for _, c := range []Compression{None, Gzip, Zstd} {
		st, out := convert(t, &Sink{Compression: c}, p)
		if len(out.Files) != 1 || out.Files[0].Rows != 4 {
			t.Fatalf("%s: files %+v, want one with 4 rows", c, out.Files)
		}
		got := lines(t, out.Files[0].Path, st.Data(out.Files[0].Path))
		if len(got) != len(want) {
			t.Fatalf("%s: %d lines, want %d", c, len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: line %d differs: %d bytes, want %d", c, i, len(got[i]), len(want[i]))
			}
		}
	}
}

func TestPartIsPublishedAsSent(t *testing.T) {
	a, b := sinktest.NewPart(sinktest.Patients(0, 50)), sinktest.NewPart(sinktest.Patients(50, 50))
	a.RawData, a.RawEncoding = gz(t, a.Data), "gzip"
	b.RawData, b.RawEncoding = gz(t, b.Data), "gzip"
	st, out := convert(t, &Sink{}, a, b)
	if len(out.Files) != 1 || out.Files[0].Path != "ndjson/Patient/part-00000.ndjson.gz" || out.Files[0].Rows != 100 {
		t.Fatalf("files %+v", out.Files)
	}
	if got := st.Data(out.Files[0].Path); !bytes.Equal(got, append(bytes.Clone(a.RawData), b.RawData...)) {
		t.Error("the bytes are not those that were sent")
	}

	t.Run("NotInAnotherCompression", func(t *testing.T) {
		a := *a
		a.RawData = []byte("must not be read")
		st, out := convert(t, &Sink{Compression: Zstd}, &a)
		if got := lines(t, out.Files[0].Path, st.Data(out.Files[0].Path)); len(got) != 50 {
			t.Errorf("%d lines, want 50", len(got))
		}
	})
	t.Run("Identity", func(t *testing.T) {
		a := *a
		a.RawData, a.RawEncoding = a.Data, ""
		st, out := convert(t, &Sink{Compression: None}, &a)
		if got := st.Data(out.Files[0].Path); !bytes.Equal(got, a.Data) {
			t.Error("the bytes are not those that were sent")
		}
	})
	t.Run("AmongOthers", func(t *testing.T) {
		mixed := sinktest.NewPart(sinktest.Patients(200, 10), 0, 9)
		st, out := convert(t, &Sink{}, mixed, a, mixed, b)
		if len(out.Files) != 1 || out.Files[0].Rows != 116 {
			t.Fatalf("files %+v, want one with 116 rows", out.Files)
		}
		if got := lines(t, out.Files[0].Path, st.Data(out.Files[0].Path)); len(got) != 116 {
			t.Errorf("%d lines, want 116", len(got))
		}
	})
}

func TestFilesReachTheirTargetSize(t *testing.T) {
	var parts []*sinktest.Part
	for i := range 200 {
		p := sinktest.NewPart(sinktest.Patients(i*50, 50))
		p.RawData, p.RawEncoding = gz(t, p.Data), "gzip"
		parts = append(parts, p)
	}
	const target = 40 << 10
	_, out := convert(t, &Sink{TargetSize: target}, parts...)
	var rows int64
	for i, f := range out.Files {
		rows += f.Rows
		if f.Path != fmt.Sprintf("ndjson/Patient/part-%05d.ndjson.gz", i) {
			t.Errorf("file %d is %s", i, f.Path)
		}
		if i < len(out.Files)-1 && (f.Bytes < target*3/4 || f.Bytes > target*5/4) {
			t.Errorf("%s has %d bytes, want about %d", f.Path, f.Bytes, target)
		}
	}
	if rows != 10_000 || len(out.Files) < 3 {
		t.Errorf("%d rows in %d files, want 10000 in several", rows, len(out.Files))
	}
}

func TestUnknownCompression(t *testing.T) {
	var st sinktest.Staging
	if _, err := (&Sink{Compression: "rar"}).Convert(t.Context(), sinks.Input{Type: "Patient"}, &st); err == nil {
		t.Error("Convert took a compression that it does not know")
	}
}

func BenchmarkConvert(b *testing.B) {
	p := sinktest.NewPart(sinktest.Patients(0, 200_000))
	skipped := sinktest.NewPart(sinktest.Patients(0, 200_000), 1, 100_000)
	for _, bench := range []struct {
		name string
		sink Sink
		part *sinktest.Part
	}{
		{"None", Sink{Compression: None}, skipped},
		{"Gzip", Sink{Compression: Gzip}, p},
		{"Zstd", Sink{Compression: Zstd}, p},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(p.Bytes())
			b.ReportAllocs()
			for b.Loop() {
				var st sinktest.Staging
				in := sinks.Input{Type: "Patient", Parts: []sinks.Part{bench.part}, Budget: 64 << 20}
				if _, err := bench.sink.Convert(b.Context(), in, &st); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
