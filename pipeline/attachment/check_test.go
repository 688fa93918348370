package attachment

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"testing"
)

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		patterns []string
		typ      string
		want     bool
	}{
		{nil, "", true},
		{nil, "image/png", true},
		{[]string{"text/*", "application/pdf"}, "Text/HTML; charset=utf-8", true},
		{[]string{"text/*", "application/pdf"}, "application/PDF", true},
		{[]string{"text/*"}, "text", false},
		{[]string{"text/*"}, "texture/x", false},
		{[]string{"text/plain"}, "text/plain;;broken", true},
		{[]string{"application/pdf"}, "", false},
		{[]string{"*/*"}, "", true},
		{[]string{"Application/PDF"}, "application/pdf", true},
	} {
		if got := matches(test.patterns, test.typ); got != test.want {
			t.Errorf("matches(%q, %q) = %v", test.patterns, test.typ, got)
		}
	}
}

// P34: Attachment.hash is the base64 of a SHA-1; some servers write it otherwise.
func TestP34Hash(t *testing.T) {
	s := newSums()
	_, _ = s.Write([]byte("content"))
	one, two := sha1.Sum([]byte("content")), sha256.Sum256([]byte("content"))
	other := sha1.Sum([]byte("other"))
	for declared, want := range map[string]bool{
		base64.StdEncoding.EncodeToString(one[:]):                             true,
		base64.RawStdEncoding.EncodeToString(one[:]):                          true,
		hex.EncodeToString(one[:]):                                            true,
		base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(one[:]))): true,
		base64.StdEncoding.EncodeToString(two[:]):                             true,
		hex.EncodeToString(two[:]):                                            true,
		base64.StdEncoding.EncodeToString(other[:]):                           false,
		hex.EncodeToString(other[:]):                                          false,
		"not a hash":                                                          true, // cannot be checked
	} {
		if got := s.agree(declared); got != want {
			t.Errorf("agree(%q) = %v", declared, got)
		}
	}
}
