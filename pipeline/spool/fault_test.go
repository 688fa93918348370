package spool

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestFaults lands bodies that cannot become parts, and then a good one with the
// same landing: nothing of the bad one may be left.
func TestFaults(t *testing.T) {
	good := patients(1, 5_000)
	packed := gz(t, good)
	corrupt := bytes.Clone(packed)
	corrupt[len(corrupt)/2] ^= 0xff
	sum := bytes.Clone(packed)
	sum[len(sum)-6] ^= 1
	html := []byte("\ufeff \n<!DOCTYPE html><html><body>Sign in</body></html>")
	bomb := gz(t, make([]byte, freeRatio+16<<20))

	for name, c := range map[string]struct {
		source    Source
		maxBody   int64
		opts      Options
		fault     Fault
		retryable bool
	}{
		"F35HTML":            {source: source(html), fault: Markup, retryable: true},
		"F35HTMLInGzip":      {source: source(gz(t, html)), fault: Markup, retryable: true},
		"F33GzipCut":         {source: Source{Body: bytes.NewReader(packed[:len(packed)-1]), Length: -1}, fault: CorruptGzip, retryable: true},
		"F33GzipTrailerGone": {source: Source{Body: bytes.NewReader(packed[:len(packed)-8]), Length: -1}, fault: CorruptGzip, retryable: true},
		"F33GzipCorrupt":     {source: source(corrupt), fault: CorruptGzip, retryable: true},
		"F33GzipSum":         {source: source(sum), fault: CorruptGzip, retryable: true},
		"F33TextBehindGzip":  {source: source(append(bytes.Clone(packed), "<html>"...)), fault: CorruptGzip, retryable: true},
		"F33CutLine":         {source: Source{Body: bytes.NewReader(good[:len(good)-20]), Length: -1}, fault: CutLine, retryable: true},
		"F33Longer":          {source: Source{Body: bytes.NewReader(good), Length: int64(len(good)) - 1}, fault: TooLong, retryable: true},
		"F36Nested":          {source: source(gz(t, gz(t, packed))), fault: NestedGzip},
		"F36Bomb":            {source: source(bomb), fault: Bomb},
		"F36BombInGzip":      {source: source(gz(t, bomb)), fault: Bomb},
		"F36TooMuch":         {source: source(good), maxBody: 100_000, fault: Bomb},
		"UnknownEncoding":    {source: Source{Body: bytes.NewReader(good), Length: -1, Encoding: "br"}, fault: Encoding},
		"Misplaced":          {source: Source{Body: bytes.NewReader(good), Offset: 77, Length: -1}, fault: Misplaced, retryable: true},
	} {
		t.Run(name, func(t *testing.T) {
			c.opts.Expect = -1
			l, err := openRun(t, &Spool{Dir: tempDir(t), MinFree: 1, MaxBody: c.maxBody}).Land("k", c.opts)
			if err != nil {
				t.Fatal(err)
			}
			err = l.Copy(t.Context(), c.source)
			var content *ContentError
			if !errors.As(err, &content) || content.Fault != c.fault {
				t.Fatalf("Copy returned %v, want %q", err, c.fault)
			}
			if content.Retryable() != c.retryable || (content.Class() == "") != c.retryable {
				t.Errorf("retryable %t with class %q, want %t", content.Retryable(), content.Class(), c.retryable)
			}
			if offset, _, _ := l.Resume(); offset != 0 {
				t.Errorf("Resume tells %d after a body that is not kept", offset)
			}
			if c.maxBody > 0 {
				return
			}
			if err := l.Copy(t.Context(), source(good)); err != nil {
				t.Fatalf("Copy of a good body: %v", err)
			}
			p, err := l.Commit()
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, "after the fault", p, land(t, newRun(t), "k", c.opts, source(good)))
		})
	}
}

