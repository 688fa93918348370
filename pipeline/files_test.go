package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/ndjson"
	"github.com/flue-fhir/flue/sinks/store/local"
)

// diskFile lends a file by its size and time.
type diskFile struct{ *os.File }

func (f diskFile) Stamp() (string, error) {
	fi, err := f.Stat()
	if err != nil {
		return "", err
	}
	return fmt.Sprint(fi.Size(), fi.ModTime().UnixNano()), nil
}

// newConversion is a world with files, by name and content.
func newConversion(t *testing.T, files ...[2]string) *world {
	t.Helper()
	w := &world{Dir: tempDir(t), Job: config.Job{
		Name: "convert", Export: config.Export{Mode: modeFiles}, Sinks: []config.Sink{{Type: "ndjson", Compression: "none"}},
		Policies: config.Policies{OnServerErrors: "warn"},
	}}
	for _, f := range files {
		w.put(t, f[0], f[1])
		w.Files = append(w.Files, filepath.Join(w.Dir, f[0]))
	}
	return w
}

func (w *world) put(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.Dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// converter is the runner of a conversion. Files are cut into pieces of 300
// bytes.
func (w *world) converter(l *ledger.Ledger) (*Runner, error) {
	r := &Runner{
		Job: w.Job, Sinks: []sinks.Sink{&ndjson.Sink{Compression: ndjson.None}}, piece: 300, Asked: w.Files,
		Store: &local.Store{Path: filepath.Join(w.Dir, "out")}, Ledger: l, Spool: &spool.Spool{Dir: filepath.Join(w.Dir, "spool"), MinFree: 1},
	}
	for _, path := range w.Files {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		stamp, err := diskFile{f}.Stamp()
		if err != nil {
			return nil, err
		}
		fi, err := f.Stat()
		if err != nil {
			return nil, err
		}
		_ = f.Close()
		r.Inputs = append(r.Inputs, Input{Name: filepath.Base(path), Size: fi.Size(), Stamp: stamp, Open: func() (spool.Lent, error) {
			f, err := os.Open(path)
			return diskFile{f}, err
		}})
	}
	return r, nil
}

// patients are lines with the ids from one number to another.
func patientLines(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, `{"resourceType":"Patient","id":"p%d","gender":"female"}`+"\n", i)
	}
	return b.String()
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// F30, F53, F41: files with any mix of types are routed by their lines, the
// newest version wins, outcomes go where they belong, and it all adds up (I3).
func TestConvertFiles(t *testing.T) {
	const (
		old = `{"resourceType":"Observation","id":"o","meta":{"lastUpdated":"2024-01-01T00:00:00Z"},"status":"final"}`
		now = `{"resourceType":"Observation","id":"o","meta":{"lastUpdated":"2024-01-02T00:00:00Z"},"status":"amended"}`
	)
	w := newConversion(t,
		[2]string{"mixed.ndjson", "\ufeff" + patientLines(0, 20) + now + "\r\n\n" + patientLines(20, 30) + `{"resourceType":"Made","id":"x"}`},
		[2]string{"packed.ndjson.gz", gzipped(t, patientLines(30, 60)+old+"\n"+`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"exception"}]}`+"\n")},
		[2]string{"empty.ndjson", ""},
	)
	sum := w.run(t, Options{})
	want := strings.Split(strings.TrimSuffix(patientLines(0, 60), "\n"), "\n")
	want = append(want, now, `{"resourceType":"Made","id":"x"}`)
	slices.Sort(want)
	if d := cmp.Diff(want, w.lines(t, "ndjson")); d != "" {
		t.Errorf("published lines (-want +got):\n%s", d)
	}
	m := sum.Manifest
	type count struct{ delivered, published, superseded, outcomes int64 }
	got := map[string]count{}
	for _, c := range m.Types {
		got[c.Type] = count{c.Delivered, c.Published, c.Superseded, c.Outcomes}
	}
	counts := map[string]count{
		"Patient": {60, 60, 0, 0}, "Observation": {2, 1, 1, 0}, "Made": {1, 1, 0, 0}, untyped: {1, 0, 0, 1},
	}
	if d := cmp.Diff(counts, got, cmp.AllowUnexported(count{})); d != "" {
		t.Errorf("counts (-want +got):\n%s", d)
	}
	if m.Kind != sinks.Full || m.Request.Mode != modeFiles || len(m.Watermarks) != 0 || m.Server.URL != "" || !slices.Equal(m.Request.Inputs, w.Files) {
		t.Errorf("manifest: %s %+v, watermarks %v", m.Kind, m.Request, m.Watermarks)
	}
	var codes []string
	for _, warning := range m.Warnings {
		codes = append(codes, warning.Code)
	}
	if !slices.Equal(codes, []string{"server-errors"}) {
		t.Errorf("warnings %v", codes)
	}
	w.clean(t)

	// The same again is another snapshot of the same lines.
	again := w.run(t, Options{})
	if again.Resumed || again.Run == sum.Run {
		t.Error("a conversion that was published was taken up again")
	}
	if d := cmp.Diff(want, w.lines(t, "ndjson")); d != "" {
		t.Errorf("published again (-want +got):\n%s", d)
	}
}

