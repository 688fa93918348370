package cli

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestI8UnpackedGivesUp: at its end, and where it cannot be read, a stream lets go
// of its file and of what unpacking takes: a folder may have thousands.
func TestI8UnpackedGivesUp(t *testing.T) {
	packed, err := base64.StdEncoding.DecodeString("QlpoOTFBWSZTWSClfLMAAAzbgAAQEAAAEEQAKiHeKiAAIoPUyAY1CmTEyDIw4BdJBWbnbKjk6EQSU+LuSKcKEgQUr5Zg")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content string
		class   string
	}{
		"plain":   {content: "{}\n"},
		"empty":   {content: ""},
		"bzip2":   {content: string(packed)},
		"cut":     {content: string(packed[:30]), class: "quality"},
		"junk":    {content: string(packed) + "junk", class: "quality"},
		"refused": {content: "PK\x03\x04", class: "usage"},
	} {
		t.Run(name, func(t *testing.T) {
			closed := 0
			u := &unpacked{name: "f", under: strings.NewReader(c.content), close: func() { closed++ }}
			var out bytes.Buffer
			_, err := io.Copy(&out, u)
			var class interface{ Class() string }
			switch {
			case c.class == "" && err != nil:
				t.Errorf("read: %v", err)
			case c.class != "" && (!errors.As(err, &class) || class.Class() != c.class):
				t.Errorf("read: %v, want class %s", err, c.class)
			}
			if closed != 1 || u.top != nil || u.under != nil {
				t.Errorf("closed %d times, holds %v and %v", closed, u.top, u.under)
			}
			if n, again := u.Read(make([]byte, 10)); n != 0 || again == nil {
				t.Errorf("read again: %d bytes, %v", n, again)
			}
		})
	}
}
