package pipeline

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/internal/fhirjson"
	"github.com/flue-fhir/flue/pipeline/attachment"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
)

// fetchAttachments fetches what the attachments of the published resources point
// at, where the job asks for that, and returns the index, which is the one file
// of them that the manifest lists. The contents are in the staging then (P34).
func (x *execution) fetchAttachments(ctx context.Context, b *board) (files []sinks.File, err error) {
	want := x.r.Job.Attachments
	if want == nil || x.bulk == nil {
		return nil, nil
	}
	found, err := x.openAttached(ctx, b, want.Types)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, found.close()) }()
	// Notes about other parts are not about these attachments.
	notes, err := x.spool.Notes("attachments-" + digest(struct {
		Parts  []string
		Wanted *wanted
	}{found.inputs, wantedOf(want)}))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, notes.Close()) }()
	if x.plan.NoBinary {
		x.warn("attachments-not-granted", "attachments that lie at the FHIR server are not fetched: Binary may not be read", 1)
	}
	x.obs.event(Event{Kind: "attachments"})
	f := &attachment.Fetcher{
		Server: attachmentServer{x}, Scratch: x.spool.Scratch, Create: x.createAttachment,
		MIME: want.MIME, MaxSize: want.MaxSize, Own: !x.plan.NoBinary, Record: want.OnUnavailable == "record",
		Retries: x.retries(),
		Wait: func(ctx context.Context, times int) error {
			x.retried("attachment")
			return sleep(ctx, backoff(times, rand.Float64(), maxWait))
		},
	}
	err = f.Run(ctx, found.walk(ctx, x.r.Job.Policies.MaxLine), notes, cmp.Or(want.Parallel, x.downloads()), func(sinks.Attachment) {
		x.obs.count(func(p *Progress) { p.Attachments++ })
		x.step("attachment noted")
	})
	if err != nil {
		return nil, fmt.Errorf("fetch attachments: %w", err)
	}
	sum := &sinks.Attachments{Types: want.Types, MIME: want.MIME, MaxSize: want.MaxSize}
	if err := countAttachments(sum, notes); err != nil {
		return nil, err
	}
	x.attachments = sum
	if sum.Failed > 0 {
		x.warn("attachments-failed", "attachments could not be fetched, their resources are published: "+reasonsOf(sum), sum.Failed)
	}
	index, err := x.writeFile(ctx, sinks.AttachmentIndex, "", sum.Found, func(w io.Writer) (int64, error) {
		r := notes.Open(0)
		_, err := io.Copy(w, r)
		return sum.Found, errors.Join(err, r.Close())
	})
	if err != nil {
		return nil, err
	}
	x.step("attachments fetched")
	return []sinks.File{*index}, nil
}

// createAttachment begins the file of a content.
func (x *execution) createAttachment(ctx context.Context, path string) (sinks.FileWriter, error) {
	w, err := x.stage.Create(ctx, path)
	return attachmentFile{w, x}, err
}

// attachmentFile lets tests stop the process when it is staged and not yet noted.
type attachmentFile struct {
	sinks.FileWriter
	x *execution
}

func (f attachmentFile) Commit() (int64, string, error) {
	size, sum, err := f.FileWriter.Commit()
	f.x.step("attachment staged")
	return size, sum, err
}

// countAttachments counts what the notes say.
func countAttachments(sum *sinks.Attachments, notes *spool.Notes) error {
	type reason struct {
		status sinks.AttachmentStatus
		code   string
	}
	reasons := map[reason]int64{} // few: the codes are ours
	open := func() (io.ReadCloser, error) { return notes.Open(0), nil }
	err := sinks.EachAttachment(notes.Open(0), func(a sinks.Attachment) error {
		sum.Found++
		switch a.Status {
		case sinks.Fetched:
			sum.Fetched++
			return nil
		case sinks.Filtered:
			sum.Filtered++
		default:
			sum.Failed++
		}
		reasons[reason{a.Status, a.Code}]++
		return nil
	})
	if err != nil {
		return err
	}
	for r, n := range reasons {
		sum.Reasons = append(sum.Reasons, sinks.AttachmentReason{Status: r.status, Code: r.code, Count: n})
	}
	slices.SortFunc(sum.Reasons, func(a, b sinks.AttachmentReason) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Code, b.Code))
	})
	return sinks.EachContents(sum.Fetched, open, func(c sinks.Contents) error {
		sum.Contents += int64(len(c.Sizes))
		for _, size := range c.Sizes {
			sum.Bytes += size
		}
		return nil
	})
}