// A large file is cut at the ends of its lines, a compressed one is not.
func TestCut(t *testing.T) {
	long := `{"resourceType":"Patient","id":"long","gender":"` + strings.Repeat("x", 5000) + `"}` + "\n"
	for name, text := range map[string]string{
		"Lines": patientLines(0, 500), "LongLine": patientLines(0, 20) + long + patientLines(20, 40),
		"OneLine": long, "NoLastEnd": strings.TrimSuffix(patientLines(0, 100), "\n"), "Short": "x", "Blank": strings.Repeat("\n", 2000),
	} {
		t.Run(name, func(t *testing.T) {
			for about := int64(1); about < 3000; about = about*2 + 7 {
				cuts, err := cut(Input{Size: int64(len(text)), Open: func() (spool.Lent, error) { return memory{strings.NewReader(text)}, nil }}, about)
				if err != nil {
					t.Fatal(err)
				}
				if cuts[0] != 0 || cuts[len(cuts)-1] != int64(len(text)) || !slices.IsSorted(cuts) || len(slices.Compact(slices.Clone(cuts))) != len(cuts) {
					t.Fatalf("cut at %v, of %d bytes", cuts, len(text))
				}
				for _, at := range cuts[1 : len(cuts)-1] {
					if text[at-1] != '\n' {
						t.Fatalf("cut at %d, within a line", at)
					}
				}
				if name == "Lines" && int64(len(cuts)-1) < int64(len(text))/about/60 {
					t.Errorf("%d pieces of about %d bytes, of %d", len(cuts)-1, about, len(text))
				}
			}
		})
	}
	packed := gzipped(t, patientLines(0, 5000))
	cuts, err := cut(Input{Size: int64(len(packed)), Open: func() (spool.Lent, error) { return memory{strings.NewReader(packed)}, nil }}, 100)
	if err != nil || len(cuts) != 2 {
		t.Errorf("gzip is cut at %v: %v", cuts, err)
	}
}

type memory struct{ *strings.Reader }

func (memory) Close() error           { return nil }
func (memory) Stamp() (string, error) { return "", nil }

// A file that changes after it was listed fails the conversion, whenever that
// is; nothing of it is published, and the next conversion begins anew.
func TestConvertChangedFile(t *testing.T) {
	for _, step := range []string{"state landing", "landed", "selected", "converted"} {
		t.Run(step, func(t *testing.T) {
			w := newConversion(t, [2]string{"a.ndjson", patientLines(0, 40)}, [2]string{"b.ndjson", `{"resourceType":"Encounter","id":"e"}` + "\n" + patientLines(40, 80)})
			r := w.open(t)
			r.probe = func(name string) {
				if name == step {
					w.put(t, "b.ndjson", patientLines(50, 90))
				}
			}
			_, err := r.Run(t.Context(), Options{})
			var changed *spool.ChangedError
			if step == "converted" && err == nil {
				// All may have been read by then.
				return
			}
			if !errors.As(err, &changed) || changed.Name != "b.ndjson" || hintOf(err) == "" || classOf(err) != "" {
				t.Fatalf("run = %v, class %q", err, classOf(err))
			}
			if w.latest(t) != nil {
				t.Error("something is published")
			}
			_ = r.Ledger.Close()
			sum := w.run(t, Options{})
			if sum.Resumed {
				t.Error("a conversion of other files was taken up again")
			}
			if d := cmp.Diff(strings.Split(strings.TrimSpace(patientLines(0, 40)+patientLines(50, 90)), "\n"), w.inOrder(t)); d != "" {
				t.Errorf("published lines (-want +got):\n%s", d)
			}
			w.clean(t)
		})
	}
}

