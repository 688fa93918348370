package cli

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"fmt"
	"io"
	"strings"
)

// packing is a way to pack a file that the conversion does not read where it
// lies: gzip and zstd it does.
type packing struct {
	name   string
	ending string
	magic  string // how such a file begins; "" where nothing tells it but the name
	tool   string // prints what is in it
	unpack func(io.Reader) io.Reader
}

var packings = []packing{
	{name: "bzip2", ending: ".bz2", magic: "BZh", unpack: bzip2.NewReader},
	{name: "xz", ending: ".xz", magic: "\xfd7zXZ\x00", tool: "xzcat"},
	{name: "lz4", ending: ".lz4", magic: "\x04\x22\x4d\x18", tool: "lz4cat"},
	{name: "zip", ending: ".zip", magic: "PK", tool: "unzip -p"},
	{name: "7z", ending: ".7z", magic: "7z\xbc\xaf\x27\x1c", tool: "7z e -so"},
	{name: "Brotli", ending: ".br", tool: "brotli -dc"},
	{name: "lzma", ending: ".lzma", tool: "xzcat"},
	{name: "compress", ending: ".z", tool: "zcat"},
}

// longestMagic is as much of a file as tells how it is packed.
const longestMagic = 6

// packingOf returns how a file that begins with head is packed, nil when the
// conversion reads it as it is.
func packingOf(head []byte) *packing {
	for i := range packings {
		if p := &packings[i]; p.magic != "" && bytes.HasPrefix(head, []byte(p.magic)) {
			return p
		}
	}
	return nil
}

// packingNamed is packingOf for a file whose bytes do not tell.
func packingNamed(path string) *packing {
	for i := range packings {
		if p := &packings[i]; p.magic == "" && strings.HasSuffix(strings.ToLower(path), p.ending) {
			return p
		}
	}
	return nil
}

// refuse is the error for a file that has to be unpacked before.
func (p *packing) refuse(path string) error {
	return &usageError{
		message: fmt.Sprintf("%s is packed as %s, which flue does not read", path, p.name),
		hint:    fmt.Sprintf("unpack it (%s), or name <(%s FILE) in its place, beside the other files", p.tool, p.tool),
	}
}

// damagedError is a packed file that cannot be unpacked.
type damagedError struct {
	packing string
	err     error
}

func (e *damagedError) Error() string {
	return fmt.Sprintf("its %s data is corrupt or ends early: %v", e.packing, e.err)
}

// Unwrap returns the unpacker's error.
func (e *damagedError) Unwrap() error { return e.err }

// Class makes it a fault of the data.
func (e *damagedError) Class() string { return "quality" }

// Hint says what to do.
func (e *damagedError) Hint() string { return "mend the file, or leave it out" }

// cutPacked cuts the endings of a packed file's name.
func cutPacked(name string) string {
	endings := []string{".gz", ".zst"}
	for _, p := range packings {
		endings = append(endings, p.ending)
	}
	for _, ending := range endings {
		if base, ok := strings.CutSuffix(name, ending); ok {
			return cutPacked(base)
		}
	}
	return name
}

// unpacked reads a stream, and unpacks it where its first bytes say so. What that
// takes, and the stream, it gives up at the end.
type unpacked struct {
	name  string
	under io.Reader
	close func()    // may be nil
	top   io.Reader // nil before the first read
	way   *packing  // nil when it is not packed
	err   error     // the last one, of all reads to come
}

// Read implements io.Reader.
func (u *unpacked) Read(b []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	n, err := 0, u.open()
	if err == nil {
		n, err = u.top.Read(b)
		if err != nil && err != io.EOF && u.way != nil {
			err = &damagedError{packing: u.way.name, err: err}
		}
	}
	if err != nil {
		u.err, u.top, u.under = err, nil, nil
		if u.close != nil {
			u.close()
		}
	}
	return n, err
}

// open looks at the first bytes.
func (u *unpacked) open() error {
	if u.top != nil {
		return nil
	}
	r := bufio.NewReader(u.under)
	head, err := r.Peek(longestMagic)
	if err != nil && err != io.EOF {
		return err
	}
	u.way = packingOf(head)
	switch {
	case u.way == nil:
		u.top = r
	case u.way.unpack == nil:
		return u.way.refuse(u.name)
	default:
		u.top = u.way.unpack(r)
	}
	return nil
}
