package attachment

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"
	"strconv"
)

// What a FHIR resource in the place of a content turns out to be.
var (
	errNotBinary = errors.New("the resource is no Binary")
	errNoData    = errors.New("the Binary has no data that can be read")
)

// unwrap writes the data of a Binary in FHIR JSON, decoded, and returns its
// contentType. The data may be of any length: they are never held. The error is
// errNotBinary for another resource, or for what is no JSON object, errNoData when
// there is nothing to decode, and w's own.
func unwrap(r io.Reader, w io.Writer) (contentType string, err error) {
	s := &scanner{r: bufio.NewReaderSize(r, 64<<10)}
	typ, data := "", false
	if c, err := s.token(); err != nil || c != '{' {
		return "", errNotBinary
	}
	for first := true; ; first = false {
		c, err := s.token()
		if err == nil && c == '}' {
			break
		}
		if err == nil && !first {
			if c != ',' {
				return "", errNotBinary
			}
			c, err = s.token()
		}
		if err != nil || c != '"' {
			return "", errNotBinary
		}
		name, err := s.text()
		if err != nil {
			return "", errNotBinary
		}
		if c, err = s.token(); err != nil || c != ':' {
			return "", errNotBinary
		}
		if c, err = s.token(); err != nil {
			return "", errNotBinary
		}
		switch {
		case c == '"' && name == "data":
			if data {
				return "", errNoData // twice
			}
			data = true
			if err := s.decode(w); err != nil {
				return "", err
			}
		case c == '"':
			value, err := s.text()
			if err != nil {
				return "", errNotBinary
			}
			switch name {
			case "resourceType":
				typ = value
			case "contentType":
				contentType = value
			}
		default:
			if err := s.skip(c); err != nil {
				return "", errNotBinary
			}
		}
	}
	switch {
	case typ != "Binary":
		return "", errNotBinary
	case !data:
		return "", errNoData
	}
	return contentType, nil
}

// scanner reads JSON piece by piece. It is not strict: what it lets through is
// found by what comes of it.
type scanner struct{ r *bufio.Reader }

// maxText bounds the strings that are held: names and codes.
const maxText = 1 << 10

// token is the next byte that is not white space.
func (s *scanner) token() (byte, error) {
	for {
		c, err := s.r.ReadByte()
		if err != nil || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c, err
		}
	}
}

// text reads the rest of a string, behind its quote. Of a long one only the
// beginning is kept.
func (s *scanner) text() (string, error) {
	var b []byte
	err := s.string(func(c byte) error {
		if len(b) < maxText {
			b = append(b, c)
		}
		return nil
	})
	return string(b), err
}

// string yields the bytes of a string, its escapes resolved. Code units over 0x7f
// come as a question mark: nothing that matters here has them.
func (s *scanner) string(yield func(byte) error) error {
	for {
		c, err := s.r.ReadByte()
		if err != nil {
			return io.ErrUnexpectedEOF
		}
		switch c {
		case '"':
			return nil
		case '\\':
			if c, err = s.escape(); err != nil {
				return err
			}
		}
		if err := yield(c); err != nil {
			return err
		}
	}
}

func (s *scanner) escape() (byte, error) {
	c, err := s.r.ReadByte()
	if err != nil {
		return 0, io.ErrUnexpectedEOF
	}
	switch c {
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'u':
		var digits [4]byte
		if _, err := io.ReadFull(s.r, digits[:]); err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		n, err := strconv.ParseUint(string(digits[:]), 16, 16)
		if err != nil {
			return 0, errNotBinary
		}
		if n > 0x7f {
			n = '?'
		}
		return byte(n), nil
	}
	return c, nil // a quote, a slash, a backslash
}

// skip passes over a value that is no string, whose first byte is c.
func (s *scanner) skip(c byte) error {
	depth := 0
	for {
		switch c {
		case '"':
			if err := s.string(func(byte) error { return nil }); err != nil {
				return err
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth <= 0 {
			next, err := s.r.Peek(1)
			if err != nil {
				return io.ErrUnexpectedEOF
			}
			if depth < 0 || next[0] == ',' || next[0] == '}' || next[0] == ']' {
				return nil
			}
		}
		var err error
		if c, err = s.r.ReadByte(); err != nil {
			return io.ErrUnexpectedEOF
		}
	}
}

// decode reads the rest of a string as base64. White space within is passed over.
func (s *scanner) decode(w io.Writer) error {
	chars, groups := make([]byte, 0, 4<<10), make([]byte, 3<<10)
	padded := false // nothing may follow
	flush := func() error {
		if len(chars) == 0 {
			return nil
		}
		if padded || len(chars)%4 != 0 {
			return errNoData
		}
		n, err := base64.StdEncoding.Decode(groups, chars)
		if err != nil {
			return errNoData
		}
		padded = chars[len(chars)-1] == '='
		chars = chars[:0]
		_, err = w.Write(groups[:n])
		return err
	}
	err := s.string(func(c byte) error {
		switch c {
		case ' ', '\t', '\r', '\n':
			return nil
		}
		if chars = append(chars, c); len(chars) < cap(chars) {
			return nil
		}
		return flush()
	})
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errNoData
	}
	if err != nil {
		return err
	}
	return flush()
}
