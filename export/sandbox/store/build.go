package store

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// build indexes the sources into a folder beside index, which takes its name
// when it is whole.
func build(ctx context.Context, opt Options, sources []source, index string) error {
	tmp, err := os.MkdirTemp(opt.Cache, ".tmp-index-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	b := &builder{opt: opt, dir: tmp, trees: map[string]*node{}}
	if err := b.run(ctx, sources); err != nil {
		return err
	}
	if err := os.Rename(tmp, index); err != nil {
		// Another process may have been first: its index says the same.
		if _, there := os.Stat(filepath.Join(index, "catalog.json")); there == nil {
			return nil
		}
		return err
	}
	return nil
}

type builder struct {
	opt Options
	dir string

	mu    sync.Mutex
	trees map[string]*node
	bad   int64
}

func (b *builder) tree(typ string) *node {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.trees[typ]
	if t == nil {
		t = members(typ)
		b.trees[typ] = t
	}
	return t
}

func (b *builder) run(ctx context.Context, sources []source) error {
	parts := make([]map[string]*part, len(sources))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(b.opt.Workers)
	for i, src := range sources {
		group.Go(func() error {
			var err error
			if parts[i], err = b.source(ctx, i, src); err != nil {
				return fmt.Errorf("%s: %w", filepath.Base(src.path), err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	byType := map[string][]*part{}
	for _, of := range parts {
		for typ, p := range of {
			byType[typ] = append(byType[typ], p)
		}
	}
	c := catalog{Version: indexVersion, Types: map[string][]segment{}, Bad: b.bad}
	patients, err := b.patients(byType["Patient"])
	if err != nil {
		return err
	}
	for typ, list := range byType {
		if err := b.finish(typ, list, patients); err != nil {
			return fmt.Errorf("%s: %w", typ, err)
		}
		for _, p := range list {
			c.Types[typ] = append(c.Types[typ], p.segment)
		}
	}
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.dir, "catalog.json"), data, 0o600)
}

// source indexes one file. A file of one type is used where it lies; a packed
// one is unpacked into the index folder; a mixed one is split there by type.
func (b *builder) source(ctx context.Context, i int, src source) (map[string]*part, error) {
	path, stored := src.path, src.path
	if strings.HasSuffix(path, ".gz") {
		stored = fmt.Sprintf("data-%d.ndjson", i)
		path = filepath.Join(b.dir, stored)
		if err := unpack(src.path, path); err != nil {
			return nil, err
		}
	}
	typ, p, err := b.plain(ctx, i, src, path, stored)
	if errors.Is(err, errMixed) {
		return b.split(ctx, i, src, path, stored != src.path)
	}
	if err != nil || p == nil {
		return nil, err
	}
	return map[string]*part{typ: p}, nil
}

func unpack(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	unzipped, err := gzip.NewReader(bufio.NewReaderSize(in, 256<<10))
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, unzipped)
	return errors.Join(err, out.Close())
}

var errMixed = errors.New("the file holds several types")

// plain indexes a file of one type; errMixed says that it is none.
func (b *builder) plain(ctx context.Context, i int, src source, path, stored string) (string, *part, error) {
	in, err := os.Open(path)
	if err != nil {
		return "", nil, err
	}
	defer in.Close()
	var w *partWriter
	var typ string
	err = lines(ctx, in, func(offset int64, line []byte) error {
		if len(line) == 0 {
			return nil
		}
		if w == nil {
			typ = resourceType(line)
			if typ == "" {
				return errMixed
			}
			var err error
			if w, err = b.newPart(i, typ, src); err != nil {
				return err
			}
		}
		return w.add(offset, line)
	})
	if w == nil {
		return "", nil, err
	}
	if err := errors.Join(err, w.close()); err != nil {
		return "", nil, err
	}
	info, err := in.Stat()
	if err != nil {
		return "", nil, err
	}
	w.part.Path, w.part.Size = stored, info.Size()
	return typ, w.part, nil
}

// split writes the lines of a mixed file into one file a type.
func (b *builder) split(ctx context.Context, i int, src source, path string, unpacked bool) (map[string]*part, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	type output struct {
		*partWriter
		file *os.File
		out  *bufio.Writer
	}
	outs := map[string]*output{}
	err = lines(ctx, in, func(_ int64, line []byte) error {
		if len(line) == 0 {
			return nil
		}
		typ := resourceType(line)
		if typ == "" {
			b.mu.Lock()
			b.bad++
			b.mu.Unlock()
			b.opt.Log.Warn("a line has no resource type and is not served", "file", filepath.Base(src.path))
			return nil
		}
		o := outs[typ]
		if o == nil {
			w, err := b.newPart(i, typ, src)
			if err != nil {
				return err
			}
			o = &output{partWriter: w}
			outs[typ] = o
			w.part.Path = fmt.Sprintf("data-%d-%s.ndjson", i, typ)
			if o.file, err = os.OpenFile(filepath.Join(b.dir, w.part.Path), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
				return err
			}
			o.out = bufio.NewWriterSize(o.file, 64<<10)
		}
		if err := o.add(o.part.Size, line); err != nil {
			return err
		}
		o.part.Size += int64(len(line)) + 1
		_, err1 := o.out.Write(line)
		return errors.Join(err1, o.out.WriteByte('\n'))
	})
	parts := map[string]*part{}
	for typ, o := range outs {
		err = errors.Join(err, o.close())
		if o.file != nil {
			err = errors.Join(err, o.out.Flush(), o.file.Close())
		}
		parts[typ] = o.part
	}
	if err == nil && unpacked {
		err = os.Remove(path)
	}
	return parts, err
}

// patients returns the sorted hashes of the patients' ids, 8 bytes each.
func (b *builder) patients(parts []*part) ([]uint64, error) {
	var out []uint64
	for _, p := range parts {
		err := eachKey(p.ids, func(k key) error {
			out = append(out, k.hash)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out, nil
}

func eachKey(path string, visit func(key) error) error {
	records, err := openRecords(path, keySize)
	if err != nil {
		return err
	}
	defer records.close()
	var failed error
	err = records.each(func(k key) {
		if failed == nil {
			failed = visit(k)
		}
	})
	return errors.Join(err, failed)
}

// finish joins a type's parts into its index files and removes them.
func (b *builder) finish(typ string, parts []*part, patients []uint64) error {
	base := filepath.Join(b.dir, typ)
	if err := joinRows(base+".rows", parts); err != nil {
		return err
	}
	total, ids := uint32(0), 0
	for _, p := range parts {
		total += p.Rows
		ids += p.nIDs
	}
	// keys yields those of all parts, with row numbers of the type.
	keys := func(path func(*part) string, keep func(key) bool, yield func(key) error) error {
		first := uint32(0)
		for _, p := range parts {
			err := eachKey(path(p), func(k key) error {
				k.row += first
				if !keep(k) {
					return nil
				}
				return yield(k)
			})
			if err != nil {
				return err
			}
			first += p.Rows
		}
		return nil
	}
	err := sortKeys(base+".ids", ids, sortLimit, func(yield func(key) error) error {
		return keys(func(p *part) string { return p.ids }, func(key) bool { return true }, yield)
	})
	if err != nil {
		return err
	}
	isPatient := func(k key) bool {
		at := sort.Search(len(patients), func(i int) bool { return patients[i] >= k.hash })
		return at < len(patients) && patients[at] == k.hash
	}
	refs, covered := 0, new(Rows)
	err = keys(func(p *part) string { return p.refs }, isPatient, func(k key) error {
		refs++
		covered.Add(k.row)
		return nil
	})
	if err != nil {
		return err
	}
	err = sortKeys(base+".refs", refs, sortLimit, func(yield func(key) error) error {
		return keys(func(p *part) string { return p.refs }, isPatient, yield)
	})
	if err != nil {
		return err
	}
	all := true
	for n := range total {
		all = all && covered.Has(n)
	}
	if !all {
		if err := covered.write(base + ".members"); err != nil {
			return err
		}
	}
	for _, p := range parts {
		if err := errors.Join(os.Remove(p.rows), os.Remove(p.ids), os.Remove(p.refs)); err != nil {
			return err
		}
	}
	return nil
}

// joinRows writes the parts' rows one after the other, each with the number of
// its segment.
func joinRows(path string, parts []*part) error {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(out, 256<<10)
	err = func() error {
		var buf []byte
		for number, p := range parts {
			in, err := os.Open(p.rows)
			if err != nil {
				return err
			}
			r := bufio.NewReaderSize(in, 256<<10)
			record := make([]byte, rowSize)
			for range p.Rows {
				if _, err := io.ReadFull(r, record); err != nil {
					return errors.Join(err, in.Close())
				}
				row := decodeRow(record, 0)
				row.segment = uint32(number)
				buf = appendRow(buf[:0], row)
				if _, err := w.Write(buf); err != nil {
					return errors.Join(err, in.Close())
				}
			}
			if err := in.Close(); err != nil {
				return err
			}
		}
		return nil
	}()
	return errors.Join(err, w.Flush(), out.Close())
}
