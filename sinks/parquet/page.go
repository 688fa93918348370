package parquet

import "encoding/binary"

// This file writes page headers in Thrift's compact protocol. The format has
// few fields, and writing them here keeps the compressed bytes of a page in our
// hands: a column that is derived from another shares them.
//
// Source: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift

// Encodings of the format that this package writes.
const (
	encodingPlain = 0
	encodingRLE   = 3 // levels
	encodingDict  = 8 // RLE_DICTIONARY
)

// Page types of the format.
const (
	pageData       = 0
	pageDictionary = 2
)

// Wire types of Thrift's compact protocol.
const (
	thriftFalse  = 2
	thriftI32    = 5
	thriftStruct = 12
)

// pageHeader is what a page says of itself.
type pageHeader struct {
	kind         int32 // pageData or pageDictionary
	uncompressed int   // bytes of the page without its header
	compressed   int
	crc          uint32 // of the compressed bytes
	values       int    // with nulls, for a data page
	encoding     int32
}

// append writes the header.
func (p pageHeader) append(dst []byte) []byte {
	dst = appendThriftI32(dst, 1, p.kind)
	dst = appendThriftI32(dst, 1, int32(p.uncompressed))
	dst = appendThriftI32(dst, 1, int32(p.compressed))
	dst = appendThriftI32(dst, 1, int32(p.crc))
	if p.kind == pageDictionary {
		dst = append(dst, 3<<4|thriftStruct) // field 7
		dst = appendThriftI32(dst, 1, int32(p.values))
		dst = appendThriftI32(dst, 1, p.encoding)
		dst = append(dst, 1<<4|thriftFalse) // not sorted
		return append(dst, 0, 0)
	}
	dst = append(dst, 1<<4|thriftStruct) // field 5
	dst = appendThriftI32(dst, 1, int32(p.values))
	dst = appendThriftI32(dst, 1, p.encoding)
	dst = appendThriftI32(dst, 1, encodingRLE)
	dst = appendThriftI32(dst, 1, encodingRLE)
	return append(dst, 0, 0)
}

// appendThriftI32 writes an i32 field that is delta field numbers after the
// field before.
func appendThriftI32(dst []byte, delta byte, v int32) []byte {
	dst = append(dst, delta<<4|thriftI32)
	return binary.AppendUvarint(dst, uint64(uint32(v<<1)^uint32(v>>31)))
}
