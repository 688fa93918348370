package pipeline

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
)

// The files of deletions, and of lines that are none. A sink that holds deletions
// has its file beside the first.
const (
	deletedName  = "deleted/part-00000.ndjson"
	rejectedName = "quarantine/deleted-00000.ndjson"
)

// deletion is a resource that the server says was deleted.
type deletion struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Run  string `json:"run"`
}

// stageDeletions writes the deletions that the server listed, as NDJSON and by each
// sink that holds them, and into quarantine the lines that are none (F46). A job
// that goes on from its watermark has the files of its sinks also when there are
// none, so that a query over the chain finds them. The result is nil when there is
// nothing to know.
func (x *execution) stageDeletions(ctx context.Context, b *board) (*sinks.Deletions, []sinks.File, error) {
	deleted := b.every(kindDeleted)
	sum := &sinks.Deletions{Known: len(deleted) > 0}
	var writers []sinks.DeletionWriter
	if sum.Known {
		w, err := x.stage.Create(ctx, deletedName)
		if err != nil {
			return nil, nil, fmt.Errorf("write %s: %w", deletedName, err)
		}
		writers = append(writers, &deletedLines{file: w, out: bufio.NewWriterSize(w, 64<<10), run: x.id})
	}
	if sum.Known || x.r.Job.Export.Since.Last {
		for _, s := range x.r.Sinks {
			d, ok := s.(sinks.Deleter)
			if !ok {
				continue
			}
			w, err := d.Deletions(ctx, x.id, x.stage)
			if err != nil {
				return nil, nil, errors.Join(fmt.Errorf("write deletions: %w", err), abort(writers))
			}
			writers = append(writers, w)
		}
	}
	if err := x.writeDeletions(ctx, deleted, b.every(kindOutput), writers, sum); err != nil {
		return nil, nil, errors.Join(err, abort(writers))
	}
	var files []sinks.File
	for i, w := range writers {
		f, err := w.Commit()
		if err == nil && f.Rows != sum.Published {
			err = bug("%s has %d rows, %d are to be published", f.Path, f.Rows, sum.Published)
		}
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("write deletions: %w", err), abort(writers[i:]))
		}
		files = append(files, f)
		x.step("deletions written")
	}
	if sum.Revived > 0 {
		x.warn("deleted-and-delivered", "resources were both delivered and reported as deleted; they are published", sum.Revived)
	}
	if sum.Rejected > 0 {
		x.warn("deleted-unread", "lines of the server's deleted files are no deletions; they are in quarantine", sum.Rejected)
		f, err := x.writeFile(ctx, rejectedName, "", sum.Rejected, func(w io.Writer) (int64, error) {
			return x.writeRejected(ctx, deleted, w)
		})
		if err != nil {
			return nil, nil, err
		}
		files = append(files, *f)
	}
	if !sum.Known && !x.plan.incremental() {
		sum = nil
	}
	return sum, files, nil
}

func abort(writers []sinks.DeletionWriter) (err error) {
	for _, w := range writers {
		err = errors.Join(err, w.Abort())
	}
	return err
}

// deletedLines writes deletions as NDJSON of type, id and run.
type deletedLines struct {
	file sinks.FileWriter
	out  *bufio.Writer
	run  string
	rows int64
}

// Add implements sinks.DeletionWriter.
func (d *deletedLines) Add(typ, id string) error {
	line, err := json.Marshal(deletion{Type: typ, ID: id, Run: d.run})
	if err != nil {
		return err
	}
	d.rows++
	_, err = d.out.Write(append(line, '\n'))
	return err
}

// Commit implements sinks.DeletionWriter.
func (d *deletedLines) Commit() (sinks.File, error) {
	if err := d.out.Flush(); err != nil {
		return sinks.File{}, err
	}
	size, sum, err := d.file.Commit()
	return sinks.File{Path: deletedName, Rows: d.rows, Bytes: size, SHA256: sum}, err
}

// Abort implements sinks.DeletionWriter.
func (d *deletedLines) Abort() error { return d.file.Abort() }

// writeDeletions writes the deletions of the parts and counts them. A resource that
// is also in the output was not deleted: the output wins (F47). Memory is bounded:
// so many ids are held against the output at a time (I8).
func (x *execution) writeDeletions(ctx context.Context, deleted, output []*spool.Part, writers []sinks.DeletionWriter, sum *sinks.Deletions) error {
	var batch []export.Deletion
	flush := func() error {
		ids := make(map[spool.ID]bool, len(batch))
		for _, d := range batch {
			ids[spool.NewID(d.Type, d.ID)] = false
		}
		if err := spool.Delivered(ctx, output, ids); err != nil {
			return err
		}
		for _, d := range batch {
			if ids[spool.NewID(d.Type, d.ID)] {
				sum.Revived++
				continue
			}
			for _, w := range writers {
				if err := w.Add(d.Type, d.ID); err != nil {
					return err
				}
			}
			sum.Published++
		}
		batch = batch[:0]
		return nil
	}
	for _, p := range deleted {
		reject := func(spool.ResourceLine) error { sum.Rejected++; return nil }
		if err := eachDeletion(ctx, p, reject, func(d export.Deletion) error {
			if batch = append(batch, d); len(batch) < deletionBatch {
				return nil
			}
			return flush()
		}); err != nil {
			return fmt.Errorf("read deletions: %w", err)
		}
	}
	if len(batch) == 0 {
		return nil
	}
	if err := flush(); err != nil {
		return fmt.Errorf("write deletions: %w", err)
	}
	return nil
}

// deletionBatch is how many ids are held against the output at a time: some
// 20 MB.
const deletionBatch = 100_000

// notDeletion is the reason of a line of a deleted file that is no deletion (F46).
const notDeletion = "no transaction Bundle of deletions"

// writeRejected writes the lines that are no deletions, in the form of other
// quarantined ones.
func (x *execution) writeRejected(ctx context.Context, deleted []*spool.Part, w io.Writer) (n int64, err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	for _, p := range deleted {
		err := eachDeletion(ctx, p, func(l spool.ResourceLine) error {
			n++
			return spool.WriteBad(out, rejected(p, l), bytes.NewReader(l.Text))
		}, func(export.Deletion) error { return nil })
		if err != nil {
			return n, fmt.Errorf("read deletions: %w", err)
		}
	}
	return n, out.Flush()
}

func rejected(p *spool.Part, l spool.ResourceLine) spool.BadLine {
	return spool.BadLine{Part: p.Key(), Type: p.Info().Type, Line: l.Number + 1, Offset: l.Offset, Reason: notDeletion}
}

// eachDeletion yields the deletions of a part, and the lines that are none. Lines
// that were quarantined when they landed, and OperationOutcomes, are neither.
func eachDeletion(ctx context.Context, p *spool.Part, reject func(spool.ResourceLine) error, yield func(export.Deletion) error) error {
	return p.EachResource(ctx, func(l spool.ResourceLine) error {
		list, err := export.ParseDeleted(l.Text)
		if err != nil {
			return reject(l)
		}
		for _, d := range list {
			if err := yield(d); err != nil {
				return err
			}
		}
		return nil
	})
}
