package search

import (
	"bytes"
	"errors"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/flue-fhir/flue/export/internal/fhirhttp"
)

// bundle is a page without its entries.
type bundle struct {
	resourceType string
	total        int64 // -1 when the page does not say
	self, next   string
	links        error            // a next link that leads nowhere
	issues       []fhirhttp.Issue // when the page is an OperationOutcome
	empty        int64            // entries without a resource
}

// entry is one entry of a page. Resource is compact JSON, in the server's own
// bytes, and valid until the next entry.
type entry struct {
	mode     string // match, include, outcome; "" when the server does not say
	resource []byte
}

// errTwice is a member that occurs twice where one of the two would be lost.
var errTwice = errors.New("a member occurs twice")

// Next links that do not say where the rest is: to end there would lose it.
var (
	errNoURL = errors.New("a next link has no URL")
	errNexts = errors.New("it has two next links")
)

// readBundle reads a page as it streams by and hands on each entry as it ends: a
// page is never held as a whole. Duplicate members and invalid UTF-8 within a
// resource are not judged here: the line goes on as it is, to be found and kept by
// whoever checks lines (F40).
//
// Source: https://hl7.org/fhir/R4/bundle.html#searchset
func readBundle(r io.Reader, each func(entry) error) (bundle, error) {
	b := bundle{total: -1}
	d := jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	var issues jsontext.Value
	var scratch entryScratch
	err := object(d, func(name string) error {
		switch name {
		case "resourceType":
			return readString(d, &b.resourceType)
		case "total":
			v, err := d.ReadValue()
			if n, perr := strconv.ParseInt(string(v), 10, 64); err == nil && perr == nil {
				b.total = n
			}
			return err
		case "link":
			return readLinks(d, &b)
		case "issue":
			v, err := d.ReadValue()
			issues = v.Clone()
			return err
		case "entry":
			return array(d, func() error { return scratch.read(d, &b, each) })
		}
		return d.SkipValue()
	})
	if err != nil {
		return b, err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		if err == nil {
			err = errors.New("something follows the Bundle")
		}
		return b, err
	}
	if b.resourceType == "OperationOutcome" {
		b.issues, _ = fhirhttp.ParseOutcome([]byte(`{"resourceType":"OperationOutcome","issue":` + string(issues) + `}`))
	}
	return b, nil
}

// object reads an object; member is called at each value.
func object(d *jsontext.Decoder, member func(name string) error) error {
	t, err := d.ReadToken()
	if err != nil {
		return unexpected(err)
	}
	if t.Kind() != '{' {
		return errors.New("an object was expected")
	}
	for d.PeekKind() == '"' {
		v, err := d.ReadValue()
		if err != nil {
			return unexpected(err)
		}
		if err := member(interned(v)); err != nil {
			return unexpected(err)
		}
	}
	_, err = d.ReadToken()
	return unexpected(err)
}

// interned is the text of a member's name, without allocating the names that
// occur in every entry.
func interned(v jsontext.Value) string {
	switch string(v) {
	case `"fullUrl"`:
		return "fullUrl"
	case `"resource"`:
		return "resource"
	case `"search"`:
		return "search"
	case `"mode"`:
		return "mode"
	}
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return ""
	}
	return string(b)
}

// array reads an array; item is called at each. null is an empty one.
func array(d *jsontext.Decoder, item func() error) error {
	t, err := d.ReadToken()
	switch {
	case err != nil:
		return err
	case t.Kind() == 'n':
		return nil
	case t.Kind() != '[':
		return errors.New("an array was expected")
	}
	for {
		switch d.PeekKind() {
		case ']':
			_, err := d.ReadToken()
			return err
		case 0:
			_, err := d.ReadToken()
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if err := item(); err != nil {
			return err
		}
	}
}

// unexpected makes an end in the midst of a value what it is.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func readString(d *jsontext.Decoder, s *string) error {
	if d.PeekKind() != '"' {
		return d.SkipValue()
	}
	t, err := d.ReadToken()
	if err == nil {
		*s = t.String()
	}
	return err
}

func readLinks(d *jsontext.Decoder, b *bundle) error {
	return array(d, func() error {
		var relation, u string
		err := object(d, func(name string) error {
			switch name {
			case "relation":
				return readString(d, &relation)
			case "url":
				return readString(d, &u)
			}
			return d.SkipValue()
		})
		switch relation {
		case "self":
			b.self = u
		case "next":
			switch {
			case u == "":
				b.links = errNoURL
			case b.next != "" && b.next != u:
				b.links = errNexts
			}
			b.next = u
		}
		return err
	})
}

// entryScratch holds one entry's resource until the entry ends: search.mode may
// follow it.
type entryScratch struct{ buf []byte }

func (s *entryScratch) read(d *jsontext.Decoder, b *bundle, each func(entry) error) error {
	var e entry
	found := false
	err := object(d, func(name string) error {
		switch name {
		case "resource":
			v, err := d.ReadValue()
			if err != nil {
				return err
			}
			if found {
				return errTwice
			}
			if v.Kind() == '{' {
				found = true
				s.buf = appendCompact(s.buf[:0], v)
				e.resource = s.buf
			}
			return nil
		case "search":
			if d.PeekKind() != '{' {
				return d.SkipValue()
			}
			return object(d, func(name string) error {
				if name != "mode" {
					return d.SkipValue()
				}
				v, err := d.ReadValue()
				switch string(v) {
				case `"match"`:
					e.mode = "match"
				case `"include"`:
					e.mode = "include"
				case `"outcome"`:
					e.mode = "outcome"
				}
				return err
			})
		}
		return d.SkipValue()
	})
	if err != nil {
		return err
	}
	if !found {
		b.empty++
		return nil
	}
	return each(e)
}

// appendCompact appends a JSON value that is known to be valid. One that is on a
// line by itself stays as it is; of another the white space between tokens is left
// out. Strings and numbers keep their bytes.
func appendCompact(dst, v []byte) []byte {
	if bytes.IndexByte(v, '\n') < 0 && bytes.IndexByte(v, '\r') < 0 {
		return append(dst, v...)
	}
	for i := 0; i < len(v); {
		switch v[i] {
		case ' ', '\t', '\n', '\r':
			i++
		case '"':
			end := i + 1
			for v[end] != '"' {
				if v[end] == '\\' {
					end++
				}
				end++
			}
			dst = append(dst, v[i:end+1]...)
			i = end + 1
		default:
			end := i + 1
			for end < len(v) && v[end] != '"' && v[end] > ' ' {
				end++
			}
			dst = append(dst, v[i:end]...)
			i = end
		}
	}
	return dst
}

// members finds string members of a resource, "" for those that it has not.
func members(resource []byte, names ...string) []string {
	out := make([]string, len(names))
	d := jsontext.NewDecoder(bytes.NewReader(resource), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	_ = object(d, func(name string) error {
		for i, n := range names {
			if n == name {
				return readString(d, &out[i])
			}
		}
		return d.SkipValue()
	})
	return out
}
