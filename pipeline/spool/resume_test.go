package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
)

// bodies are those that the resumption tests use, by encoding: each of several
// chunks.
func bodies(t *testing.T) map[string][]byte {
	rng := rand.New(rand.NewPCG(7, 7))
	hard := []byte(`{"resourceType":"Binary","id":"b","contentType":"x","data":"`)
	for range 6_000 { // does not compress
		hard = fmt.Appendf(hard, "%016x", rng.Uint64())
	}
	hard = append(hard, "\"}\n"...)
	body := append(patients(3, 500), hard...)
	return map[string][]byte{"Identity": append(body, patients(4, 500)...), "Gzip": gz(t, append(body, patients(4, 500)...))}
}

var errReset = errors.New("connection reset by peer")

// TestF34ResumeInProcess breaks a body again and again; every byte is read once.
func TestF34ResumeInProcess(t *testing.T) {
	for name, body := range bodies(t) {
		t.Run(name, func(t *testing.T) {
			whole := land(t, fineRun(t), "k", unknown, source(body))
			l, err := fineRun(t).Land("k", unknown)
			if err != nil {
				t.Fatal(err)
			}
			var read int64
			for step := 1; ; step++ {
				offset, validator, _ := l.Resume()
				if offset != read {
					t.Fatalf("Resume tells %d after %d bytes", offset, read)
				}
				cut := &cutBody{body: body[offset:], at: 1 + 10_007*step/3, err: errReset}
				if step%3 == 0 {
					cut.err = io.EOF // a server that closes early
				}
				if cut.at >= len(cut.body) {
					cut.at, cut.err = len(cut.body), nil
				}
				err := l.Copy(t.Context(), Source{Body: cut, Offset: offset, Length: int64(len(body)), Validator: validatorOr(validator)})
				read += int64(cut.pos)
				if err == nil {
					break
				}
				var broken *BodyError
				if !errors.As(err, &broken) || !broken.Retryable() || broken.Got != read {
					t.Fatalf("Copy returned %v, want a *BodyError after %d bytes", err, read)
				}
			}
			if read != int64(len(body)) {
				t.Errorf("%d bytes were read of %d", read, len(body))
			}
			p, err := l.Commit()
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, "resumed", p, whole)
		})
	}
}

func validatorOr(v string) string {
	if v == "" {
		return `"v1"`
	}
	return v
}

// TestF34ServerStartsOver breaks a body, and then the server sends it, or
// another one, from its first byte: nothing of the first is left.
func TestF34ServerStartsOver(t *testing.T) {
	old := patients(1, 2_000)
	for name, body := range map[string][]byte{"Same": old, "Other": gz(t, patients(2, 500))} {
		for _, process := range []string{"same process", "another process"} {
			t.Run(name+" in "+process, func(t *testing.T) {
				whole := land(t, fineRun(t), "k", unknown, source(body))
				r := fineRun(t)
				l, err := r.Land("k", unknown)
				if err != nil {
					t.Fatal(err)
				}
				err = l.Copy(t.Context(), Source{Body: &cutBody{body: old, at: 100_000, err: errReset}, Length: -1, Validator: `"old"`})
				if !errors.Is(err, errReset) {
					t.Fatal(err)
				}
				if process == "another process" {
					if err := l.Close(); err != nil {
						t.Fatal(err)
					}
					r = reopen(t, r)
					if l, err = r.Land("k", unknown); err != nil {
						t.Fatal(err)
					}
					if offset, validator, _ := l.Resume(); offset == 0 || validator != `"old"` {
						t.Fatalf("Resume tells %d, %s", offset, validator)
					}
				}
				if err := l.Copy(t.Context(), source(body)); err != nil {
					t.Fatal(err)
				}
				p, err := l.Commit()
				if err != nil {
					t.Fatal(err)
				}
				wantSame(t, "started over", p, whole)
				if got := files(t, r); len(got) != 1 {
					t.Errorf("files %v, want one", got)
				}
			})
		}
	}
}

