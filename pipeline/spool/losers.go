package spool

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"

	"github.com/flue-fhir/flue/internal/durable"
)

// losers is the set of places that are not published because a better version
// is: sorted runs, in memory as long as they are small, then in a file without
// a name.
type losers struct {
	dir   string
	limit int // places that may stay in memory
	cur   []uint64
	runs  []run
	file  *os.File
	size  int64 // places in file
	total int64
}

// run is sorted places in the file.
type run struct{ from, to int64 }

func (l *losers) add(place uint64) error {
	l.cur = append(l.cur, place)
	l.total++
	if len(l.cur) < l.limit {
		return nil
	}
	return l.spill()
}

// spill writes the places in memory as a run.
func (l *losers) spill() error {
	if l.file == nil {
		f, err := os.CreateTemp(l.dir, durable.TempPattern)
		if err != nil {
			return fmt.Errorf("write selection: %w", err)
		}
		l.file = f
		if err := os.Remove(f.Name()); err != nil {
			return fmt.Errorf("write selection: %w", err)
		}
	}
	slices.Sort(l.cur)
	buf := make([]byte, 0, 64<<10)
	from := l.size
	for i, p := range l.cur {
		buf = binary.LittleEndian.AppendUint64(buf, p)
		if len(buf) == cap(buf) || i == len(l.cur)-1 {
			if _, err := l.file.WriteAt(buf, l.size*8); err != nil {
				return fmt.Errorf("write selection: %w", err)
			}
			l.size += int64(len(buf) / 8)
			buf = buf[:0]
		}
	}
	l.runs = append(l.runs, run{from, l.size})
	l.cur = l.cur[:0]
	return nil
}

// seal ends the adding.
func (l *losers) seal() { slices.Sort(l.cur) }

// of yields the lines of a part that lost, in rising order.
func (l *losers) of(part int, yield func(line int64) bool) error {
	lo, hi := place(part, 0), place(part+1, 0)
	a, _ := slices.BinarySearch(l.cur, lo)
	b, _ := slices.BinarySearch(l.cur, hi)
	memory := l.cur[a:b]
	var heads []*runReader
	for _, r := range l.runs {
		h, err := l.seek(r, lo, hi)
		if err != nil {
			return err
		}
		if h.ok {
			heads = append(heads, h)
		}
	}
	for {
		var least *runReader
		for _, h := range heads {
			if h.ok && (least == nil || h.head < least.head) {
				least = h
			}
		}
		var p uint64
		switch {
		case len(memory) > 0 && (least == nil || memory[0] < least.head):
			p, memory = memory[0], memory[1:]
		case least != nil:
			p = least.head
			if err := least.next(); err != nil {
				return err
			}
		default:
			return nil
		}
		if !yield(int64(p & (1<<placeLine - 1))) {
			return nil
		}
	}
}

// runReader reads the places of one part from a run.
type runReader struct {
	r    io.Reader
	head uint64
	end  uint64
	ok   bool
	buf  []byte
	rest []byte
}

// seek finds the first place from lo on in a run.
func (l *losers) seek(r run, lo, hi uint64) (*runReader, error) {
	var b [8]byte
	var err error
	at := int64(sort.Search(int(r.to-r.from), func(i int) bool {
		if err != nil {
			return true
		}
		_, err = l.file.ReadAt(b[:], (r.from+int64(i))*8)
		return err != nil || binary.LittleEndian.Uint64(b[:]) >= lo
	}))
	if err != nil {
		return nil, fmt.Errorf("read selection: %w", err)
	}
	h := &runReader{r: io.NewSectionReader(l.file, (r.from+at)*8, (r.to-r.from-at)*8), end: hi, buf: make([]byte, 4096)}
	return h, h.next()
}

func (h *runReader) next() error {
	if len(h.rest) < 8 {
		n, err := io.ReadFull(h.r, h.buf)
		if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
			return fmt.Errorf("read selection: %w", err)
		}
		h.rest = h.buf[:n]
	}
	if len(h.rest) < 8 {
		h.ok = false
		return nil
	}
	h.head = binary.LittleEndian.Uint64(h.rest)
	h.rest = h.rest[8:]
	h.ok = h.head < h.end
	return nil
}

func (l *losers) close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
