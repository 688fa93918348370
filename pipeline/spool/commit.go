package spool

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// footer is the last chunk of a part.
type footer struct {
	Version  int      `json:"version"`
	Info     Info     `json:"info"`
	Names    []string `json:"names"`   // types by ordinal of the index
	Reasons  []string `json:"reasons"` // of quarantined lines by ordinal
	IndexAt  int64    `json:"indexAt"` // where the data end
	IndexEnd int64    `json:"indexEnd"`
	TreesAt  int64    `json:"treesAt"`
	Name     string   `json:"name,omitempty"`     // for people; "" means the key
	Original *stretch `json:"original,omitempty"` // where the body is that was borrowed
}

const (
	footerVersion = 1
	markLen       = 8
	mark          = "flue"
)

// Commit makes the part durable under its name (I5): one file and one rename, or
// a place on a shelf. It fails unless Copy returned nil. After an error the
// landing is closed and the part is to be landed anew.
func (l *Landing) Commit() (*Part, error) {
	if l.closed || !l.whole {
		return nil, errClosed
	}
	defer l.end()
	if l.shelvable() {
		return l.shelve()
	}
	if l.file == nil {
		if err := l.create(); err != nil {
			return nil, err
		}
		if err := l.write(l.held); err != nil {
			return nil, errors.Join(err, l.file.Close())
		}
	}
	if err := l.file.Truncate(l.size); err != nil { // a chunk that a full disk cut
		return nil, errors.Join(fmt.Errorf("write part: %w", err), l.file.Close())
	}
	out := bufio.NewWriterSize(io.NewOffsetWriter(l.file, l.size), 64<<10)
	foot, size, err := l.writeTail(out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return nil, errors.Join(l.run.spool.full(fmt.Errorf("write part: %w", err)), l.file.Close())
	}
	if err := l.file.Commit(l.run.dir); err != nil {
		return nil, l.run.spool.full(fmt.Errorf("commit part: %w", err))
	}
	if err := os.Remove(l.run.path(l.name, originSuffix)); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("commit part: %w", err)
	}
	return &Part{spool: l.run.spool, place: extent{path: l.run.path(l.name, partSuffix), size: size}, foot: foot}, nil
}

// shelvable reports whether the part is small, and its footer tells the key.
func (l *Landing) shelvable() bool {
	return l.file == nil && l.in.index.spilled == 0 && readable(l.key) == l.key && !l.run.spool.apart
}

// shelve puts the part, of which nothing is on the disk, on a shelf.
func (l *Landing) shelve() (*Part, error) {
	l.size = int64(len(l.held))
	part := bytes.NewBuffer(l.held)
	foot, size, err := l.writeTail(part)
	if err != nil {
		return nil, fmt.Errorf("write part: %w", err)
	}
	if _, err := l.run.spool.room(size); err != nil {
		return nil, err
	}
	place, err := l.run.shelves.add(l.name, part.Bytes())
	if err != nil {
		return nil, l.run.spool.full(fmt.Errorf("commit part: %w", err))
	}
	return &Part{spool: l.run.spool, place: place, foot: foot}, nil
}

// writeTail writes what comes behind the data, and returns the size of the whole
// part.
func (l *Landing) writeTail(out io.Writer) (foot *footer, size int64, err error) {
	foot = &footer{Version: footerVersion, Info: l.in.info, Names: l.in.names, Reasons: l.in.reasons, IndexAt: l.size}
	foot.Info.Key, foot.Info.Type, foot.Info.Expect = readable(l.key), l.opts.Type, l.opts.Expect
	foot.Info.Notes, foot.Info.Short = l.notes, l.short
	foot.Original, foot.Name = l.original, readable(l.opts.Name)
	w := &tailWriter{w: out, at: l.size}
	if err := l.in.index.writeTo(w); err != nil {
		return nil, 0, err
	}
	foot.IndexEnd, foot.TreesAt = w.at, w.at
	if err := w.json(treesChunk, l.in.trees); err != nil {
		return nil, 0, err
	}
	start := w.at
	if err := w.json(footerChunk, foot); err != nil {
		return nil, 0, err
	}
	end := binary.LittleEndian.AppendUint32(nil, uint32(w.at-start))
	if _, err := w.Write(append(end, mark...)); err != nil {
		return nil, 0, err
	}
	return foot, w.at, nil
}

// tailWriter knows where it is in the part.
type tailWriter struct {
	w  io.Writer
	at int64
}

func (t *tailWriter) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.at += int64(n)
	return n, err
}

func (t *tailWriter) json(kind chunkKind, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	chunk := append(make([]byte, headerLen, headerLen+len(text)), text...)
	putHeader(chunk, kind, len(text))
	_, err = t.Write(chunk)
	return err
}
