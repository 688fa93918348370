package fhirjson

import "strconv"

// stray validates the value at i of a member of n that no column can reproduce,
// and hands it on as unmapped.
func (w *Walker) stray(n *Node, name []byte, i int) int {
	end := w.skip(i, nesting(n))
	if end >= 0 && w.h != nil {
		w.path = w.appendPointer(w.path[:0], n)
		w.path = appendToken(w.path, name)
		w.h.Unmapped(w.path, w.line[i:end])
	}
	return end
}

// strayValue is stray for the whole value of the node c.
func (w *Walker) strayValue(c *Node, i int) int {
	end := w.skip(i, nesting(c.Parent))
	if end >= 0 && w.h != nil {
		w.path = w.appendPointer(w.path[:0], c.Parent)
		w.path = appendToken(w.path, c.Name())
		w.h.Unmapped(w.path, w.line[i:end])
	}
	return end
}

// strayItem is stray for the item at hand of the list c. A null stays one where
// lists may hold it.
func (w *Walker) strayItem(c *Node, i int) int {
	if c.nulls && w.line[i] == 'n' {
		end := w.literal(i, "null")
		if end >= 0 && w.h != nil {
			w.h.Null(c)
		}
		return end
	}
	end := w.skip(i, nesting(c.Parent)+1)
	if end >= 0 && w.h != nil {
		w.h.Null(c)
		w.path = w.appendPointer(w.path[:0], c)
		w.h.Unmapped(w.path, w.line[i:end])
	}
	return end
}

// appendPointer appends the JSON Pointer (RFC 6901) of the value of n at hand,
// in a list that of the item.
func (w *Walker) appendPointer(dst []byte, n *Node) []byte {
	if n.Parent == nil {
		return dst
	}
	dst = w.appendPointer(dst, n.Parent)
	dst = appendToken(dst, n.Name())
	if n.IsList() {
		dst = append(dst, '/')
		dst = strconv.AppendInt(dst, int64(w.item[n.Depth]), 10)
	}
	return dst
}

func appendToken[Name string | []byte](dst []byte, name Name) []byte {
	dst = append(dst, '/')
	for i := range len(name) {
		switch c := name[i]; c {
		case '~':
			dst = append(dst, "~0"...)
		case '/':
			dst = append(dst, "~1"...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
