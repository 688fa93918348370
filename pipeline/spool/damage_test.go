package spool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// useAll uses everything that a part offers; its result is the decoded bytes
// and the records, or the first error.
func useAll(r *Run, key string) ([]byte, []record, error) {
	p, err := r.Part(key)
	if err != nil || p == nil {
		return nil, nil, err
	}
	body, err := p.Open()
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil {
		return nil, nil, err
	}
	var all []record
	err = p.eachRecord(context.Background(), func(r *record) bool { all = append(all, *r); return true })
	if err != nil {
		return nil, nil, err
	}
	if _, err := p.trees(); err != nil {
		return nil, nil, err
	}
	return data, all, nil
}

// TestDamagedPart changes and cuts a landed part everywhere: it is read as it
// was or not at all.
func TestDamagedPart(t *testing.T) {
	body := patients(1, 50)
	for name, sent := range map[string][]byte{"Identity": body, "Gzip": gz(t, body)} {
		t.Run(name, func(t *testing.T) {
			r := apartRun(t)
			p := land(t, r, "k", unknown, source(sent))
			want := records(t, p)
			file, err := os.ReadFile(p.place.path)
			if err != nil {
				t.Fatal(err)
			}
			try := func(what string, at int, changed []byte) {
				if err := os.WriteFile(p.place.path, changed, 0o600); err != nil {
					t.Fatal(err)
				}
				data, got, err := useAll(r, "k")
				if err == nil && (!bytes.Equal(data, body) || len(got) != len(want)) {
					t.Errorf("%s at %d: %d bytes and %d records were read without an error", what, at, len(data), len(got))
				}
				var damaged *DamagedError
				if err != nil && !errors.As(err, &damaged) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%s at %d: %v, want a *DamagedError", what, at, err)
				}
			}
			for at := range file {
				changed := bytes.Clone(file)
				changed[at] ^= 0x41
				try("changed", at, changed)
				try("cut", at, file[:at])
			}
		})
	}
}