func TestF33ShortBody(t *testing.T) {
	body := patients(1, 100)
	for name, s := range map[string]Source{
		"EarlyEnd":    {Body: bytes.NewReader(body[:500]), Length: int64(len(body))},
		"Reset":       {Body: io.MultiReader(bytes.NewReader(body[:500]), iotest.ErrReader(errReset)), Length: -1},
		"Stuck":       {Body: io.MultiReader(bytes.NewReader(body[:500]), stuck{}), Length: -1},
		"GzipOfZero":  {Body: strings.NewReader(""), Encoding: "gzip", Length: -1},
		"EmptyPromis": {Body: strings.NewReader(""), Length: 10},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := newRun(t).Land("k", unknown)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			var broken *BodyError
			if err := l.Copy(t.Context(), s); !errors.As(err, &broken) || !broken.Retryable() {
				t.Errorf("Copy returned %v, want a *BodyError", err)
			}
		})
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// TestErrorBehindTheLastByte: a connection that breaks when everything has come
// has delivered the body.
func TestErrorBehindTheLastByte(t *testing.T) {
	body := patients(1, 100)
	s := source(body)
	s.Body = io.MultiReader(bytes.NewReader(body), iotest.ErrReader(errReset))
	if p := land(t, newRun(t), "k", unknown, s); p.Info().Lines != 100 {
		t.Errorf("%d lines, want 100", p.Info().Lines)
	}
}

func TestF34FileChangedBetween(t *testing.T) {
	body := patients(1, 2_000)
	for name, change := range map[string]func(*Source){
		"Validator": func(s *Source) { s.Validator = `"v2"` },
		"Length":    func(s *Source) { s.Length++ },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := fineRun(t).Land("k", unknown)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			s := source(body)
			s.Body = &cutBody{body: body, at: 100_000, err: errReset}
			if err := l.Copy(t.Context(), s); !errors.Is(err, errReset) {
				t.Fatal(err)
			}
			s = from(body, 100_000, `"v1"`)
			change(&s)
			var content *ContentError
			if err := l.Copy(t.Context(), s); !errors.As(err, &content) || content.Fault != Changed {
				t.Errorf("Copy returned %v, want %q", err, Changed)
			}
			if offset, _, _ := l.Resume(); offset != 0 {
				t.Errorf("Resume tells %d", offset)
			}
		})
	}
}

func TestF37Count(t *testing.T) {
	body := append(patients(1, 10), `{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational"}]}`+"\n"...)
	for name, c := range map[string]struct {
		opts      Options
		length    int64
		ok        bool
		retryable bool
	}{
		"Resources":  {Options{Expect: 10}, -1, true, false},
		"AllLines":   {Options{Expect: 11}, -1, true, false},
		"Unknown":    {Options{Expect: -1}, -1, true, false},
		"More":       {Options{Expect: 12}, int64(len(body)), false, false},
		"Fewer":      {Options{Expect: 9}, int64(len(body)), false, false},
		"None":       {Options{Expect: 0}, int64(len(body)), false, false},
		"NoLength":   {Options{Expect: 12}, -1, false, true},
		"AllowedLie": {Options{Expect: 12, AllowMismatch: true}, int64(len(body)), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := fineRun(t).Land("k", c.opts)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			err = l.Copy(t.Context(), Source{Body: bytes.NewReader(body), Length: c.length})
			var count *CountError
			switch {
			case c.ok && err != nil:
				t.Errorf("Copy returned %v", err)
			case !c.ok && !errors.As(err, &count):
				t.Errorf("Copy returned %v, want a *CountError", err)
			case !c.ok && (count.Retryable() != c.retryable || (count.Class() == "") != c.retryable || count.Want != c.opts.Expect || count.Got != 11):
				t.Errorf("%+v, retryable %t, class %q", count, count.Retryable(), count.Class())
			}
			if !c.ok {
				return
			}
			p, err := l.Commit()
			if err != nil {
				t.Fatal(err)
			}
			if p.Info().Expect != c.opts.Expect || p.Info().Lines != 11 {
				t.Errorf("Info says %d of %d", p.Info().Lines, p.Info().Expect)
			}
		})
	}
}
