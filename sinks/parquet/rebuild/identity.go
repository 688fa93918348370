package rebuild

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Identity tells resources apart without their content: which resource it is,
// and what it holds.
type Identity struct {
	ID      [sha256.Size]byte // SHA-256 of the id; of the whole resource when it has none
	Content [sha256.Size]byte // SHA-256 of the canonical form
}

// Identifier makes Identities. It belongs to one goroutine.
type Identifier struct{ buf []byte }

// Identify returns the identity of a resource. Its errors hold no content.
func (i *Identifier) Identify(json []byte) (Identity, error) {
	v, err := parse(json)
	if err == nil {
		err = v.normalize()
	}
	if err != nil {
		return Identity{}, fmt.Errorf("canonical form: %w", err)
	}
	v.sort()
	i.buf = v.append(i.buf[:0])
	out := Identity{Content: sha256.Sum256(i.buf)}
	out.ID = out.Content
	if id := v.find("id"); id != nil && id.kind == scalar {
		out.ID = sha256.Sum256(id.text)
	}
	return out, nil
}

// AddIdentity adds a resource of which only the identity is at hand.
func (d *Digest) AddIdentity(i Identity) {
	o := Digest{Count: 1}
	for n := range o.sum {
		o.sum[n] = binary.LittleEndian.Uint64(i.Content[8*n:])
	}
	d.Merge(o)
}
