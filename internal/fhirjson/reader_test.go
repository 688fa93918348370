package fhirjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// read is one result of Next.
type read struct {
	line           string
	tooLong        bool
	number, offset int64
}

func readAll(t testing.TB, r *Reader) (all []read) {
	t.Helper()
	for {
		line, err := r.Next()
		if err == io.EOF {
			return all
		}
		got := read{line: string(line), number: r.Number(), offset: r.Offset()}
		if tooLong, ok := errors.AsType[*TooLongError](err); ok {
			got.tooLong = true
			if tooLong.Hint() == "" || line != nil {
				t.Error("a line that is too long comes without a hint, or with bytes")
			}
		} else if err != nil {
			t.Fatal(err)
		} else if r.Length() != int64(len(line)) {
			t.Errorf("length %d of %d bytes", r.Length(), len(line))
		}
		all = append(all, got)
	}
}

func TestF38Reader(t *testing.T) {
	tests := []struct {
		name, in string
		want     []read
		lines    int64
	}{
		{"empty", "", nil, 0},
		{"plain", "a\nb\n", []read{{"a", false, 0, 0}, {"b", false, 1, 2}}, 2},
		{"no last line end", "a\nb", []read{{"a", false, 0, 0}, {"b", false, 1, 2}}, 2},
		{"CRLF", "a\r\nb\r\n", []read{{"a", false, 0, 0}, {"b", false, 1, 3}}, 2},
		{"byte order mark", "\xef\xbb\xbfa\nb", []read{{"a", false, 0, 3}, {"b", false, 1, 5}}, 2},
		{"byte order mark inside", "a\n\xef\xbb\xbfb", []read{{"a", false, 0, 0}, {"\xef\xbb\xbfb", false, 1, 2}}, 2},
		{"byte order mark alone", "\xef\xbb\xbf\n", nil, 1},
		{"blank lines", "\n\na\n \t\r\n\nb\n\n", []read{{"a", false, 2, 2}, {"b", false, 5, 9}}, 7},
		{"spaces around", "  a b \t\n\tb", []read{{"a b", false, 0, 2}, {"b", false, 1, 9}}, 2},
		{"only spaces", "   ", nil, 1},
		{"too long", "123456789\na\n", []read{{"", true, 0, 0}, {"a", false, 1, 10}}, 2},
		{"too long at the end", "a\n123456789", []read{{"a", false, 0, 0}, {"", true, 1, 2}}, 2},
		{"as long as the limit", "\xef\xbb\xbf12345678\r\n", []read{{"12345678", false, 0, 3}}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			readers := map[string]io.Reader{
				"at once":       strings.NewReader(test.in),
				"byte by byte":  iotest.OneByteReader(strings.NewReader(test.in)),
				"EOF with data": iotest.DataErrReader(strings.NewReader(test.in)),
			}
			for name, in := range readers {
				r := NewReader(in, 8)
				if r.Number() != -1 {
					t.Errorf("%s: number %d before the first line", name, r.Number())
				}
				if got := readAll(t, r); !slices.Equal(got, test.want) {
					t.Errorf("%s: got %v, want %v", name, got, test.want)
				}
				if r.Lines() != test.lines {
					t.Errorf("%s: %d lines, want %d", name, r.Lines(), test.lines)
				}
				if _, err := r.Next(); err != io.EOF {
					t.Errorf("%s: %v after the end", name, err)
				}
			}
		})
	}
}

