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
	{name: "zip", ending: ".zip", magic: "PK\x03\x04", tool: "unzip -p"},
	{name: "Brotli", ending: ".br", tool: "brotli -dc"},
	{name: "7z", ending: ".7z", magic: "7z\xbc\xaf\x27\x1c", tool: "7z e -so"},
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
		hint:    fmt.Sprintf("pipe it: %s %s | flue convert -", p.tool, path),
	}
}

// cutPacked cuts the ending of a packed file's name.
func cutPacked(name string) string {
	for _, ending := range []string{".gz", ".zst"} {
		if base, ok := strings.CutSuffix(name, ending); ok {
			return base
		}
	}
	for _, p := range packings {
		if base, ok := strings.CutSuffix(name, p.ending); ok {
			return base
		}
	}
	return name
}

// unpacked reads a stream, and unpacks it where its first bytes say so.
type unpacked struct {
	name  string
	under io.Reader
	top   io.Reader // nil before the first read
}

// Read implements io.Reader.
func (u *unpacked) Read(b []byte) (int, error) {
	if u.top == nil {
		r := bufio.NewReader(u.under)
		head, err := r.Peek(longestMagic)
		if err != nil && err != io.EOF {
			return 0, err
		}
		u.top = r
		if p := packingOf(head); p != nil {
			if p.unpack == nil {
				return 0, p.refuse(u.name)
			}
			u.top = p.unpack(r)
		}
	}
	return u.top.Read(b)
}
