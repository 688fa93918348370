package pipeline

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/internal/fhirjson"
	"github.com/flue-fhir/flue/pipeline/spool"
)

// deletion is a resource that the server says was deleted.
type deletion struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Run  string `json:"run"`
}

// deletions are what the deleted files of a run came to.
type deletions struct {
	published int64
	revived   int64 // also in the output, which wins (F47)
	unread    int64 // lines that are no deletions (F46)
}

// writeDeletions writes the deletions of the parts, as NDJSON of type, id and
// run. A resource that is also in the output was not deleted: the output wins
// (F47). Memory is bounded: so many ids are held against the output at a time.
// Lines that are no deletions are counted.
func (x *execution) writeDeletions(ctx context.Context, deleted, output []*spool.Part, w io.Writer) (deletions, error) {
	var sum deletions
	out := bufio.NewWriterSize(w, 64<<10)
	batch := make([]deletion, 0, deletionBatch)
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
				sum.revived++
				continue
			}
			line, err := json.Marshal(d)
			if err != nil {
				return err
			}
			if _, err := out.Write(append(line, '\n')); err != nil {
				return err
			}
			sum.published++
		}
		batch = batch[:0]
		return nil
	}
	for _, p := range deleted {
		reject := func([]byte) error { sum.unread++; return nil }
		if err := x.eachDeletion(p, reject, func(d deletion) error {
			if batch = append(batch, d); len(batch) < deletionBatch {
				return nil
			}
			return flush()
		}); err != nil {
			return sum, fmt.Errorf("read deletions: %w", err)
		}
	}
	if err := flush(); err != nil {
		return sum, fmt.Errorf("write deletions: %w", err)
	}
	return sum, out.Flush()
}

// deletionBatch is how many ids are held against the output at a time: some
// 20 MB.
const deletionBatch = 100_000

// writeRejected writes the lines that are no deletions, as they came.
func (x *execution) writeRejected(deleted []*spool.Part, w io.Writer) (n int64, err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	for _, p := range deleted {
		err := x.eachDeletion(p, func(line []byte) error {
			n++
			if _, err := out.Write(line); err != nil {
				return err
			}
			return out.WriteByte('\n')
		}, func(deletion) error { return nil })
		if err != nil {
			return n, fmt.Errorf("read deletions: %w", err)
		}
	}
	return n, out.Flush()
}

func (x *execution) eachDeletion(p *spool.Part, reject func([]byte) error, yield func(deletion) error) (err error) {
	body, err := p.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	lines := fhirjson.NewReader(body, x.r.Job.Policies.MaxLine)
	for {
		line, err := lines.Next()
		var long *fhirjson.TooLongError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &long):
			continue // quarantined when it landed
		case err != nil:
			return err
		}
		list, err := export.ParseDeleted(line)
		if err != nil {
			if !json.Valid(line) {
				continue // quarantined when it landed
			}
			if err := reject(line); err != nil {
				return err
			}
			continue
		}
		for _, d := range list {
			if err := yield(deletion{Type: d.Type, ID: d.ID, Run: x.id}); err != nil {
				return err
			}
		}
	}
}
