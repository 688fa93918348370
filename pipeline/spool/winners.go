package spool

import (
	"encoding/binary"
	"math/bits"
)

// version is one line as a version of a resource.
type version struct {
	id      [16]byte
	updated int64
	place   uint64 // where the line is, see place; its top bit says SUBSETTED
}

const (
	versionLen  = 32
	placeLine   = 40      // bits for the number of the line, below those of the part
	maxParts    = 1 << 23 // the bits between
	placeSubset = 1 << 63
)

func place(part int, line int64) uint64 { return uint64(part)<<placeLine | uint64(line) }

// beats reports whether v is published rather than w, which came before: a full
// resource beats a SUBSETTED one (F48), then the newer version wins, and among
// equals the later delivered (F53).
func (v *version) beats(w *version) bool {
	if vs, ws := v.place&placeSubset, w.place&placeSubset; vs != ws {
		return vs == 0
	}
	return v.updated >= w.updated
}

// undated reports whether nothing tells how new the version is.
func (v *version) undated() bool { return v.updated == noTime && v.place&placeSubset == 0 }

// apart gives an undated version a name of its own, so that it meets only other
// undated versions of the resource.
func (v *version) apart() {
	for i := range v.id {
		v.id[i] = ^v.id[i]
	}
}

// winners is a hash table from resources to their best version so far.
type winners struct {
	slots  []version
	used   []uint64 // a bit for each slot
	filled int
}

func newWinners(resources int64) *winners {
	n := tableSlots(resources)
	return &winners{slots: make([]version, n), used: make([]uint64, (n+63)/64)}
}

// tableSlots is how many slots hold so many resources well.
func tableSlots(resources int64) int64 { return resources*4/3 + 8 }

// tableBytes is what a table for so many resources takes.
func tableBytes(resources int64) int64 {
	n := tableSlots(resources)
	return n*versionLen + n/8 + 8
}

// add gives the table another version, and returns the place of the one that
// lost, if any.
func (t *winners) add(v *version) (loser uint64, lost bool) {
	slot, found := t.find(&v.id)
	if !found {
		t.used[slot/64] |= 1 << (slot % 64)
		t.slots[slot] = *v
		if t.filled++; t.filled > len(t.slots)/8*7 {
			t.grow()
		}
		return 0, false
	}
	w := &t.slots[slot]
	if !v.beats(w) {
		return v.place &^ placeSubset, true
	}
	loser = w.place &^ placeSubset
	*w = *v
	return loser, true
}

// find returns the slot of a resource, or the free one where it belongs. Ids
// are hashes: their first half chooses the slot, the second the bucket.
func (t *winners) find(id *[16]byte) (slot uint64, found bool) {
	slot, _ = bits.Mul64(binary.BigEndian.Uint64(id[:8]), uint64(len(t.slots)))
	for t.used[slot/64]&(1<<(slot%64)) != 0 {
		if t.slots[slot].id == *id {
			return slot, true
		}
		if slot++; slot == uint64(len(t.slots)) {
			slot = 0
		}
	}
	return slot, false
}

func (t *winners) grow() {
	old := *t
	*t = winners{slots: make([]version, len(old.slots)*3/2+8), filled: old.filled}
	t.used = make([]uint64, (len(t.slots)+63)/64)
	for i := range old.slots {
		if old.used[i/64]&(1<<(i%64)) != 0 {
			slot, _ := t.find(&old.slots[i].id)
			t.used[slot/64] |= 1 << (slot % 64)
			t.slots[slot] = old.slots[i]
		}
	}
}
