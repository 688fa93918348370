package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/flue-fhir/flue/internal/durable"
)

// shelfLimit is up to how many bytes as sent a body is small: its part lies on a
// shelf.
const shelfLimit = 256 << 10

const (
	shelfPrefix = "shelf-"
	shelfSuffix = ".parts"
)

// shelves are files that hold small parts, one behind the other, each as it
// would be in a file of its own: with that and its syncs, fifty thousand small
// parts would cost minutes. A process writes to one shelf, which it begins, and
// reads those of earlier ones.
type shelves struct {
	dir *durable.Dir

	mu    sync.Mutex
	parts map[string]extent // by the file name of the key; nil until they are looked for
	last  int               // number of the newest shelf
	log   *durable.Log      // that of this process; nil until it has a part
	path  string            // of log
}

// find returns where a part lies.
func (s *shelves) find(name string) (e extent, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		return extent{}, false, err
	}
	e, ok = s.parts[name]
	return e, ok, nil
}

// add puts a part on the shelf; it is durable when add returns (I5).
func (s *shelves) add(name string, part []byte) (extent, error) {
	if err := s.begin(); err != nil {
		return extent{}, err
	}
	at, err := s.log.Append(part) // not under mu: many share a sync
	if err != nil {
		return extent{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := extent{path: s.path, at: at, size: int64(len(part))}
	s.parts[name] = e
	return e, nil
}

func (s *shelves) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil || s.log != nil {
		return err
	}
	path := filepath.Join(s.dir.Path, fmt.Sprintf("%s%06d%s", shelfPrefix, s.last+1, shelfSuffix))
	log, err := s.dir.FS.CreateLog(path, 0o600, s.dir)
	if err != nil {
		return err
	}
	s.log, s.path, s.last = log, path, s.last+1
	return nil
}

// drop forgets a part. Another process may find it again, unless it is damaged.
func (s *shelves) drop(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		return err
	}
	delete(s.parts, name)
	return nil
}

// close ends the shelf of this process; the next part begins another one.
func (s *shelves) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.log
	s.log, s.parts = nil, nil
	if log == nil {
		return nil
	}
	return log.Close()
}

// load looks for the parts of earlier processes. Of two with one key, the later
// counts.
func (s *shelves) load() error {
	if s.parts != nil {
		return nil
	}
	entries, err := os.ReadDir(s.dir.Path) // sorted
	if err != nil {
		return fmt.Errorf("list parts: %w", err)
	}
	parts := map[string]extent{}
	for _, e := range entries {
		var n int
		if _, err := fmt.Sscanf(e.Name(), shelfPrefix+"%d"+shelfSuffix, &n); err != nil {
			continue
		}
		s.last = max(s.last, n)
		err := scanShelf(filepath.Join(s.dir.Path, e.Name()), func(key string, e extent) { parts[fileName(key)] = e })
		if err != nil {
			return err
		}
	}
	s.parts = parts
	return nil
}

// scanShelf calls found with every part on a shelf that is whole: what a crash
// or the disk tore is not, and is landed again.
func scanShelf(path string, found func(key string, e extent)) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open shelf: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open shelf: %w", err)
	}
	var buf []byte
	for at := int64(0); at < fi.Size(); {
		e := extent{path: path, at: at}
		var key string
		var whole bool
		if key, whole, e.size, buf, err = scanPart(f, at, fi.Size(), buf); errors.Is(err, errChunk) {
			return nil // where the next part begins is not known
		}
		if err != nil {
			return err
		}
		if whole {
			found(key, e)
		}
		at += e.size
	}
	return nil
}

// scanPart reads the part at an offset of a shelf: its key, its size, and
// whether it is as it was written. errChunk means that its end is not to be
// found. buf is used for what is read, and may grow.
func scanPart(f *os.File, start, end int64, buf []byte) (key string, whole bool, size int64, _ []byte, err error) {
	whole = true
	at := start
	for kind := chunkKind(0); kind != footerChunk; {
		h, err := readHeader(f, at, end-markLen)
		if err != nil {
			return "", false, 0, buf, err
		}
		b, err := readChunk(f, at, h, buf)
		switch {
		case errors.Is(err, errChunk):
			whole = false
		case err != nil:
			return "", false, 0, buf, err
		default:
			buf = b
		}
		at += headerLen + int64(h.stored)
		kind = h.kind
	}
	size = at + markLen - start
	if !whole {
		return "", false, size, buf, nil
	}
	foot, err := readFooter(io.NewSectionReader(f, start, size))
	if errors.Is(err, errChunk) {
		return "", false, size, buf, nil
	}
	if err != nil {
		return "", false, 0, buf, fmt.Errorf("read shelf: %w", err)
	}
	return foot.Info.Key, true, size, buf, nil
}
