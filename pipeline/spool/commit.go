package spool

import (
	"bufio"
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

// Commit makes the part durable under its name (I5): one file, one rename. It
// fails unless Copy returned nil. After an error the landing is closed and the
// part is to be landed anew.
func (l *Landing) Commit() (*Part, error) {
	if l.closed || !l.whole {
		return nil, errClosed
	}
	defer l.end()
	if l.file == nil { // a body of no bytes
		if err := l.create(); err != nil {
			return nil, err
		}
	}
	foot, err := l.writeTail()
	if err != nil {
		return nil, errors.Join(l.run.spool.full(err), l.file.Close())
	}
	if err := l.file.Commit(l.run.dir); err != nil {
		return nil, l.run.spool.full(fmt.Errorf("commit part: %w", err))
	}
	if err := os.Remove(l.run.path(l.name, originSuffix)); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("commit part: %w", err)
	}
	return &Part{spool: l.run.spool, path: l.run.path(l.name, partSuffix), foot: foot}, nil
}

// writeTail writes what comes behind the data.
func (l *Landing) writeTail() (*footer, error) {
	if err := l.file.Truncate(l.size); err != nil { // a chunk that a full disk cut
		return nil, fmt.Errorf("write part: %w", err)
	}
	foot := &footer{Version: footerVersion, Info: l.in.info, Names: l.in.names, Reasons: l.in.reasons, IndexAt: l.size}
	foot.Info.Key, foot.Info.Type, foot.Info.Expect = readable(l.key), l.opts.Type, l.opts.Expect
	foot.Original, foot.Name = l.original, readable(l.opts.Name)
	w := &tailWriter{w: bufio.NewWriterSize(io.NewOffsetWriter(l.file, l.size), 64<<10), at: l.size}
	if err := l.in.index.writeTo(w); err != nil {
		return nil, err
	}
	foot.IndexEnd, foot.TreesAt = w.at, w.at
	if err := w.json(treesChunk, l.in.trees); err != nil {
		return nil, err
	}
	start := w.at
	if err := w.json(footerChunk, foot); err != nil {
		return nil, err
	}
	end := binary.LittleEndian.AppendUint32(nil, uint32(w.at-start))
	if _, err := w.Write(append(end, mark...)); err != nil {
		return nil, fmt.Errorf("write part: %w", err)
	}
	if err := w.w.Flush(); err != nil {
		return nil, fmt.Errorf("write part: %w", err)
	}
	return foot, nil
}

// tailWriter knows where it is in the file.
type tailWriter struct {
	w  *bufio.Writer
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
		return fmt.Errorf("write part: %w", err)
	}
	chunk := append(make([]byte, headerLen, headerLen+len(text)), text...)
	putHeader(chunk, kind, len(text))
	if _, err := t.Write(chunk); err != nil {
		return fmt.Errorf("write part: %w", err)
	}
	return nil
}
