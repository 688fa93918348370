package spool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// lent is a body in memory that tests change.
type lent struct {
	body  []byte
	stamp string
	gone  error // of Open
	opens int
}

type openLent struct {
	*bytes.Reader
	l *lent
}

func (o openLent) Close() error           { return nil }
func (o openLent) Stamp() (string, error) { return o.l.stamp, nil }

func newLent(body []byte) *lent { return &lent{body: body, stamp: "1"} }

// whole is the body as one Original.
func (l *lent) whole() Original { return l.stretch(0, int64(len(l.body))) }

func (l *lent) stretch(offset, length int64) Original {
	return Original{Name: "dir/a.ndjson", Stamp: "1", Offset: offset, Length: length, Open: func() (Lent, error) {
		l.opens++
		if l.gone != nil {
			return nil, l.gone
		}
		return openLent{bytes.NewReader(l.body), l}, nil
	}}
}

func borrow(t testing.TB, r *Run, key string, o Original) *Part {
	t.Helper()
	p, err := r.Borrow(t.Context(), key, o, Watch{})
	if err != nil {
		t.Fatalf("Borrow: %v", err)
	}
	return p
}

func zst(t testing.TB, data []byte) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return e.EncodeAll(data, nil)
}

// A borrowed body is known like one that landed, and read where it lies.
func TestBorrow(t *testing.T) {
	body := append(patients(1, 50), "broken\n{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":\"lock-error\"}]}\n"...)
	for name, sent := range map[string][]byte{"Plain": body, "Gzip": gz(t, body), "GzipTwice": gz(t, gz(t, body)), "Zstd": zst(t, body)} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t)
			landed := land(t, r, "landed", unknown, source(sent))
			l := newLent(sent)
			o := l.whole()
			o.Hash = true
			var read, walked int
			p, err := r.Borrow(t.Context(), "k", o, Watch{Read: func(n int) { read += n }, Walked: func() { walked++ }})
			if err != nil {
				t.Fatal(err)
			}
			want := *landed.Info()
			want.Key, want.Type = "k", ""
			if diff := cmp.Diff(&want, p.Info()); diff != "" {
				t.Errorf("the landed part and the borrowed one:\n%s", diff)
			}
			if read != len(sent) || walked != 1 {
				t.Errorf("%d of %d bytes were told, the end %d times", read, len(sent), walked)
			}
			if got := readAll(t, p.Open); !bytes.Equal(got, body) {
				t.Error("the part has other bytes than the body")
			}
			if fi, err := os.Stat(p.place.path); err != nil || fi.Size() > int64(len(body)) && name == "Plain" {
				t.Errorf("the part's file has %d bytes for a body of %d: %v", fi.Size(), len(body), err)
			}
			a, b := selected(t, r, landed), selected(t, r, p)
			if diff := cmp.Diff(a, b); diff != "" || len(b) != 50 {
				t.Errorf("%d lines are selected; the landed part and the borrowed one:\n%s", len(b), diff)
			}

			// Another process finds the part and walks nothing.
			l.opens = 0
			again := borrow(t, reopen(t, r), "k", o)
			if diff := cmp.Diff(p.Info(), again.Info()); diff != "" || l.opens != 0 {
				t.Errorf("found again after %d openings:\n%s", l.opens, diff)
			}
			if got := readAll(t, again.Open); !bytes.Equal(got, body) {
				t.Error("the part that was found again has other bytes than the body")
			}
		})
	}
}

