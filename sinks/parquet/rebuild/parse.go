package rebuild

import (
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a JSON text.
const maxDepth = 10_000

var errJSON = errors.New("not a JSON text")

// parser reads a JSON text that was found valid before; it is strict enough to
// notice when it was not.
type parser struct {
	text  []byte
	at    int
	depth int
}

// parse returns the value of a JSON text. Its scalars point into the text.
func parse(text []byte) (*value, error) {
	p := parser{text: text}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at != len(text) {
		return nil, errJSON
	}
	return v, nil
}

func (p *parser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}

// peek returns the next byte behind white space, 0 at the end.
func (p *parser) peek() byte {
	p.space()
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *parser) value() (*value, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, errJSON
	}
	defer func() { p.depth-- }()
	switch c := p.peek(); c {
	case '{':
		return p.object()
	case '[':
		return p.array()
	case '"':
		from := p.at
		if _, err := p.string(); err != nil {
			return nil, err
		}
		return &value{kind: scalar, text: p.text[from:p.at]}, nil
	default:
		from := p.at
		for p.at < len(p.text) && isLiteral(p.text[p.at]) {
			p.at++
		}
		text := p.text[from:p.at]
		switch {
		case len(text) == 0:
			return nil, errJSON
		case string(text) == "null":
			return &value{}, nil
		}
		return &value{kind: scalar, text: text}, nil
	}
}

// isLiteral reports whether the byte may stand in a number, true, false or null.
func isLiteral(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c == '-' || c == '+' || c == '.' || c == 'E'
}

func (p *parser) object() (*value, error) {
	v := &value{kind: object}
	p.at++
	if p.peek() == '}' {
		p.at++
		return v, nil
	}
	for {
		if p.peek() != '"' {
			return nil, errJSON
		}
		name, err := p.string()
		if err != nil {
			return nil, err
		}
		if p.peek() != ':' {
			return nil, errJSON
		}
		p.at++
		m, err := p.value()
		if err != nil {
			return nil, err
		}
		v.names = append(v.names, string(name))
		v.members = append(v.members, m)
		switch p.peek() {
		case ',':
			p.at++
		case '}':
			p.at++
			return v, nil
		default:
			return nil, errJSON
		}
	}
}

func (p *parser) array() (*value, error) {
	v := &value{kind: array}
	p.at++
	if p.peek() == ']' {
		p.at++
		return v, nil
	}
	for {
		m, err := p.value()
		if err != nil {
			return nil, err
		}
		v.items = append(v.items, m)
		switch p.peek() {
		case ',':
			p.at++
		case ']':
			p.at++
			return v, nil
		default:
			return nil, errJSON
		}
	}
}

// string reads a JSON string and returns its text. A lone surrogate becomes
// three bytes of generalized UTF-8, so that different texts stay different.
func (p *parser) string() ([]byte, error) {
	p.at++
	from := p.at
	var out []byte
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			out = append(out, p.text[from:p.at]...)
			p.at++
			return out, nil
		case c < ' ':
			return nil, errJSON
		case c == '\\':
			out = append(out, p.text[from:p.at]...)
			var err error
			if out, err = p.escape(out); err != nil {
				return nil, err
			}
			from = p.at
		default:
			p.at++
		}
	}
	return nil, errJSON
}

func (p *parser) escape(out []byte) ([]byte, error) {
	if p.at+1 >= len(p.text) {
		return nil, errJSON
	}
	c := p.text[p.at+1]
	p.at += 2
	switch c {
	case '"', '\\', '/':
		return append(out, c), nil
	case 'b':
		return append(out, '\b'), nil
	case 'f':
		return append(out, '\f'), nil
	case 'n':
		return append(out, '\n'), nil
	case 'r':
		return append(out, '\r'), nil
	case 't':
		return append(out, '\t'), nil
	case 'u':
	default:
		return nil, errJSON
	}
	r, ok := hex4(p.text[p.at:])
	if !ok {
		return nil, errJSON
	}
	p.at += 4
	if utf16.IsSurrogate(r) {
		if rest := p.text[p.at:]; len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
			if low, ok := hex4(rest[2:]); ok {
				if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
					p.at += 6
					return utf8.AppendRune(out, pair), nil
				}
			}
		}
		return append(out, 0xE0|byte(r>>12), 0x80|byte(r>>6&63), 0x80|byte(r&63)), nil
	}
	return utf8.AppendRune(out, r), nil
}

func hex4(text []byte) (rune, bool) {
	if len(text) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range text[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
