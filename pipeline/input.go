package pipeline

import (
	"bytes"
	"fmt"
	"io"

	"github.com/flue-fhir/flue/pipeline/spool"
)

// Input is a file of a conversion. It is read where it lies, more than once, and
// not copied; a stream is read once and lands in the spool.
type Input struct {
	Name  string // for people; unique among the inputs
	Size  int64  // bytes as they lie; 0 for a stream
	Stamp string // what spool.Lent.Stamp of the file says now
	Open  func() (spool.Lent, error)
	// Stream is set instead of Open when there is no file to be read again. The
	// caller closes it after the run.
	Stream io.Reader
}

// states names the inputs with what tells whether they have changed.
func states(inputs []Input) []string {
	var list []string
	for _, in := range inputs {
		list = append(list, fmt.Sprintf("%q %d %q %t", in.Name, in.Size, in.Stamp, in.Stream != nil))
	}
	return list
}

// pieceSize is about how many bytes of a plain file are one task: large files are
// cut at line ends, so that all processors read them.
const pieceSize = 32 << 20

// piece is a stretch of an input.
type piece struct {
	input          int // its place in Runner.Inputs
	offset, length int64
}

const pieceForm = "%d/" + kindFile + "/%06d/%d+%d"

func (p piece) key(generation int) string {
	return fmt.Sprintf(pieceForm, generation, p.input, p.offset, p.length)
}

func parsePiece(key string) (p piece, err error) {
	var generation int
	_, err = fmt.Sscanf(key, pieceForm, &generation, &p.input, &p.offset, &p.length)
	return p, err
}

// twins are the sizes that several inputs have: only those may be the same, and
// are worth a hash.
func twins(inputs []Input) map[int64]bool {
	seen := map[int64]bool{}
	for _, in := range inputs {
		_, again := seen[in.Size]
		seen[in.Size] = again
	}
	return seen
}

// cut returns the offsets at which the pieces of an input begin that are about
// so many bytes long, and its size.
func cut(in Input, about int64) ([]int64, error) {
	whole := []int64{0, in.Size}
	n := (in.Size + about - 1) / about
	if in.Stream != nil || n < 2 {
		return whole, nil
	}
	f, err := in.Open()
	if err != nil {
		return nil, &spool.ChangedError{Name: in.Name, Err: err}
	}
	defer f.Close()
	head := make([]byte, 4)
	if _, err := f.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s: %w", in.Name, err)
	}
	if spool.Compressed(head) {
		return whole, nil
	}
	cuts := []int64{0}
	for k := range n - 1 {
		at := in.Size / n * (k + 1)
		if at <= cuts[len(cuts)-1] {
			continue // a line that is longer than a piece
		}
		if at, err = lineFrom(f, at, in.Size); err != nil {
			return nil, fmt.Errorf("read %s: %w", in.Name, err)
		}
		if at < in.Size {
			cuts = append(cuts, at)
		}
	}
	return append(cuts, in.Size), nil
}

// lineFrom returns where the first line begins behind the offset at, or the size.
func lineFrom(r io.ReaderAt, at, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for at < size {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return at + int64(i) + 1, nil
		}
		at += int64(n)
		if err != nil {
			return 0, err
		}
	}
	return size, nil
}
