package spool

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/klauspost/compress/s2"
)

// roomStep is how many bytes are written between two looks at the free space.
const roomStep = 64 << 20

// create opens the partial file.
func (l *Landing) create() error {
	f, err := l.run.dir.FS.Open(l.run.path(l.name, partialSuffix), l.run.path(l.name, partSuffix), 0o600)
	if err != nil {
		return l.run.spool.full(fmt.Errorf("land part: %w", err))
	}
	l.file = f
	return nil
}

// flush makes what is in buf a chunk of the file and gives it to the intake.
// After an error of the disk, buf is as before.
func (l *Landing) flush() error {
	if len(l.buf) <= headerLen {
		return nil
	}
	if l.kind == 0 { // a single byte
		l.kind = packedChunk
	}
	if l.file == nil {
		if err := l.create(); err != nil {
			return err
		}
	}
	if l.size == 0 {
		if err := l.writeOrigin(); err != nil {
			return err
		}
	}
	if err := l.store(); err != nil {
		return err
	}
	b := l.buf
	l.buf = nil
	return l.walk(b)
}

// flushLast is flush at the end of a body. A small one stays in memory, for
// Commit to put on a shelf.
func (l *Landing) flushLast() error {
	if l.file != nil || len(l.buf) <= headerLen || len(l.buf)-headerLen > shelfLimit {
		return l.flush()
	}
	if l.kind == 0 {
		l.kind = packedChunk
	}
	err := l.chunk(func(chunk []byte) error {
		l.held = bytes.Clone(chunk)
		return nil
	})
	if err != nil {
		return err
	}
	b := l.buf
	l.buf = nil
	return l.walk(b)
}

// store writes buf as a chunk.
func (l *Landing) store() error { return l.chunk(l.write) }

// chunk calls use with buf as a chunk, which is valid during the call.
func (l *Landing) chunk(use func(chunk []byte) error) error {
	plain := len(l.buf) - headerLen
	if l.kind == rawChunk {
		putHeader(l.buf, rawChunk, plain)
		return use(l.buf)
	}
	pools := &l.run.spool.pools
	packed := pools.buffer()
	defer func() { pools.putBuffer(packed) }()
	packed = packed[:headerLen+len(s2.Encode(packed[headerLen:], l.buf[headerLen:]))]
	putHeader(packed, packedChunk, plain)
	return use(packed)
}

func (l *Landing) write(chunk []byte) error {
	if l.size+int64(len(chunk)) > l.room {
		spare, err := l.run.spool.room(int64(len(chunk)))
		if err != nil {
			return err
		}
		l.room = l.size + int64(len(chunk)) + min(roomStep, spare/16) // others write too
	}
	if _, err := l.file.WriteAt(chunk, l.size); err != nil {
		return l.run.spool.full(fmt.Errorf("write part: %w", err))
	}
	l.size += int64(len(chunk))
	return nil
}

// writeOrigin keeps what a later process needs to go on, before the first byte
// is kept. Small bodies are not worth it: they are read again.
func (l *Landing) writeOrigin() error {
	if l.origin.Validator == "" || len(l.buf)-headerLen < l.step() {
		return nil
	}
	text, err := json.Marshal(l.origin)
	if err != nil {
		return fmt.Errorf("write origin: %w", err)
	}
	if err := l.run.dir.FS.WriteFile(l.run.path(l.name, originSuffix), text, 0o600); err != nil {
		return l.run.spool.full(fmt.Errorf("write origin: %w", err))
	}
	return nil
}

// walk gives a buffer to the intake, which owns it from then on.
func (l *Landing) walk(b []byte) error {
	if l.in == nil {
		l.in = l.run.spool.startIntake(l.run.dir.Path)
	}
	return l.in.send(b)
}