// F39: a line over the limit takes no memory, and the next ones are read.
func TestF39ReaderIsBounded(t *testing.T) {
	const limit = 1 << 20
	huge := io.LimitReader(zeros{}, 100<<20)
	r := NewReader(io.MultiReader(strings.NewReader("first\n"), huge, strings.NewReader("\nlast\n")), limit)
	want := []read{{"first", false, 0, 0}, {"", true, 1, 6}, {"last", false, 2, 6 + 100<<20 + 1}}
	if got := readAll(t, r); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(r.buf) > limit+lineSlack+1 {
		t.Errorf("buffer of %d bytes", len(r.buf))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

// The buffer grows only as far as the lines need.
func TestReaderGrows(t *testing.T) {
	long := strings.Repeat("x", 3*firstBuffer)
	r := NewReader(strings.NewReader("a\n"+long+"\nb"), 0)
	got := readAll(t, r)
	if len(got) != 3 || got[1].line != long || got[2].line != "b" {
		t.Errorf("%d lines", len(got))
	}
	if len(r.buf) != 4*firstBuffer {
		t.Errorf("buffer of %d bytes", len(r.buf))
	}
}

// A reader that breaks and goes on loses nothing, also when the error comes
// together with bytes.
func TestReaderGoesOnAfterAnError(t *testing.T) {
	broken := errors.New("connection reset")
	in := &script{steps: []step{{"a\nb", broken}, {"", broken}, {"c\n", nil}, {"d", io.EOF}}}
	r := NewReader(in, 0)
	var got []string
	for {
		line, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			got = append(got, err.Error())
			continue
		}
		got = append(got, string(line))
	}
	want := []string{"a", "connection reset", "connection reset", "bc", "d"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

type step struct {
	bytes string
	err   error
}

type script struct{ steps []step }

func (s *script) Read(p []byte) (int, error) {
	if len(s.steps) == 0 {
		return 0, io.EOF
	}
	now := s.steps[0]
	s.steps = s.steps[1:]
	return copy(p, now.bytes), now.err
}

func TestReaderStuck(t *testing.T) {
	stuck := make([]step, 1000)
	if _, err := NewReader(&script{steps: stuck}, 0).Next(); err != io.ErrNoProgress {
		t.Errorf("got %v", err)
	}
}

// Whatever the lengths of the lines and of the reads, the lines are those of
// the text.
func TestReaderAgreesWithSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text bytes.Buffer
		var want []read
		for n := range rapid.IntRange(0, 20).Draw(t, "lines") {
			size := rapid.OneOf(rapid.IntRange(0, 10), rapid.IntRange(firstBuffer-2, firstBuffer+2), rapid.IntRange(0, 2*firstBuffer)).Draw(t, "size")
			if size > 0 {
				want = append(want, read{strings.Repeat("x", size), false, int64(n), int64(text.Len())})
			}
			text.WriteString(strings.Repeat("x", size))
			text.WriteString("\n")
		}
		chunk := rapid.IntRange(1, 300_000).Draw(t, "chunk")
		r := NewReader(&chunked{text.Bytes(), chunk}, 1<<20)
		for i, w := range want {
			line, err := r.Next()
			if got := (read{string(line), false, r.Number(), r.Offset()}); err != nil || got != w {
				t.Fatalf("line %d: %d bytes, number %d, offset %d, %v; want %d, %d, %d", i, len(line), r.Number(), r.Offset(), err, len(w.line), w.number, w.offset)
			}
		}
		if _, err := r.Next(); err != io.EOF {
			t.Fatalf("%v after the last line", err)
		}
	})
}

type chunked struct {
	rest []byte
	size int
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest[:min(c.size, len(c.rest))])
	c.rest = c.rest[n:]
	return n, nil
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("\xef\xbb\xbf{}\r\n\n {} \n12345678901234567890\nx"), 3)
	f.Fuzz(func(t *testing.T, data []byte, chunk int) {
		if chunk < 1 {
			return
		}
		const limit = 16
		r := NewReader(&chunked{data, chunk}, limit)
		for {
			line, err := r.Next()
			if err == io.EOF {
				break
			}
			if _, ok := errors.AsType[*TooLongError](err); ok {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(line) == 0 || len(line) > limit || bytes.IndexByte(line, '\n') >= 0 {
				t.Fatalf("line of %d bytes", len(line))
			}
			if at := data[r.Offset():]; !bytes.HasPrefix(at, line) {
				t.Fatalf("the line is not at its offset")
			}
			if got, want := r.Number(), int64(bytes.Count(data[:r.Offset()], []byte("\n"))); got != want {
				t.Fatalf("number %d, want %d", got, want)
			}
		}
		lines := int64(bytes.Count(data, []byte("\n")))
		if len(data) > 0 && data[len(data)-1] != '\n' {
			lines++
		}
		if r.Lines() != lines {
			t.Fatalf("%d lines, want %d", r.Lines(), lines)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	for _, size := range []int{100, 1000, 10_000} {
		line := append(bytes.Repeat([]byte("x"), size), '\n')
		data := bytes.Repeat(line, 10_000_000/len(line))
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				r := NewReader(bytes.NewReader(data), 0)
				for {
					if _, err := r.Next(); err != nil {
						break
					}
				}
			}
		})
	}
}
