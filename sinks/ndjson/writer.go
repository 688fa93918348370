package ndjson

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/flue-fhir/flue/sinks"
)

// writer writes the files of one type, one after the other.
type writer struct {
	dst    sinks.Staging
	format format
	folder string
	typ    string
	target int64

	in    *bufio.Reader // of the part that is read
	files []sinks.File
	path  string
	file  sinks.FileWriter // nil between files
	out   *bufio.Writer
	size  int64   // bytes that out has taken
	pack  *packer // nil until it is needed, and for None
	rows  int64   // of the file
}

// sized is a part that knows how long what Raw opens is.
type sized interface{ RawLen() int64 }

// copyRaw copies a part as it was sent.
func (w *writer) copyRaw(ctx context.Context, p sinks.Part, open func() (io.ReadCloser, error)) (err error) {
	if p, ok := p.(sized); ok && w.size > 0 && w.size+p.RawLen() > w.target {
		if err := w.end(); err != nil {
			return err
		}
	}
	if err := w.begin(ctx); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	r, err := open()
	if err != nil {
		return err
	}
	n, err := io.Copy(counted{w}, r)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if n == 0 {
		return errors.New("a part with rows is empty")
	}
	w.rows += p.Lines()
	return w.turn()
}

// copyLines writes the published lines of a part.
func (w *writer) copyLines(ctx context.Context, p sinks.Part) error {
	body, err := p.Open()
	if err != nil {
		return err
	}
	rows, err := w.lines(ctx, body, p)
	if err := errors.Join(err, body.Close()); err != nil {
		return err
	}
	if rows != p.Lines() { // I3: what is published is what was counted
		return fmt.Errorf("a part has %d rows to publish instead of %d", rows, p.Lines())
	}
	return nil
}

func (w *writer) lines(ctx context.Context, body io.Reader, p sinks.Part) (rows int64, err error) {
	if w.in == nil {
		w.in = bufio.NewReaderSize(body, 256<<10)
	} else {
		w.in.Reset(body)
	}
	in := newLineCopier(w.in, p.Skips())
	defer in.close()
	for {
		if rows%1024 == 0 && ctx.Err() != nil {
			return rows, context.Cause(ctx)
		}
		ok, err := in.find()
		if err != nil || !ok {
			return rows, err
		}
		if err := w.begin(ctx); err != nil {
			return rows, err
		}
		if err := in.copyTo(w.lineWriter()); err != nil {
			return rows, err
		}
		rows++
		w.rows++
		if err := w.turn(); err != nil {
			return rows, err
		}
	}
}

// begin opens a file when there is none.
func (w *writer) begin(ctx context.Context) error {
	if w.file != nil {
		return nil
	}
	path := fmt.Sprintf("%s/part-%05d%s", w.folder, len(w.files), w.format.suffix)
	f, err := w.dst.Create(ctx, path)
	if err != nil {
		return err
	}
	w.path, w.file, w.size, w.rows = path, f, 0, 0
	if w.pack == nil && w.format.encoder != nil {
		if w.pack, err = newPacker(counted{w}, int(min(w.target, block)), w.format); err != nil {
			return err
		}
	}
	if w.out == nil {
		w.out = bufio.NewWriterSize(f, 256<<10)
	} else {
		w.out.Reset(f)
	}
	return nil
}

// lineWriter is where lines go: with a compression, through blocks.
func (w *writer) lineWriter() io.Writer {
	if w.pack == nil {
		return counted{w}
	}
	return w.pack
}

// flush writes the lines that are not compressed yet.
func (w *writer) flush() error {
	if w.pack == nil {
		return nil
	}
	return w.pack.flush()
}

// turn ends a file that has reached the target.
func (w *writer) turn() error {
	if w.size < w.target {
		return nil
	}
	return w.end()
}

// end commits the file.
func (w *writer) end() error {
	if w.file == nil {
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.out.Flush(); err != nil {
		return err
	}
	size, sum, err := w.file.Commit()
	if err != nil {
		return err
	}
	w.files = append(w.files, sinks.File{Path: w.path, Type: w.typ, Rows: w.rows, Bytes: size, SHA256: sum})
	w.file = nil
	return nil
}

// abort waits for what is under way and drops the file that is being written,
// if there is one.
func (w *writer) abort() error {
	if w.pack != nil {
		w.pack.drop()
	}
	if w.file == nil {
		return nil
	}
	f := w.file
	w.file = nil
	return f.Abort()
}

// counted writes to the file's buffer and counts.
type counted struct{ w *writer }

func (c counted) Write(p []byte) (int, error) {
	n, err := c.w.out.Write(p)
	c.w.size += int64(n)
	return n, err
}
