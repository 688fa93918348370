package ledger

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"time"
)

// Run ids are twelve characters of Crockford's base 32 in lower case: nine of
// milliseconds since 1970, three at random. They sort by time, are safe as file
// names and are short enough to be typed.
const (
	alphabet  = "0123456789abcdefghjkmnpqrstvwxyz"
	idLen     = 12
	randomLen = 3
)

// NewID returns a fresh run id for a run that starts now.
func NewID(now time.Time) string {
	var b [8]byte
	// crypto/rand.Read never fails.
	rand.Read(b[:])
	const randomBits = 5 * randomLen
	v := uint64(now.UnixMilli())<<randomBits | binary.LittleEndian.Uint64(b[:])&(1<<randomBits-1)
	var id [idLen]byte
	for i := idLen - 1; i >= 0; i-- {
		id[i] = alphabet[v&31]
		v >>= 5
	}
	return string(id[:])
}

// IDTime is when the run with the id started, to the millisecond; ok is false
// for what is no run id.
func IDTime(id string) (t time.Time, ok bool) {
	if len(id) != idLen {
		return time.Time{}, false
	}
	var v int64
	for i := range len(id) {
		d := strings.IndexByte(alphabet, id[i])
		if d < 0 {
			return time.Time{}, false
		}
		if i < idLen-randomLen {
			v = v<<5 | int64(d)
		}
	}
	return time.UnixMilli(v).UTC(), true
}
