package rebuild

import (
	"crypto/sha256"
	"math/bits"
)

// Digest stands for a set of resources in which each may occur several times,
// whatever their order: rows of a file need not stand in the order of the lines
// they come from. Two sets are the same when their digests are equal. The zero
// value is that of the empty set. A Digest belongs to one goroutine; those of
// several are put together with Merge.
type Digest struct {
	Count int64
	sum   [4]uint64 // of the SHA-256 of the canonical forms, as a 256-bit number
	buf   []byte
}

// Add adds a resource.
func (d *Digest) Add(json []byte) error {
	var err error
	if d.buf, err = Canonical(d.buf[:0], json); err != nil {
		return err
	}
	d.AddIdentity(Identity{Content: sha256.Sum256(d.buf)})
	return nil
}

// Merge adds the resources of another set.
func (d *Digest) Merge(o Digest) {
	d.Count += o.Count
	var carry uint64
	for i := range d.sum {
		d.sum[i], carry = bits.Add64(d.sum[i], o.sum[i], carry)
	}
}

// Equal reports whether the sets are the same.
func (d *Digest) Equal(o *Digest) bool { return d.Count == o.Count && d.sum == o.sum }
