package parquet

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/flue-fhir/flue/sinks"
)

// sorter takes the blocks of a type and gives their lines back by patient and
// date, and among equals in the order of delivery. What passes its limit waits
// in a scratch file, in sorted runs. It belongs to one goroutine.
type sorter struct {
	keys    *keyReader
	limit   int64 // bytes of memory
	scratch func() (sinks.Scratch, error)

	blocks []*block
	lines  []sortedLine
	size   int64 // bytes that blocks and lines take

	file    sinks.Scratch // nil as long as everything fits
	written int64
	runs    []extent
}

// sortedLine is a line of a block in memory.
type sortedLine struct {
	sortKey
	place
	line []byte
}

// sortedLineBytes is about what a sortedLine takes, in a slice that grows by
// doubling.
const sortedLineBytes = 2 * 96

// extent is where a run lies in the scratch file.
type extent struct{ from, to int64 }

var errNoScratch = errors.New("it does not fit the memory, and there is no place for a scratch file")

func (k sortKey) compare(other sortKey) int {
	if c := bytes.Compare(k.patient, other.patient); c != 0 {
		return c
	}
	return cmp.Compare(k.date, other.date)
}

// add keeps the block's lines. The block is the sorter's from then on.
func (s *sorter) add(b *block) error {
	if s.size > 0 && s.size+int64(cap(b.data)) > s.limit {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.blocks = append(s.blocks, b)
	s.size += int64(cap(b.data))
	return b.each(func(p place, line []byte) error {
		key, err := s.keys.read(line)
		if err != nil {
			return &LineError{Part: p.part, Offset: p.at, Err: err}
		}
		s.lines = append(s.lines, sortedLine{sortKey: key, place: p, line: line})
		s.size += sortedLineBytes
		return nil
	})
}

func (s *sorter) sort() {
	slices.SortStableFunc(s.lines, func(a, b sortedLine) int { return a.compare(b.sortKey) })
}

// spill writes what is in memory as a run, and forgets it.
func (s *sorter) spill() error {
	if s.file == nil {
		if s.scratch == nil {
			return errNoScratch
		}
		var err error
		if s.file, err = s.scratch(); err != nil {
			return err
		}
	}
	s.sort()
	run := extent{from: s.written}
	w := bufio.NewWriterSize(s.file, 1<<20)
	var head []byte
	for _, l := range s.lines {
		head = binary.LittleEndian.AppendUint64(head[:0], uint64(l.date))
		head = binary.AppendUvarint(head, uint64(l.part))
		head = binary.AppendUvarint(head, uint64(l.at))
		head = binary.AppendUvarint(head, uint64(len(l.patient)))
		head = append(head, l.patient...)
		head = binary.AppendUvarint(head, uint64(len(l.line)))
		for _, b := range [][]byte{head, l.line} {
			if _, err := w.Write(b); err != nil {
				return fmt.Errorf("write scratch file: %w", err)
			}
			s.written += int64(len(b))
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write scratch file: %w", err)
	}
	run.to = s.written
	s.runs = append(s.runs, run)
	s.forget()
	return nil
}

// forget empties the memory. Blocks are not used again: the next ones are read
// while these are still alive.
func (s *sorter) forget() {
	clear(s.blocks)
	clear(s.lines)
	s.blocks, s.lines, s.size = s.blocks[:0], s.lines[:0], 0
}

// each yields all lines in order. A line is valid until the next one.
func (s *sorter) each(yield func(p place, line []byte) error) error {
	if s.file == nil {
		s.sort()
		for _, l := range s.lines {
			if err := yield(l.place, l.line); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.spill(); err != nil {
		return err
	}
	s.blocks, s.lines = nil, nil
	return merge(s.file, s.runs, s.limit, yield)
}

// close drops the scratch file.
func (s *sorter) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
