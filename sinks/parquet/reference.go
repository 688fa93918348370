package parquet

import (
	"bytes"
	"strings"

	"github.com/flue-fhir/flue/internal/definition"
)

// splitReference finds the resource type and the id in a literal reference:
// relative ("Patient/1"), absolute ("https://h/fhir/Patient/1"), either with a
// version ("/_history/2"), or "urn:uuid:X", which has the id X and no type. Of
// everything else, such as "#contained" and conditional references, both are
// nil. The slices point into text.
//
// Source: https://hl7.org/fhir/R4/references.html#literal
func splitReference(text []byte) (typ, id []byte) {
	if rest, ok := bytes.CutPrefix(text, []byte(urnUUID)); ok {
		if isID(rest) {
			return nil, rest
		}
		return nil, nil
	}
	rest := text
	slash := bytes.LastIndexByte(rest, '/')
	if slash < 0 || !isID(rest[slash+1:]) {
		return nil, nil
	}
	if before, ok := bytes.CutSuffix(rest[:slash], []byte("/_history")); ok {
		rest = before
		slash = bytes.LastIndexByte(rest, '/')
		if slash < 0 || !isID(rest[slash+1:]) {
			return nil, nil
		}
	}
	base, id := rest[:slash], rest[slash+1:]
	slash = bytes.LastIndexByte(base, '/')
	typ = base[slash+1:]
	if definition.Type(string(typ)) == nil {
		return nil, nil
	}
	if slash >= 0 && !isAbsolute(base[:slash]) {
		return nil, nil
	}
	return typ, id
}

// urnUUID begins a reference to a resource whose type is not told.
const urnUUID = "urn:uuid:"

// isAbsolute reports whether the base is that of an http or https URL.
func isAbsolute(base []byte) bool {
	scheme, host, ok := strings.Cut(string(base), "://")
	return ok && host != "" && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// isID reports whether the text is made of the characters of an id, or the
// underscore that some servers add to them. Its length
// is not limited: servers have ids over 64 characters.
func isID(text []byte) bool {
	if len(text) == 0 {
		return false
	}
	ok := uint64(1)
	for _, c := range text {
		if c >= 128 {
			return false
		}
		word := uint64(idBelow64)
		if c >= 64 {
			word = idFrom64
		}
		ok &= word >> (c & 63)
	}
	return ok&1 == 1
}

// The characters of an id as sets of bits: '-', '.' and the digits; the letters
// and '_'.
const (
	idBelow64 = 1<<'-' | 1<<'.' | (1<<10-1)<<'0'
	idFrom64  = (1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64) | 1<<('_'-64)
)
