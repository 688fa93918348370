package spool

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// The files of a part. A landed part is one file, NAME.part. Until then there
// is NAME.partial, and beside it NAME.origin when a server can send the rest
// of it.
const (
	partSuffix    = ".part"
	partialSuffix = ".partial"
	originSuffix  = ".origin"
)

// fileName makes an opaque key a file name: what is readable of it and its
// hash. A hostile key cannot leave the folder, and two keys never meet (F32).
func fileName(key string) string {
	readable := make([]byte, 0, 40)
	for i := 0; i < len(key) && len(readable) < cap(readable); i++ {
		switch c := key[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
			readable = append(readable, c)
		case len(readable) > 0 && readable[len(readable)-1] != '-':
			readable = append(readable, '-')
		}
	}
	sum := sha256.Sum256([]byte(key))
	return string(readable) + "." + hex.EncodeToString(sum[:12])
}

// readable is a key as JSON can hold it.
func readable(key string) string { return strings.ToValidUTF8(key, "\ufffd") }
