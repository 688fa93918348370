package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
)

// The sizes of the index's records in bytes. All numbers are little endian.
const (
	rowSize = 24 // offset u64, length u32, segment u32, lastUpdated i64 (µs)
	keySize = 12 // hash u64, row u32; sorted
)

// Row is where a resource lies.
type Row struct {
	N       uint32 // number within the type, stable for the life of the Store
	Updated int64  // lastUpdated in microseconds since 1970

	offset  int64
	length  uint32
	segment uint32
}

func appendRow(b []byte, r Row) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(r.offset))
	b = binary.LittleEndian.AppendUint32(b, r.length)
	b = binary.LittleEndian.AppendUint32(b, r.segment)
	return binary.LittleEndian.AppendUint64(b, uint64(r.Updated))
}

func decodeRow(b []byte, n uint32) Row {
	return Row{
		N: n, offset: int64(binary.LittleEndian.Uint64(b)), length: binary.LittleEndian.Uint32(b[8:]),
		segment: binary.LittleEndian.Uint32(b[12:]), Updated: int64(binary.LittleEndian.Uint64(b[16:])),
	}
}

// key is an entry of the ids and of the references to patients.
type key struct {
	hash uint64
	row  uint32
}

func appendKey(b []byte, k key) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(b, k.hash), k.row)
}

func decodeKey(b []byte) key {
	return key{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:])}
}

func (k key) less(o key) bool { return k.hash < o.hash || k.hash == o.hash && k.row < o.row }

// hash is a 64-bit hash of an id: FNV-1a with a finalizer that spreads it over
// all bits.
func hash(id string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}

// recordFile reads records of one size. Its methods may be called by several
// goroutines at once.
type recordFile struct {
	file *os.File
	size int
	n    int
}

func openRecords(path string, size int) (*recordFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if info.Size()%int64(size) != 0 {
		return nil, errors.Join(fmt.Errorf("%s has a torn record", info.Name()), f.Close())
	}
	return &recordFile{file: f, size: size, n: int(info.Size() / int64(size))}, nil
}

func (r *recordFile) close() error {
	if r == nil {
		return nil
	}
	return r.file.Close()
}

// read fills buf with the records from number i on.
func (r *recordFile) read(buf []byte, i int) error {
	_, err := r.file.ReadAt(buf, int64(i)*int64(r.size))
	return err
}

// search finds the rows that the sorted keys have under the hash.
func (r *recordFile) search(h uint64) ([]uint32, error) {
	var buf [keySize]byte
	var failed error
	at := sort.Search(r.n, func(i int) bool {
		if failed != nil {
			return true
		}
		failed = r.read(buf[:], i)
		return decodeKey(buf[:]).hash >= h
	})
	var out []uint32
	for ; failed == nil && at < r.n; at++ {
		if failed = r.read(buf[:], at); failed != nil {
			break
		}
		k := decodeKey(buf[:])
		if k.hash != h {
			break
		}
		out = append(out, k.row)
	}
	return out, failed
}

// each calls visit with every key in order.
func (r *recordFile) each(visit func(key)) error {
	in := bufio.NewReaderSize(io.NewSectionReader(r.file, 0, int64(r.n)*keySize), 256<<10)
	var buf [keySize]byte
	for range r.n {
		if _, err := io.ReadFull(in, buf[:]); err != nil {
			return err
		}
		visit(decodeKey(buf[:]))
	}
	return nil
}

// sortLimit is how many keys are sorted in memory at a time.
const sortLimit = 1 << 20

// sortKeys writes the n keys that each yields to path, sorted. Where they are
// more than limit they are first dealt into files by the leading bits of their
// hash.
func sortKeys(path string, n, limit int, each func(yield func(key) error) error) error {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(out, 256<<10)
	err = func() error {
		if n <= limit {
			keys := make([]key, 0, n)
			if err := each(func(k key) error { keys = append(keys, k); return nil }); err != nil {
				return err
			}
			return writeSorted(w, keys)
		}
		return dealAndSort(path, w, n, limit, each)
	}()
	return errors.Join(err, w.Flush(), out.Close())
}

func writeSorted(w io.Writer, keys []key) error {
	sort.Slice(keys, func(i, j int) bool { return keys[i].less(keys[j]) })
	var buf []byte
	for _, k := range keys {
		buf = appendKey(buf[:0], k)
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// dealAndSort sorts more keys than fit in memory.
func dealAndSort(path string, w io.Writer, n, limit int, each func(yield func(key) error) error) (err error) {
	leading := 1
	for n>>leading > limit/2 {
		leading++
	}
	deals := make([]*os.File, 1<<leading)
	writers := make([]*bufio.Writer, len(deals))
	defer func() {
		for _, f := range deals {
			if f != nil {
				err = errors.Join(err, f.Close(), os.Remove(f.Name()))
			}
		}
	}()
	for i := range deals {
		if deals[i], err = os.Create(fmt.Sprintf("%s.deal%d", path, i)); err != nil {
			return err
		}
		writers[i] = bufio.NewWriter(deals[i])
	}
	var buf []byte
	err = each(func(k key) error {
		buf = appendKey(buf[:0], k)
		_, err := writers[k.hash>>(64-leading)].Write(buf)
		return err
	})
	if err != nil {
		return err
	}
	for i, f := range deals {
		if err := writers[i].Flush(); err != nil {
			return err
		}
		size, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		keys := make([]key, 0, size/keySize)
		records := &recordFile{file: f, size: keySize, n: int(size / keySize)}
		if err := records.each(func(k key) { keys = append(keys, k) }); err != nil {
			return err
		}
		if err := writeSorted(w, keys); err != nil {
			return err
		}
	}
	return nil
}
