package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
)

// encodeDocs writes the descriptions of all elements, in the order in which the
// table has them; package definition documents and reads the format.
func encodeDocs(structs structures) ([]byte, error) {
	var texts, indexes []byte
	index := map[string]int{}
	for _, s := range structs.all {
		for _, f := range s.fields {
			i, ok := index[f.doc]
			if !ok {
				i = len(index)
				index[f.doc] = i
				texts = binary.AppendUvarint(texts, uint64(len(f.doc)))
				texts = append(texts, f.doc...)
			}
			indexes = binary.AppendUvarint(indexes, uint64(i))
		}
	}
	return deflate(binary.AppendUvarint(nil, uint64(len(index))), texts, indexes)
}

// deflate compresses the parts one after the other.
func deflate(parts ...[]byte) ([]byte, error) {
	var out bytes.Buffer
	z, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		if _, err := z.Write(part); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