// FuzzPart reads arbitrary bytes as a landed part.
func FuzzPart(f *testing.F) {
	r := newRun(f)
	for i, body := range [][]byte{patients(1, 3), gz(f, patients(2, 3)), {}} {
		p := land(f, r, strings.Repeat("k", i+1), unknown, source(body))
		data, err := os.ReadFile(p.place.path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newRun(t)
		if err := os.WriteFile(r.path(fileName("k"), partSuffix), seal(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := useAll(r, "k"); err != nil {
			return
		}
		p, err := r.Part("k")
		if err != nil || p == nil {
			return
		}
		for _, typ := range p.foot.Names {
			if s, err := r.Select(t.Context(), typ, []*Part{p}, SelectOptions{Memory: 1000}); err == nil {
				_ = s.Close()
			}
		}
		_, _ = r.WriteQuarantine(t.Context(), []*Part{p}, io.Discard)
		_, _ = r.WriteOutcomes(t.Context(), []*Part{p}, io.Discard)
	})
}

// seal gives the chunks in data right sums, so that the fuzzer gets behind them.
func seal(data []byte) []byte {
	data = bytes.Clone(data)
	for at := 0; len(data)-at >= headerLen; {
		end := at + headerLen + int(binary.LittleEndian.Uint32(data[at+4:]))
		if end > len(data) || end < at {
			break
		}
		putHeader(data[at:end:end], chunkKind(data[at]), int(binary.LittleEndian.Uint32(data[at+8:])))
		at = end
	}
	return data
}

// FuzzPartial takes arbitrary bytes for what a crash left, and lands a body over
// it: the part must be that of the body, whatever was there.
func FuzzPartial(f *testing.F) {
	r := newRun(f)
	body := patients(1, 20_000)
	p := land(f, r, "k", unknown, source(body))
	data, err := os.ReadFile(p.place.path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[:p.foot.IndexAt], []byte(`{"validator":"v","length":100}`))
	f.Add(data[:p.foot.IndexAt-1], []byte(`{"validator":"v","length":-1}`))
	f.Add([]byte("Sflu"), []byte(`{}`))
	small := patients(2, 30)
	f.Fuzz(func(t *testing.T, partial, origin []byte) {
		r := newRun(t)
		for suffix, data := range map[string][]byte{partialSuffix: partial, originSuffix: origin} {
			if err := os.WriteFile(r.path(fileName("k"), suffix), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l, err := r.Land("k", unknown)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		offset, validator, _ := l.Resume()
		if offset > 0 {
			// The server goes on; what comes of it is the garbage and the rest, or
			// an error, but no panic.
			_ = l.Copy(t.Context(), Source{Body: bytes.NewReader(small), Offset: offset, Length: -1, Validator: validator})
			return
		}
		if err := l.Copy(t.Context(), source(small)); err != nil {
			t.Fatal(err)
		}
		p, err := l.Commit()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(readAll(t, p.Open), small) {
			t.Error("the part is not the body")
		}
	})
}

// FuzzBody lands arbitrary bytes, whole and in two pieces: the same comes of
// both, and every line is accounted for (I3).
func FuzzBody(f *testing.F) {
	f.Add([]byte(mixed), 17)
	f.Add(patients(1, 2), 0)
	f.Add(gz(f, patients(1, 2)), 30)
	f.Fuzz(func(t *testing.T, body []byte, cut int) {
		whole, err := tryLand(t, newRun(t), body, nil)
		if err != nil {
			return
		}
		cut = min(max(cut, 0), len(body))
		pieces, err := tryLand(t, newRun(t), body, &cut)
		if err != nil {
			t.Fatalf("in two pieces: %v", err)
		}
		wantSame(t, "in two pieces", pieces, whole)
		info := whole.Info()
		sum := info.Outcomes + info.Headers + info.Quarantined
		for _, typ := range info.Types {
			sum += typ.Lines
		}
		if sum != info.Lines {
			t.Errorf("%d lines, of which %d are accounted for", info.Lines, sum)
		}
	})
}

func tryLand(t *testing.T, r *Run, body []byte, cut *int) (*Part, error) {
	l, err := r.Land("k", unknown)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := source(body)
	if cut != nil {
		s.Body = bytes.NewReader(body[:*cut])
		var broken *BodyError
		if err := l.Copy(t.Context(), s); errors.As(err, &broken) {
			offset, validator, _ := l.Resume()
			if offset != int64(*cut) {
				t.Fatalf("Resume tells %d after %d bytes", offset, *cut)
			}
			s = from(body, offset, validator)
		} else if *cut < len(body) {
			return nil, err
		} else {
			s = Source{}
		}
	}
	if s.Body != nil {
		if err := l.Copy(t.Context(), s); err != nil {
			return nil, err
		}
	}
	return l.Commit()
}

// TestI8LandingMemory lands a body far larger than what may be held, and samples
// the heap while it comes.
func TestI8LandingMemory(t *testing.T) {
	const size = 96 << 20
	line := patients(1, 1)
	for name, limit := range map[string]uint64{"Identity": 24 << 20, "OneLine": 24 << 20} {
		t.Run(name, func(t *testing.T) {
			r := openRun(t, &Spool{Dir: filepath.Join(tempDir(t), "spool"), MinFree: 1, MaxLine: 1 << 20})
			base := heap()
			body := &endless{unit: line, size: size}
			if name == "OneLine" {
				body.unit = bytes.Repeat([]byte("x"), 4096)
			}
			p := land(t, r, "k", unknown, Source{Body: body, Length: size})
			if got := max(body.peak, base) - base; got > limit {
				t.Errorf("the heap grew by %d MiB, want at most %d", got>>20, limit>>20)
			}
			if p.Info().Bytes != size {
				t.Errorf("%d bytes landed of %d", p.Info().Bytes, size)
			}
			if _, err := r.Select(t.Context(), "Patient", []*Part{p}, SelectOptions{Memory: 1 << 20}); err != nil {
				t.Error(err)
			}
		})
	}
}

// endless repeats a unit.
type endless struct {
	unit []byte
	size int64
	pos  int64
	peak uint64
	next int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.pos >= e.next {
		e.peak = max(e.peak, heap())
		e.next += 16 << 20
	}
	if e.pos == e.size {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), e.size-e.pos)], e.unit[e.pos%int64(len(e.unit)):])
	e.pos += int64(n)
	return n, nil
}

// TestSelectIsTheSameAfterACrash: another process chooses the same lines (I5).
func TestSelectIsTheSameAfterACrash(t *testing.T) {
	r := newRun(t)
	rng := rand.New(rand.NewPCG(3, 3))
	var keys []string
	for i := range 5 {
		keys = append(keys, string(rune('a'+i)))
		land(t, r, keys[i], unknown, source(patients(rng.Uint64(), 500+i*100)))
	}
	choose := func(r *Run) []string {
		var parts []*Part
		for _, key := range keys {
			p, err := r.Part(key)
			if err != nil || p == nil {
				t.Fatal(p, err)
			}
			parts = append(parts, p)
		}
		return published(t, selectLines(t, r, "Patient", 5000, parts...))
	}
	first, second := choose(r), choose(reopen(t, r))
	if len(first) != 900 || strings.Join(first, "\n") != strings.Join(second, "\n") {
		t.Errorf("%d lines, then %d, or others", len(first), len(second))
	}
}
