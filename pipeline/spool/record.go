package spool

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"strings"
	"time"
)

// recordLen is the length of the index record of a line that is not blank.
const recordLen = 32

// lineKind says what a line is.
type lineKind uint8

const (
	resourceLine   lineKind = iota // to be published, if Select chooses it
	outcomeLine                    // OperationOutcome (F41)
	headerLine                     // Parameters that head a block (P30)
	quarantineLine                 // not to be trusted (F40)
)

// record is what the index knows of a line.
type record struct {
	line  int64 // number from 0, blank lines counted
	kind  lineKind
	typ   int // ordinal of the type, or of the reason of a quarantined line
	flags uint8

	// Of a resource.
	id      [16]byte // hash of its type and id; zero without one
	updated int64    // meta.lastUpdated in µs since 1970; noTime when it is missing or no instant

	// Of any other line.
	offset int64 // of its first byte in the decoded body
	column int64 // where in it the fault is, for a quarantined one
}

const (
	flagSubsetted = 1 << iota
	flagNoID
	flagLong // over the limit: the line was not read
)

const (
	noTime    = math.MinInt64
	maxLineNo = 1 << 40
)

func (r *record) append(dst []byte) []byte {
	var b [recordLen]byte
	if r.kind == resourceLine {
		copy(b[:], r.id[:])
		binary.LittleEndian.PutUint64(b[16:], uint64(r.updated))
	} else {
		binary.LittleEndian.PutUint64(b[0:], uint64(r.offset))
		binary.LittleEndian.PutUint64(b[8:], uint64(r.column))
	}
	binary.LittleEndian.PutUint64(b[24:], uint64(r.line)<<24|uint64(r.typ&0xffff)<<8|uint64(r.kind)<<4|uint64(r.flags))
	return append(dst, b[:]...)
}

func (r *record) parse(b []byte) {
	_ = b[recordLen-1]
	word := binary.LittleEndian.Uint64(b[24:])
	*r = record{line: int64(word >> 24), typ: int(word >> 8 & 0xffff), kind: lineKind(word >> 4 & 0xf), flags: uint8(word & 0xf)}
	if r.kind == resourceLine {
		copy(r.id[:], b)
		r.updated = int64(binary.LittleEndian.Uint64(b[16:]))
		return
	}
	r.offset = int64(binary.LittleEndian.Uint64(b[0:]))
	r.column = int64(binary.LittleEndian.Uint64(b[8:]))
}

// hashID is the index's name for a resource: what two lines must share to be
// versions of one another. decoded is the id as Line.ID has it: its escapes are
// resolved already.
func hashID(scratch []byte, typ string, decoded []byte) (id [16]byte, _ []byte) {
	scratch = append(append(scratch[:0], typ...), '/')
	scratch = append(scratch, decoded...)
	sum := sha256.Sum256(scratch)
	copy(id[:], sum[:])
	return id, scratch
}

// parseUpdated reads meta.lastUpdated; noTime when it is no instant.
func parseUpdated(raw []byte) int64 {
	if len(raw) == 0 {
		return noTime
	}
	text := string(raw)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		// A leap second is the last microsecond of its minute.
		if len(text) < 19 || text[16:19] != ":60" {
			return noTime
		}
		rest := text[19:]
		if strings.HasPrefix(rest, ".") {
			rest = strings.TrimLeft(rest[1:], "0123456789")
		}
		if t, err = time.Parse(time.RFC3339Nano, text[:16]+":59.999999"+rest); err != nil {
			return noTime
		}
	}
	return t.UnixMicro()
}