// TestI5AnyPrefixOfTheFileIsEnough cuts the file of a part at every place where
// something begins or ends, and at others, and goes on from there: whatever
// survived a crash, the part becomes that of a whole landing.
func TestI5AnyPrefixOfTheFileIsEnough(t *testing.T) {
	for name, body := range bodies(t) {
		t.Run(name, func(t *testing.T) {
			whole := land(t, fineRun(t), "k", unknown, source(body))
			file, err := os.ReadFile(whole.place.path)
			if err != nil {
				t.Fatal(err)
			}
			r := fineRun(t)
			partial, originPath := r.path(fileName("k"), partialSuffix), r.path(fileName("k"), originSuffix)
			origin := fmt.Appendf(nil, `{"validator":"\"v1\"","length":%d}`, len(body))
			var resumed int
			for _, cut := range cuts(t, file) {
				for path, data := range map[string][]byte{partial: file[:cut], originPath: origin} {
					if err := os.WriteFile(path, data, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				l, err := reopen(t, r).Land("k", unknown)
				if err != nil {
					t.Fatalf("cut at %d: Land: %v", cut, err)
				}
				offset, validator, encoding := l.Resume()
				if offset >= int64(len(body)) {
					t.Fatalf("cut at %d: Resume tells %d of %d bytes: there is nothing to ask for", cut, offset, len(body))
				}
				if offset > 0 {
					resumed++
					if want := map[string]string{"Identity": "", "Gzip": "gzip"}[name]; validator != `"v1"` || encoding != want {
						t.Fatalf("cut at %d: Resume tells %d, %q, %q", cut, offset, validator, encoding)
					}
				}
				if err := l.Copy(t.Context(), from(body, offset, validator)); err != nil {
					t.Fatalf("cut at %d: Copy from %d: %v", cut, offset, err)
				}
				p, err := l.Commit()
				if err != nil {
					t.Fatalf("cut at %d: Commit: %v", cut, err)
				}
				wantSame(t, fmt.Sprintf("cut at %d", cut), p, whole)
				if t.Failed() {
					return
				}
				if err := r.Drop("k"); err != nil {
					t.Fatal(err)
				}
			}
			if resumed < 10 {
				t.Errorf("only %d cuts left something to go on with", resumed)
			}
		})
	}
}

// cuts are the lengths to which the file is cut: around each chunk's begin, and
// some between.
func cuts(t *testing.T, file []byte) []int {
	t.Helper()
	at := []int{0, 1, len(file) - 1, len(file)}
	for pos := int64(0); pos < int64(len(file))-markLen; {
		h, err := readHeader(bytes.NewReader(file), pos, int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		end := pos + headerLen + int64(h.stored)
		for _, c := range []int64{pos, pos + 1, pos + headerLen, end - 1} {
			at = append(at, int(c))
		}
		pos = end
	}
	return at
}

// TestI5GarbageBehindThePrefix appends what a loss of power may leave.
func TestI5GarbageBehindThePrefix(t *testing.T) {
	body := bodies(t)["Identity"]
	whole := land(t, fineRun(t), "k", unknown, source(body))
	file, err := os.ReadFile(whole.place.path)
	if err != nil {
		t.Fatal(err)
	}
	first, err := readHeader(bytes.NewReader(file), 0, int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	second := headerLen + first.stored
	flipped := bytes.Clone(file[:whole.foot.IndexAt])
	flipped[second+headerLen+100] ^= 1 // in the second chunk: only reading it shows
	next, err := readHeader(bytes.NewReader(file), int64(second), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.Clone(file[:second+headerLen+next.stored])
	last[len(last)-3] ^= 1 // in the last chunk that is whole: seen at once
	for name, partial := range map[string][]byte{
		"Last":    last,
		"Zeros":   append(bytes.Clone(file[:second]), make([]byte, 5_000)...),
		"Noise":   append(bytes.Clone(file[:second]), bytes.Repeat([]byte("Sflu\x10\x00\x00\x00"), 1000)...),
		"Flipped": flipped,
	} {
		t.Run(name, func(t *testing.T) {
			r := fineRun(t)
			for path, data := range map[string][]byte{
				r.path(fileName("k"), partialSuffix): partial,
				r.path(fileName("k"), originSuffix):  fmt.Appendf(nil, `{"validator":"\"v1\"","length":%d}`, len(body)),
			} {
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			l, err := r.Land("k", unknown)
			if err != nil {
				t.Fatal(err)
			}
			offset, validator, _ := l.Resume()
			if offset == 0 {
				t.Error("the valid prefix was dropped")
			}
			err = l.Copy(t.Context(), from(body, offset, validator))
			var content *ContentError
			if name == "Flipped" {
				if !errors.As(err, &content) || content.Fault != BrokenSpool || !content.Retryable() {
					t.Fatalf("Copy returned %v, want %q", err, BrokenSpool)
				}
				if offset, _, _ := l.Resume(); offset != 0 {
					t.Fatalf("Resume tells %d behind a broken prefix", offset)
				}
				err = l.Copy(t.Context(), source(body))
			}
			if err != nil {
				t.Fatal(err)
			}
			p, err := l.Commit()
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, name, p, whole)
		})
	}
}

// TestNoPrefixWithoutItsOrigin: bytes of which it is not known what they are a
// part of are not gone on with.
func TestNoPrefixWithoutItsOrigin(t *testing.T) {
	body := patients(1, 2_000)
	for name, s := range map[string]Source{
		"NoValidator": {Length: int64(len(body))},
		"Removed":     {Length: int64(len(body)), Validator: `"v1"`},
		"Torn":        {Length: int64(len(body)), Validator: `"v1"`},
	} {
		t.Run(name, func(t *testing.T) {
			r := fineRun(t)
			l, err := r.Land("k", unknown)
			if err != nil {
				t.Fatal(err)
			}
			s.Body = &cutBody{body: body, at: 100_000, err: errReset}
			if err := l.Copy(t.Context(), s); !errors.Is(err, errReset) {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			path := r.path(fileName("k"), originSuffix)
			switch name {
			case "Removed":
				err = os.Remove(path)
			case "Torn":
				err = os.Truncate(path, 5)
			}
			if err != nil {
				t.Fatal(err)
			}
			if l, err = reopen(t, r).Land("k", unknown); err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if offset, _, _ := l.Resume(); offset != 0 {
				t.Errorf("Resume tells %d", offset)
			}
		})
	}
}

// TestI5SmallBodyAfterLargeOne: the origin of an earlier body must not vouch for
// the bytes of a later one that is too small to have its own.
func TestI5SmallBodyAfterLargeOne(t *testing.T) {
	r := fineRun(t)
	l, err := r.Land("k", unknown)
	if err != nil {
		t.Fatal(err)
	}
	large := patients(1, 2_000)
	if err := l.Copy(t.Context(), Source{Body: &cutBody{body: large, at: 100_000, err: errReset}, Length: int64(len(large)), Validator: `"large"`}); !errors.Is(err, errReset) {
		t.Fatal(err)
	}
	small := patients(2, 10)
	if err := l.Copy(t.Context(), source(small)); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil { // dies before Commit
		t.Fatal(err)
	}
	if l, err = reopen(t, r).Land("k", unknown); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if offset, validator, _ := l.Resume(); offset != 0 {
		t.Errorf("Resume tells %d of %s", offset, validator)
	}
}

func TestCancelledCopyKeepsWhatCame(t *testing.T) {
	body := patients(1, 2_000)
	whole := land(t, fineRun(t), "k", unknown, source(body))
	r := fineRun(t)
	l, err := r.Land("k", unknown)
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("drain")
	ctx, cancel := context.WithCancelCause(t.Context())
	err = l.Copy(ctx, Source{Body: &cutBody{body: body, at: 100_017, then: func() { cancel(cause) }}, Length: int64(len(body)), Validator: `"v1"`})
	if !errors.Is(err, cause) {
		t.Fatalf("Copy returned %v, want the context's cause", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = reopen(t, r).Land("k", unknown); err != nil {
		t.Fatal(err)
	}
	offset, validator, _ := l.Resume()
	if offset < 100_000 {
		t.Errorf("Resume tells %d: Close kept less than what came", offset)
	}
	// Cancelled again while the prefix is walked: nothing is lost or doubled.
	if err := l.Copy(&lateContext{ctx, 2}, from(body, offset, validator)); !errors.Is(err, cause) {
		t.Fatalf("Copy returned %v, want the context's cause", err)
	}
	if again, _, _ := l.Resume(); again != offset {
		t.Fatalf("Resume tells %d, then %d", offset, again)
	}
	if err := l.Copy(t.Context(), from(body, offset, validator)); err != nil {
		t.Fatal(err)
	}
	p, err := l.Commit()
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "cancelled", p, whole)
}

// lateContext is seen to be cancelled after so many looks.
type lateContext struct {
	context.Context
	looks int
}

func (c *lateContext) Err() error {
	if c.looks--; c.looks >= 0 {
		return nil
	}
	return c.Context.Err()
}

// TestCopyAgain: a body that is read again after all takes the place of the
// first.
func TestCopyAgain(t *testing.T) {
	l, err := fineRun(t).Land("k", unknown)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(2) {
		if err := l.Copy(t.Context(), source(patients(seed, 30))); err != nil {
			t.Fatal(err)
		}
		if offset, _, _ := l.Resume(); offset != 0 {
			t.Errorf("Resume tells %d of a whole body", offset)
		}
	}
	p, err := l.Commit()
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "read again", p, land(t, fineRun(t), "k", unknown, source(patients(1, 30))))
}

// TestTailOfAFailedWrite: a full disk may leave the beginning of a chunk behind
// the last whole one.
func TestTailOfAFailedWrite(t *testing.T) {
	r := fineRun(t)
	body := patients(1, 500)
	l, err := r.Land("k", unknown)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Copy(t.Context(), source(body)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.file.WriteAt(make([]byte, 1<<20), l.size); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Commit(); err != nil {
		t.Fatal(err)
	}
	if data, _, err := useAll(reopen(t, r), "k"); err != nil || !bytes.Equal(data, body) {
		t.Errorf("%d bytes are read of %d (%v)", len(data), len(body), err)
	}
}
