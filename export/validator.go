package export

import (
	"net/http"
	"strings"
	"time"
)

// validator is what has to be the same for two answers to be parts of one body.
// As text it is the header's value, after "coding/encoding;" where one of the two
// is not empty: `gzip/gzip;"v1"`.
type validator struct {
	coding   string // Content-Encoding as declared: "" or "gzip"
	encoding string // what the first bytes show: "" or "gzip"
	strong   string // for If-Range: a strong ETag or a Last-Modified; "" when there is none
}

// validatorOf reads the validator of a whole body: a strong ETag, or a
// Last-Modified that is old enough to be one. There is none where the server takes
// no ranges.
//
// Source: RFC 9110, 8.8.2.2 and 13.1.5
func validatorOf(h http.Header, encoding string) validator {
	v := validator{coding: headerCoding(h), encoding: encoding}
	if strings.EqualFold(h.Get("Accept-Ranges"), "none") {
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

func parseValidator(s string) validator {
	if strings.HasPrefix(s, `"`) {
		return validator{strong: s}
	}
	codings, strong, marked := strings.Cut(s, ";")
	coding, encoding, slash := strings.Cut(codings, "/")
	if !marked || !slash {
		return validator{strong: s}
	}
	return validator{coding: coding, encoding: encoding, strong: strong}
}

func (v validator) String() string {
	if v.strong == "" || v.coding == "" && v.encoding == "" {
		return v.strong
	}
	return v.coding + "/" + v.encoding + ";" + v.strong
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
