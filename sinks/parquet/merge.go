package parquet

import (
	"bufio"
	"container/heap"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// Bounds of the buffer of one run.
const (
	leastRunBuffer = 4 << 10
	mostRunBuffer  = 256 << 10
)

// merge yields the lines of all runs in order, among equals those of the earlier
// run first. Of a run only its next key is in memory, and a buffer: together
// about memory bytes. A line is valid until the next one.
func merge(file io.ReaderAt, runs []extent, memory int64, yield func(p place, line []byte) error) error {
	if len(runs) == 0 {
		return nil
	}
	buffer := int(min(max(memory/int64(len(runs)), leastRunBuffer), mostRunBuffer))
	var heads runHeap
	for i, x := range runs {
		h := &runHead{number: i, left: bufio.NewReaderSize(io.NewSectionReader(file, x.from, x.to-x.from), buffer)}
		more, err := h.next()
		if err != nil {
			return err
		}
		if more {
			heads = append(heads, h)
		}
	}
	heap.Init(&heads)
	var line []byte
	for len(heads) > 0 {
		h := heads[0]
		line = slices.Grow(line[:0], h.size)[:h.size]
		if _, err := io.ReadFull(h.left, line); err != nil {
			return fmt.Errorf("read scratch file: %w", err)
		}
		if err := yield(h.place, line); err != nil {
			return err
		}
		more, err := h.next()
		switch {
		case err != nil:
			return err
		case more:
			heap.Fix(&heads, 0)
		default:
			heap.Pop(&heads)
		}
	}
	return nil
}

// runHead is the next line of a run: its key, its place and its size.
type runHead struct {
	sortKey
	place
	size   int
	number int
	left   *bufio.Reader // from the line itself on
}

// next reads the head of the next line; the line before must have been read.
func (h *runHead) next() (more bool, err error) {
	var date [8]byte
	if _, err := io.ReadFull(h.left, date[:]); err == io.EOF {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("read scratch file: %w", err)
	}
	h.date = int64(binary.LittleEndian.Uint64(date[:]))
	var numbers [3]uint64 // part, offset, bytes of the patient
	for i := range numbers {
		if numbers[i], err = binary.ReadUvarint(h.left); err != nil {
			return false, fmt.Errorf("read scratch file: %w", err)
		}
	}
	h.place = place{part: int(numbers[0]), at: int64(numbers[1])}
	h.patient = slices.Grow(h.patient[:0], int(numbers[2]))[:numbers[2]]
	if _, err := io.ReadFull(h.left, h.patient); err != nil {
		return false, fmt.Errorf("read scratch file: %w", err)
	}
	size, err := binary.ReadUvarint(h.left)
	if err != nil {
		return false, fmt.Errorf("read scratch file: %w", err)
	}
	h.size = int(size)
	return true, nil
}

// runHeap is a heap.Interface with the least head first.
type runHeap []*runHead

func (h runHeap) Len() int      { return len(h) }
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h runHeap) Less(i, j int) bool {
	if c := h[i].compare(h[j].sortKey); c != 0 {
		return c < 0
	}
	return h[i].number < h[j].number
}

// Push implements heap.Interface.
func (h *runHeap) Push(x any) { *h = append(*h, x.(*runHead)) }

// Pop implements heap.Interface.
func (h *runHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
