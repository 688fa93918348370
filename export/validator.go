package export

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// validator is what has to be the same for two answers to be parts of one body.
// As text it is "coding/encoding/length;" and the header's value, with the length
// left out where it is not known: `gzip/gzip/812;"v1"`.
type validator struct {
	coding   string // Content-Encoding as declared: "" or "gzip"
	encoding string // what the first bytes show: "" or "gzip"
	length   int64  // of the whole body; -1 when it is not known
	strong   string // for If-Range: a strong ETag or a Last-Modified; "" when there is none
}

// validatorOf reads the validator of a whole body: a strong ETag, or a
// Last-Modified that is old enough to be one. There is none where the server takes
// no ranges, and where it compresses as it sends: such bytes need not come the same
// way twice.
//
// Source: RFC 9110, 8.8.2.2 and 13.1.5
func validatorOf(h http.Header, encoding string, length int64) validator {
	v := validator{coding: headerCoding(h), encoding: encoding, length: length}
	if strings.EqualFold(h.Get("Accept-Ranges"), "none") || v.coding != "" && length < 0 {
		return validator{}
	}
	switch etag := h.Get("Etag"); {
	case len(etag) >= 2 && strings.HasPrefix(etag, `"`) && strings.HasSuffix(etag, `"`):
		v.strong = etag
		return v
	case etag != "": // a weak one: then the date is no better
		return validator{}
	}
	modified, err1 := http.ParseTime(h.Get("Last-Modified"))
	sent, err2 := http.ParseTime(h.Get("Date"))
	if err1 != nil || err2 != nil || sent.Sub(modified) < time.Second {
		return validator{}
	}
	v.strong = h.Get("Last-Modified")
	return v
}

// parseValidator reads a Validator; a bare header value is one of an uncompressed
// body of unknown length.
func parseValidator(s string) validator {
	v := validator{length: -1, strong: s}
	if strings.HasPrefix(s, `"`) {
		return v
	}
	prefix, strong, marked := strings.Cut(s, ";")
	part := strings.Split(prefix, "/")
	if !marked || len(part) != 3 {
		return v
	}
	if n, err := strconv.ParseInt(part[2], 10, 64); err == nil && n >= 0 {
		v.length = n
	}
	v.coding, v.encoding, v.strong = part[0], part[1], strong
	return v
}

func (v validator) String() string {
	if v.strong == "" || v.coding == "" && v.encoding == "" && v.length < 0 {
		return v.strong
	}
	length := ""
	if v.length >= 0 {
		length = strconv.FormatInt(v.length, 10)
	}
	return v.coding + "/" + v.encoding + "/" + length + ";" + v.strong
}

// changed reports whether an answer is of another version of the file.
func (v validator) changed(h http.Header) bool {
	now := h.Get("Last-Modified")
	if strings.HasPrefix(v.strong, `"`) {
		now = h.Get("Etag")
	}
	return now != "" && now != v.strong
}

// headerCoding is the coding that a header declares.
func headerCoding(h http.Header) string {
	switch e := strings.ToLower(strings.TrimSpace(h.Get("Content-Encoding"))); e {
	case "", "identity":
		return ""
	case "gzip", "x-gzip":
		return "gzip"
	default:
		return e
	}
}
