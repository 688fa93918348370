package attachment

import (
	"crypto/sha1" // #nosec: Attachment.hash is one
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"mime"
	"strings"
)

// matches reports whether a content type is one of the patterns: text/plain,
// text/*, */*. Parameters and case do not matter. No patterns match everything.
func matches(patterns []string, contentType string) bool {
	if len(patterns) == 0 {
		return true
	}
	typ := bare(contentType)
	for _, p := range patterns {
		p = strings.ToLower(p)
		family, any := strings.CutSuffix(p, "/*")
		switch {
		case p == "*/*", p == typ, any && strings.HasPrefix(typ, family+"/"):
			return true
		}
	}
	return false
}

// bare is a content type without parameters, in lower case.
func bare(contentType string) string {
	typ, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		typ, _, _ = strings.Cut(contentType, ";")
	}
	return strings.ToLower(strings.TrimSpace(typ))
}

// isFHIR reports whether a media type is one that a FHIR server sends a resource in.
func isFHIR(typ string) bool {
	switch bare(typ) {
	case "application/fhir+json", "application/json+fhir", "application/json":
		return true
	}
	return false
}

// isFHIRXML reports whether a media type is that of FHIR in XML, which is not
// unwrapped.
func isFHIRXML(typ string) bool {
	typ = bare(typ)
	return typ == "application/fhir+xml" || typ == "application/xml+fhir"
}

// isPage reports whether a media type is that of web pages.
func isPage(typ string) bool {
	typ = bare(typ)
	return typ == "text/html" || typ == "application/xhtml+xml"
}

// sums are the hashes of a content.
type sums struct{ sha256, sha1 hash.Hash }

func newSums() sums { return sums{sha256.New(), sha1.New()} } // #nosec

func (s sums) Write(p []byte) (int, error) {
	_, _ = s.sha256.Write(p) // never fails
	return s.sha1.Write(p)
}

// agree reports whether the content has the hash that the resource declares:
// base64 of a SHA-1 by the specification; servers also write hex, and SHA-256.
// What is neither cannot be checked and agrees.
func (s sums) agree(declared string) bool {
	declared = strings.TrimSpace(declared)
	raw, err := base64.StdEncoding.DecodeString(declared)
	if err != nil {
		raw, _ = base64.RawStdEncoding.DecodeString(declared)
	}
	for _, h := range []hash.Hash{s.sha1, s.sha256} {
		sum := h.Sum(nil)
		digits := hex.EncodeToString(sum)
		switch {
		case len(raw) == len(sum):
			return string(raw) == string(sum)
		case len(declared) == len(digits) && isHex(declared):
			return strings.EqualFold(declared, digits)
		case len(raw) == len(digits) && isHex(string(raw)):
			return strings.EqualFold(string(raw), digits)
		}
	}
	return true
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}
