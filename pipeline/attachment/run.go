package attachment

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
)

// Walk calls yield with attachments until it returns an error, always with the
// same ones in the same order.
type Walk func(yield func(Found) error) error

// DownError is a FHIR server that failed for many attachments in a row. Nothing of
// them is noted: the next try asks for them again.
type DownError struct{ Err error }

func (e *DownError) Error() string {
	return fmt.Sprintf("the server failed for %d attachments in a row: %v", inARow, e.Err)
}

// Unwrap returns the last of the failures.
func (e *DownError) Unwrap() error { return e.Err }

// Class is "auth" where the token is the reason; otherwise it may pass.
func (e *DownError) Class() string {
	var refused *export.AttachmentError
	if errors.As(e.Err, &refused) && refused.Code == "unauthorized" {
		return "auth"
	}
	return ""
}

// Hint says what to do about it.
func (e *DownError) Hint() string {
	return "run the job again later: what was fetched is kept; attachments.on_unavailable: record publishes without the rest"
}

// Run fetches the attachments of a walk, so many at a time, and adds a row for each
// to the notes, in the order of the walk. What an earlier try noted is passed over.
// done is called with each new row, by one goroutine at a time. Errors are those
// of the walk, the local disk, the snapshot and the context, and *DownError.
func (f *Fetcher) Run(ctx context.Context, walk Walk, notes *spool.Notes, workers int, done func(sinks.Attachment)) error {
	earlier, err := skip(walk, notes)
	if err != nil {
		return err
	}
	// Bounded: what waits here is not yet noted.
	order := make(chan chan result, 8*workers)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(order)
		return f.start(ctx, walk, earlier, workers, order)
	})
	group.Go(func() error { return f.keep(ctx, notes, order, done) })
	return group.Wait()
}

// errStop ends a walk early.
var errStop = errors.New("seen enough")

// skip returns how many attachments of the walk are noted. Notes about others are
// cut off: they are of a walk that has changed.
func skip(walk Walk, notes *spool.Notes) (n int64, err error) {
	if notes.Size() == 0 {
		return 0, nil
	}
	lines := bufio.NewReaderSize(notes.Open(0), 64<<10)
	var at int64
	err = walk(func(a Found) error {
		line, err := lines.ReadBytes('\n')
		if err != nil { // the end: notes are whole lines
			return errStop
		}
		var row sinks.Attachment
		if json.Unmarshal(line, &row) != nil || row.Type != a.Row.Type || row.ID != a.Row.ID || row.Path != a.Row.Path {
			return errStop
		}
		at += int64(len(line))
		n++
		return nil
	})
	if err != nil && !errors.Is(err, errStop) {
		return 0, err
	}
	return n, notes.Cut(at)
}

// start walks on behind the attachments that are noted, and has each fetched. The
// results come in the order of the walk.
func (f *Fetcher) start(ctx context.Context, walk Walk, noted int64, workers int, order chan<- chan result) error {
	fetches, ctx := errgroup.WithContext(ctx)
	fetches.SetLimit(workers)
	err := walk(func(a Found) error {
		if noted > 0 {
			noted--
			return nil
		}
		one := make(chan result, 1)
		select {
		case order <- one:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		fetches.Go(func() error {
			res, err := f.fetch(ctx, a)
			if err == nil {
				one <- res
			}
			return err
		})
		return nil
	})
	// The first of the two is the reason of the other.
	if ferr := fetches.Wait(); ferr != nil {
		return ferr
	}
	return err
}

// keep notes the results.
func (f *Fetcher) keep(ctx context.Context, notes *spool.Notes, order <-chan chan result, done func(sinks.Attachment)) error {
	troubled, good := 0, int64(0)
	for one := range order {
		var res result
		select {
		case res = <-one:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		switch {
		case !res.own || !res.asked:
		case res.passing == nil:
			troubled = 0
		default:
			if troubled++; troubled == 1 {
				good = notes.Size()
			}
			if troubled >= inARow && !f.Record {
				return errors.Join(&DownError{res.passing}, notes.Cut(good))
			}
		}
		var line bytes.Buffer
		enc := json.NewEncoder(&line)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(res.row); err != nil {
			return fmt.Errorf("encode attachment: %w", err)
		}
		if err := notes.Add(bytes.TrimSuffix(line.Bytes(), []byte("\n"))); err != nil {
			return err
		}
		done(res.row)
	}
	return nil
}