// selected are the published Patient lines of a part.
func selected(t *testing.T, r *Run, p *Part) []string {
	t.Helper()
	s, err := r.Select(t.Context(), "Patient", []*Part{p}, SelectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var lines []string
	for _, v := range s.Views {
		skip := map[int64]bool{}
		if skips := v.Skips(); skips != nil {
			for n := range skips {
				skip[n] = true
			}
		}
		for i, line := range strings.SplitAfter(string(readAll(t, v.Open)), "\n") {
			if !skip[int64(i)] && line != "" {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// I3: bytes of a file that is not what it was are never taken for those that
// were checked.
func TestBorrowChanged(t *testing.T) {
	body := patients(1, 2000)
	changes := map[string]func(*lent){
		"Stamp":   func(l *lent) { l.stamp = "2" },
		"Cut":     func(l *lent) { l.body = l.body[:len(l.body)/2] },
		"Removed": func(l *lent) { l.gone = os.ErrNotExist },
	}
	for name, change := range changes {
		for _, packed := range []bool{false, true} {
			t.Run(fmt.Sprint(name, packed), func(t *testing.T) {
				sent := body
				if packed {
					sent = zst(t, body)
				}
				l := newLent(sent)
				p := borrow(t, newRun(t), "k", l.whole())
				if err := p.Unchanged(); err != nil {
					t.Fatal(err)
				}
				change(l)
				var changed *ChangedError
				if name != "Cut" { // which only shows at the end
					if err := p.Unchanged(); !errors.As(err, &changed) {
						t.Errorf("Unchanged = %v, want a *ChangedError", err)
					}
				}
				r, err := p.Open()
				if err == nil {
					_, err = io.Copy(io.Discard, r)
					_ = r.Close()
				}
				if !errors.As(err, &changed) {
					t.Errorf("read = %v, want a *ChangedError", err)
				} else if changed.Hint() == "" || strings.Contains(changed.Error(), "family") {
					t.Errorf("error %q, hint %q", changed, changed.Hint())
				}
				// Neither is another body borrowed under the stamp of the first.
				_, err = newRun(t).Borrow(t.Context(), "k", l.whole(), Watch{})
				if name != "Cut" && !errors.As(err, &changed) {
					t.Errorf("Borrow = %v, want a *ChangedError", err)
				}
			})
		}
	}
	t.Run("WhileWalked", func(t *testing.T) {
		l := newLent(body)
		r := newRun(t)
		_, err := r.Borrow(t.Context(), "k", l.whole(), Watch{Read: func(int) { l.stamp = "2" }})
		var changed *ChangedError
		if !errors.As(err, &changed) {
			t.Errorf("Borrow = %v, want a *ChangedError", err)
		}
		if p, err := r.Part("k"); p != nil || err != nil {
			t.Errorf("a part of a changed file is kept: %v", err)
		}
	})
	t.Run("OtherStamp", func(t *testing.T) {
		r := newRun(t)
		l := newLent(body)
		borrow(t, r, "k", l.whole())
		l.body, l.stamp = patients(2, 10), "2"
		o := l.whole()
		o.Stamp = "2"
		if p := borrow(t, r, "k", o); p.Info().Lines != 10 {
			t.Errorf("%d lines, want the 10 of the file as it is now", p.Info().Lines)
		}
	})
}

// A file that is cut into stretches has the same lines as in one, and a bad one
// among them is found by its place in the file.
func TestBorrowStretches(t *testing.T) {
	body := []byte("\ufeff" + string(patients(1, 30)) + "\r\n" + string(patients(2, 5)) + "bad one\n" + string(patients(3, 5)) + "bad two")
	for cut := 1; cut < len(body); cut += 97 {
		at := int64(bytes.IndexByte(body[cut:], '\n') + cut + 1)
		if at > int64(len(body)) || at <= int64(cut) {
			continue
		}
		r := newRun(t)
		l := newLent(body)
		parts := []*Part{borrow(t, r, "a", l.stretch(0, at)), borrow(t, r, "b", l.stretch(at, int64(len(body))-at))}
		if got := string(readAll(t, parts[0].Open)) + string(readAll(t, parts[1].Open)); got != string(body) {
			t.Fatalf("cut at %d: other bytes than the body", at)
		}
		var b bytes.Buffer
		n, err := r.WriteQuarantine(t.Context(), parts, &b)
		if err != nil || n != 2 {
			t.Fatalf("cut at %d: %d lines in quarantine: %v", at, n, err)
		}
		type place struct {
			Part         string
			Line, Offset int64
			Text         string
		}
		var got []place
		for line := range strings.Lines(b.String()) {
			var p place
			if err := json.Unmarshal([]byte(line), &p); err != nil {
				t.Fatal(err)
			}
			got = append(got, p)
		}
		want := []place{
			{"dir/a.ndjson", 37, int64(bytes.Index(body, []byte("bad one"))), "bad one"},
			{"dir/a.ndjson", 43, int64(bytes.Index(body, []byte("bad two"))), "bad two"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("cut at %d:\n%s", at, diff)
		}
	}
}

func TestFirstBad(t *testing.T) {
	r := newRun(t)
	l := newLent([]byte(string(patients(1, 3)) + "nonsense\n"))
	at := int64(bytes.IndexByte(l.body, '\n') + 1)
	bad, ok, err := borrow(t, r, "k", l.stretch(at, int64(len(l.body))-at)).FirstBad(t.Context())
	want := BadLine{Part: "dir/a.ndjson", Line: 3, Offset: int64(bytes.Index(l.body, []byte("nonsense"))), Column: bad.Column, Reason: bad.Reason}
	if err != nil || !ok || bad != want || bad.Reason == "" || strings.Contains(bad.Reason, "nonsense") {
		t.Errorf("FirstBad = %+v, %v, %v; want %+v", bad, ok, err, want)
	}
	if bad, ok, err := borrow(t, r, "good", newLent(patients(1, 1)).whole()).FirstBad(t.Context()); ok || err != nil {
		t.Errorf("FirstBad of a good part = %+v, %v, %v", bad, ok, err)
	}
}

// F27: of two bodies that are the same, one is published; where no sum was made,
// nothing is taken for the same.
func TestF27BorrowTwins(t *testing.T) {
	for _, hash := range []bool{true, false} {
		r := newRun(t)
		body := []byte("{\"resourceType\":\"Patient\",\"gender\":\"male\"}\n") // no id
		var parts []*Part
		for _, key := range []string{"a", "b"} {
			o := newLent(body).whole()
			o.Hash = hash
			parts = append(parts, borrow(t, r, key, o))
		}
		s, err := r.Select(t.Context(), "Patient", parts, SelectOptions{KeepUndated: true})
		if err != nil {
			t.Fatal(err)
		}
		want := int64(2)
		if hash {
			want = 1
		}
		if s.Published != want || s.Delivered != 2 {
			t.Errorf("hash %v: %d of %d published, want %d", hash, s.Published, s.Delivered, want)
		}
		_ = s.Close()
	}
}

func TestBorrowFaults(t *testing.T) {
	body := patients(1, 100)
	broken := gz(t, body)
	broken[len(broken)/2] ^= 0x55
	cases := map[string]struct {
		body []byte
		want Fault
	}{
		"CutGzip":    {gz(t, body)[:200], CorruptGzip},
		"BrokenGzip": {broken, CorruptGzip},
		"CutZstd":    {zst(t, body)[:200], CorruptZstd},
		"Page":       {[]byte("<html></html>\n"), Markup},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRun(t)
			_, err := r.Borrow(t.Context(), "k", newLent(c.body).whole(), Watch{})
			var content *ContentError
			if !errors.As(err, &content) || content.Fault != c.want || !strings.Contains(err.Error(), "dir/a.ndjson") {
				t.Errorf("Borrow = %v, want %q of the file", err, c.want)
			}
			left, _ := filepath.Glob(filepath.Join(r.dir.Path, "*"))
			if len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
	t.Run("Stopped", func(t *testing.T) {
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		_, err := newRun(t).Borrow(ctx, "k", newLent(patients(1, 20_000)).whole(), Watch{Read: func(int) { cancel(why) }})
		if !errors.Is(err, why) {
			t.Errorf("Borrow = %v, want %v", err, why)
		}
	})
	t.Run("Damaged", func(t *testing.T) {
		r := apartRun(t)
		o := newLent(body).whole()
		p := borrow(t, r, "k", o)
		if err := os.WriteFile(p.place.path, []byte("nothing"), 0o600); err != nil {
			t.Fatal(err)
		}
		var damaged *DamagedError
		if _, err := r.Borrow(t.Context(), "k", o, Watch{}); !errors.As(err, &damaged) {
			t.Fatalf("Borrow = %v, want a *DamagedError", err)
		}
		if err := r.Drop("k"); err != nil {
			t.Fatal(err)
		}
		if p := borrow(t, r, "k", o); p.Info().Lines != 100 {
			t.Errorf("%d lines after the drop", p.Info().Lines)
		}
	})
	t.Run("FullDisk", func(t *testing.T) {
		r := openRun(t, &Spool{Dir: tempDir(t), MinFree: 1 << 60})
		var full *FullError
		if _, err := r.Borrow(t.Context(), "k", newLent(body).whole(), Watch{}); !errors.As(err, &full) {
			t.Errorf("Borrow = %v, want a *FullError", err)
		}
	})
}

// A body that lands may be zstd, too: the standard input of a conversion.
func TestLandZstd(t *testing.T) {
	body := patients(1, 5000)
	sent := zst(t, body)
	p := land(t, newRun(t), "k", unknown, Source{Body: bytes.NewReader(sent), Length: -1})
	if got := readAll(t, p.Open); !bytes.Equal(got, body) {
		t.Error("the part has other bytes than the body")
	}
	if i := p.Info(); i.Encoding != "zstd" || i.Layers != 1 || i.Lines != 5000 || i.RawBytes != int64(len(sent)) || i.Bytes != int64(len(body)) {
		t.Errorf("info %+v", i)
	}
}

// FuzzBorrowStretches: wherever a file is cut at a line's end, the counts of the
// stretches are those of the whole.
func FuzzBorrowStretches(f *testing.F) {
	f.Add(string(patients(1, 3)), 10)
	f.Add("\ufeff\r\n {\"resourceType\":\"X\"} \r\n\n[1]\n\ufeff{}", 3)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		if cut < 0 || cut >= len(text) || Compressed([]byte(text)) || strings.HasPrefix(strings.TrimLeft(strings.TrimPrefix(text, "\ufeff"), " \t\r\n"), "<") {
			return
		}
		end := strings.IndexByte(text[cut:], '\n')
		if end < 0 {
			return
		}
		at := int64(cut + end + 1)
		if strings.Contains(text[at:], "\n\ufeff") || strings.HasPrefix(text[at:], "\ufeff") {
			return // a mark within the file is taken for one at its beginning
		}
		r := newRun(t)
		l := newLent([]byte(text))
		whole := borrow(t, r, "w", l.whole()).Info()
		a := borrow(t, r, "a", l.stretch(0, at)).Info()
		b := borrow(t, r, "b", l.stretch(at, int64(len(text))-at)).Info()
		if whole.Lines != a.Lines+b.Lines || whole.Quarantined != a.Quarantined+b.Quarantined || whole.Bytes != a.Bytes+b.Bytes {
			t.Errorf("%d+%d lines, %d+%d bad, of %d and %d", a.Lines, b.Lines, a.Quarantined, b.Quarantined, whole.Lines, whole.Quarantined)
		}
	})
}