// reasonsOf says why attachments failed, by code.
func reasonsOf(sum *sinks.Attachments) string {
	var list []string
	for _, r := range sum.Reasons {
		if r.Status == sinks.Failed {
			list = append(list, fmt.Sprintf("%s %d", r.Code, r.Count))
		}
	}
	return strings.Join(list, ", ")
}

// attached is the published lines of the types that have attachments.
type attached struct {
	selections []*spool.Selection
	inputs     []string // the parts, by their content
}

// openAttached selects them, as the conversion did.
func (x *execution) openAttached(ctx context.Context, b *board, types []string) (*attached, error) {
	a := &attached{}
	for _, typ := range slices.Sorted(slices.Values(types)) {
		parts, _ := b.of(typ)
		if len(parts) == 0 {
			continue
		}
		sel, err := x.spool.Select(ctx, typ, parts, x.selectOptions(newBudget(x.r.Job.Policies.Memory), parts))
		if err != nil {
			return nil, errors.Join(err, a.close())
		}
		a.selections = append(a.selections, sel)
		a.inputs = append(a.inputs, typ+" "+inputOf(parts))
	}
	return a, nil
}

func (a *attached) close() (err error) {
	for _, sel := range a.selections {
		err = errors.Join(err, sel.Close())
	}
	return err
}

// walk yields the attachments of the published lines, in the order of delivery.
func (a *attached) walk(ctx context.Context, maxLine int64) attachment.Walk {
	return func(yield func(attachment.Found) error) error {
		for _, sel := range a.selections {
			for _, v := range sel.Views {
				err := eachPublished(ctx, v, maxLine, func(line []byte) error {
					found, err := attachment.Find(sel.Type, line)
					for _, f := range found {
						if err := yield(f); err != nil {
							return err
						}
					}
					return err
				})
				if err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// eachPublished yields the lines of a part that are published. They are valid until
// yield returns.
func eachPublished(ctx context.Context, v *spool.View, maxLine int64, yield func(line []byte) error) (err error) {
	body, err := v.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	skip, more := int64(-1), false
	next := func() (int64, bool) { return -1, false }
	if skips := v.Skips(); skips != nil {
		var stop func()
		next, stop = iter.Pull(iter.Seq[int64](skips))
		defer stop()
		skip, more = next()
	}
	lines := fhirjson.NewReader(body, maxLine)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
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
		for more && skip < lines.Number() {
			skip, more = next()
		}
		if more && skip == lines.Number() {
			continue
		}
		if err := yield(line); err != nil {
			return err
		}
	}
}

// attachmentServer opens contents with the token where it may go (P15, P34).
type attachmentServer struct{ x *execution }

func (s attachmentServer) Origin(url string) (string, bool) { return s.x.bulk.AttachmentOrigin(url) }

func (s attachmentServer) Open(ctx context.Context, url, mediaType string) (*attachment.Content, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	body, err := s.x.bulk.OpenAttachment(ctx, url, !s.x.plan.OpenFiles, mediaType)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	r := newStallReader(body, s.x.stall(), cancel, func(n int) {
		s.x.meter.bytes.Add(int64(n))
		s.x.obs.count(func(p *Progress) { p.BytesRead += int64(n) })
	})
	return &attachment.Content{
		ReadCloser: watchedBody{Reader: bufio.NewReaderSize(r, 64<<10), close: func() error {
			r.stop()
			cancel(nil)
			return body.Close()
		}},
		MediaType: body.MediaType, Encoding: body.Encoding, Endless: body.Endless,
	}, nil
}

// watchedBody is a body whose stalling is watched for.
type watchedBody struct {
	io.Reader
	close func() error
}

func (b watchedBody) Close() error { return b.close() }
