package store

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math/bits"
	"os"
)

// Rows is a set of row numbers of one type. A nil *Rows is all of them.
type Rows struct{ words []uint64 }

// Add puts a row into the set.
func (s *Rows) Add(n uint32) {
	for int(n>>6) >= len(s.words) {
		s.words = append(s.words, make([]uint64, len(s.words)+64)...)
	}
	s.words[n>>6] |= 1 << (n & 63)
}

// Has reports whether the row is in the set.
func (s *Rows) Has(n uint32) bool {
	return s == nil || int(n>>6) < len(s.words) && s.words[n>>6]>>(n&63)&1 == 1
}

// next returns the first row of the set from n on; ok is false when there is
// none.
func (s *Rows) next(n uint32) (row uint32, ok bool) {
	if s == nil {
		return n, true
	}
	for i := int(n >> 6); i < len(s.words); i++ {
		word := s.words[i]
		if i == int(n>>6) {
			word &= ^uint64(0) << (n & 63)
		}
		if word != 0 {
			return uint32(i<<6 + bits.TrailingZeros64(word)), true
		}
	}
	return 0, false
}

// readRows reads a set that write wrote; no file is all rows.
func readRows(path string) (*Rows, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := &Rows{words: make([]uint64, len(data)/8)}
	for i := range out.words {
		out.words[i] = binary.LittleEndian.Uint64(data[8*i:])
	}
	return out, nil
}

func (s *Rows) write(path string) error {
	data := make([]byte, 0, 8*len(s.words))
	for _, w := range s.words {
		data = binary.LittleEndian.AppendUint64(data, w)
	}
	return os.WriteFile(path, data, 0o600)
}