// inOrder are the published Patient lines in the order of the files.
func (w *world) inOrder(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(w.Dir, "out", w.Job.Name, "latest", "ndjson", "Patient", "part-00000.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

// I1, I5: a conversion that is killed at any step, and run again, publishes each
// line once and leaves nothing behind.
func TestI5ConversionKilledAtEveryStep(t *testing.T) {
	files := [][2]string{
		{"a.ndjson", patientLines(0, 12)},
		{"b.ndjson.gz", gzipped(t, patientLines(12, 15)+`{"resourceType":"Encounter","id":"e"}`+"\nbroken\n")},
	}
	want := strings.Split(patientLines(0, 15)+`{"resourceType":"Encounter","id":"e"}`, "\n")
	slices.Sort(want)
	begin := func() *world {
		w := newConversion(t, files...)
		w.Job.Policies.MaxBadLines.Lines = 1
		return w
	}
	steps := 0
	if said, _ := begin().process(t, 0); true {
		if _, err := fmt.Sscanf(said, "published after %d steps", &steps); err != nil || steps < 15 {
			t.Fatalf("the undisturbed process said %q", said)
		}
	}
	stride := 1
	if testing.Short() {
		stride = 5
	}
	for at := 1; at <= steps; at += stride {
		w := begin()
		said, killed := w.process(t, at)
		if !killed {
			continue // the order of steps differs a little from run to run
		}
		if m := w.latest(t); m != nil && len(w.lines(t, "ndjson")) != len(want) {
			t.Errorf("%s: a part is visible", said)
		}
		w.process(t, 0)
		if d := cmp.Diff(want, w.lines(t, "ndjson")); d != "" {
			t.Errorf("%s (-want +got):\n%s", said, d)
		}
		snapshots, _ := filepath.Glob(filepath.Join(w.Dir, "out/convert/snapshots/*"))
		if len(snapshots) != 1 && said != "died at state published" {
			t.Errorf("%s: %d snapshots", said, len(snapshots))
		}
		w.clean(t)
		if t.Failed() {
			t.Fatalf("at step %d", at)
		}
	}
}

// A crash between publication and the note of it must not make the conversion
// of other files look done.
func TestConvertOthersAfterCrash(t *testing.T) {
	w := newConversion(t, [2]string{"a.ndjson", patientLines(0, 5)})
	t.Setenv("FLUE_TEST_CRASH_STEP", "visible")
	died, killed := w.process(t, 0)
	t.Setenv("FLUE_TEST_CRASH_STEP", "")
	if !killed {
		t.Fatalf("no process died behind the publication: %q", died)
	}
	w.put(t, "b.ndjson", patientLines(5, 9))
	w.Files = []string{filepath.Join(w.Dir, "b.ndjson")}
	if sum := w.run(t, Options{}); sum.Resumed {
		t.Error("the snapshot of other files was taken for this one's")
	}
	if d := cmp.Diff(strings.Split(strings.TrimSpace(patientLines(5, 9)), "\n"), w.lines(t, "ndjson")); d != "" {
		t.Errorf("published lines (-want +got):\n%s", d)
	}
	w.clean(t)
}

// F40, F26: bad lines and empty inputs fail a conversion by its policy, say
// where, and leave nothing behind.
func TestConvertPolicies(t *testing.T) {
	bad := newConversion(t, [2]string{"a.ndjson", patientLines(0, 10)}, [2]string{"b.ndjson", patientLines(10, 20) + "{\"resourceType\":\"Patient\",\"id\":secret}\n"})
	err := bad.fails(t, Options{})
	at := fmt.Sprint("b.ndjson, at byte ", len(patientLines(10, 20)))
	if classOf(err) != classQuality || !strings.Contains(err.Error(), at) || strings.Contains(err.Error(), "secret") || !strings.Contains(hintOf(err), "--max-bad-lines") {
		t.Errorf("bad line: %v, class %q, hint %q; want it to name %q", err, classOf(err), hintOf(err), at)
	}
	for _, pattern := range []string{"out/convert/.staging-*", "spool/*"} {
		if left, _ := filepath.Glob(filepath.Join(bad.Dir, pattern)); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	}
	bad.Job.Policies.MaxBadLines.Lines = 1
	if sum := bad.run(t, Options{}); len(bad.lines(t, "ndjson")) != 20 || len(bad.lines(t, "quarantine")) != 1 || sum.Resumed {
		t.Errorf("%d published, %d in quarantine", len(bad.lines(t, "ndjson")), len(bad.lines(t, "quarantine")))
	}

	empty := newConversion(t, [2]string{"a.ndjson", "\n\n"})
	if err := empty.fails(t, Options{}); classOf(err) != classQuality || !strings.Contains(hintOf(err), "--allow-empty") {
		t.Errorf("empty: %v, class %q, hint %q", err, classOf(err), hintOf(err))
	}
	empty.Job.Policies.AllowEmpty = true
	empty.run(t, Options{})

	for name, text := range map[string]string{"page": "<html>", "gzip": gzipped(t, patientLines(0, 100))[:50]} {
		w := newConversion(t, [2]string{"x.ndjson", text})
		if err := w.fails(t, Options{}); classOf(err) != classQuality || !strings.Contains(err.Error(), "x.ndjson") || hintOf(err) == "" {
			t.Errorf("%s: %v, class %q, hint %q", name, err, classOf(err), hintOf(err))
		}
	}
}

// F27: a file that is there twice is published once, also where nothing tells
// its lines apart.
func TestF27ConvertTwins(t *testing.T) {
	text := strings.Repeat(`{"resourceType":"Patient","gender":"male"}`+"\n", 3) + patientLines(0, 3)
	w := newConversion(t, [2]string{"a.ndjson", text}, [2]string{"b.ndjson", text}, [2]string{"c.ndjson", patientLines(7, 8)})
	sum := w.run(t, Options{})
	if n := len(w.lines(t, "ndjson")); n != 7 {
		t.Errorf("%d lines are published, want 6 of the file that is there twice, and 1", n)
	}
	if m := sum.Manifest; len(m.Warnings) != 1 || m.Warnings[0].Code != "duplicate-file" || m.Types[0].Superseded != 6 {
		t.Errorf("warnings %v, counts %+v", m.Warnings, m.Types)
	}
}

// A stream is read once, and lands; when it breaks, nothing reads it again and
// takes what is left of it for the whole.
func TestConvertStream(t *testing.T) {
	start := func(body io.Reader) (*world, *Runner) {
		w := newConversion(t, [2]string{"a.ndjson", patientLines(0, 5)})
		r := w.open(t)
		r.Inputs = append(r.Inputs, Input{Name: "standard input", Stream: body})
		return w, r
	}
	w, r := start(strings.NewReader(gzipped(t, patientLines(5, 9)+"bad\n")))
	r.Job.Policies.MaxBadLines.Lines = 1
	sum, err := r.Run(t.Context(), Options{Fresh: true})
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Ledger.Close()
	if len(w.lines(t, "ndjson")) != 9 || sum.Manifest.Types[0].Quarantined != 1 {
		t.Errorf("%d lines of 9", len(w.lines(t, "ndjson")))
	}
	if q := w.lines(t, "quarantine"); len(q) != 1 || !strings.Contains(q[0], `"part":"standard input","line":5`) {
		t.Errorf("quarantine %v", q)
	}
	w.clean(t)

	for name, body := range map[string]io.Reader{
		"Broken": io.MultiReader(strings.NewReader(patientLines(5, 9)), iotestErr{errors.New("the pipe broke")}),
		"Cut":    strings.NewReader(patientLines(5, 9) + `{"resourceType":"Pat`),
		"Gzip":   strings.NewReader(gzipped(t, patientLines(5, 9))[:60]),
	} {
		t.Run(name, func(t *testing.T) {
			w, r := start(body)
			_, err := r.Run(t.Context(), Options{Fresh: true})
			if err == nil || !strings.Contains(err.Error(), "standard input") || hintOf(err) == "" {
				t.Errorf("run = %v, hint %q", err, hintOf(err))
			}
			if w.latest(t) != nil {
				t.Error("something is published")
			}
		})
	}
}

type iotestErr struct{ err error }

func (r iotestErr) Read([]byte) (int, error) { return 0, r.err }
