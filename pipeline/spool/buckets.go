package spool

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"os"

	"github.com/flue-fhir/flue/internal/durable"
)

// maxBuckets is how many bucket files are open at once.
const maxBuckets = 128

// bucketBuffer is the bytes of a bucket's buffer.
const bucketBuffer = 16 << 10

// buckets are the versions of a type, divided by their ids into files without a
// name, when they are too many for one table. Within a bucket they keep their
// order.
type buckets struct {
	files  []*os.File
	bufs   []*bufio.Writer
	counts []int64
}

func newBuckets(dir string, n int) (*buckets, error) {
	b := &buckets{counts: make([]int64, n)}
	for range n {
		f, err := os.CreateTemp(dir, durable.TempPattern)
		if err != nil {
			b.close()
			return nil, fmt.Errorf("write selection: %w", err)
		}
		b.files = append(b.files, f)
		b.bufs = append(b.bufs, bufio.NewWriterSize(f, bucketBuffer))
		if err := os.Remove(f.Name()); err != nil {
			b.close()
			return nil, fmt.Errorf("write selection: %w", err)
		}
	}
	return b, nil
}

// bucketOf divides the ids evenly among n buckets.
func bucketOf(id *[16]byte, n int) int {
	hi, _ := bits.Mul64(binary.BigEndian.Uint64(id[8:]), uint64(n))
	return int(hi)
}

func (b *buckets) add(i int, v *version) error {
	var rec [versionLen]byte
	copy(rec[:], v.id[:])
	binary.LittleEndian.PutUint64(rec[16:], uint64(v.updated))
	binary.LittleEndian.PutUint64(rec[24:], v.place)
	b.counts[i]++
	if _, err := b.bufs[i].Write(rec[:]); err != nil {
		return fmt.Errorf("write selection: %w", err)
	}
	return nil
}

// each calls yield with the versions of a bucket in the order of add.
func (b *buckets) each(i int, yield func(*version) error) error {
	if err := b.bufs[i].Flush(); err != nil {
		return fmt.Errorf("write selection: %w", err)
	}
	r := bufio.NewReaderSize(io.NewSectionReader(b.files[i], 0, b.counts[i]*versionLen), 256<<10)
	var rec [versionLen]byte
	var v version
	for range b.counts[i] {
		if _, err := io.ReadFull(r, rec[:]); err != nil {
			return fmt.Errorf("read selection: %w", err)
		}
		copy(v.id[:], rec[:])
		v.updated = int64(binary.LittleEndian.Uint64(rec[16:]))
		v.place = binary.LittleEndian.Uint64(rec[24:])
		if err := yield(&v); err != nil {
			return err
		}
	}
	return nil
}

func (b *buckets) close() {
	for _, f := range b.files {
		_ = f.Close()
	}
}
