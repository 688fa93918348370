package attachment

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
)

// Content is an opened content.
type Content struct {
	io.ReadCloser        // as sent
	MediaType     string // as the server calls it, "" when it does not
	Encoding      string // "" or "gzip": of the bytes as sent
	Endless       bool   // a cut of the bytes as sent could not be told from their end (F33)
}

// Server is where contents come from.
type Server interface {
	// Open opens what a URL points at; mediaType is what is wanted. Errors are
	// *export.AttachmentError, or the context's.
	Open(ctx context.Context, url, mediaType string) (*Content, error)
	// Origin is where a URL leads, and whether that is the FHIR server; "" for a URL
	// that is not followed.
	Origin(url string) (origin string, own bool)
}

// Fetcher brings contents into a snapshot. It may be used by several goroutines at
// once, and is not to be copied after its first use.
type Fetcher struct {
	Server  Server
	Scratch func() (*spool.ScratchFile, error)
	// Create begins a file of the snapshot.
	Create  func(ctx context.Context, path string) (sinks.FileWriter, error)
	MIME    []string // patterns of the content types that are wanted; none: all
	MaxSize int64    // bytes of one content
	// Own says that the server's own contents (Binary) may be asked for: the token's
	// scopes cover them.
	Own     bool
	Retries int // of a body that breaks
	// Wait waits before a body is asked for again that broke so many times.
	Wait func(ctx context.Context, times int) error
	// Record makes the contents of a FHIR server that is unavailable rows that
	// failed, like those of any other origin; without it Run stops.
	Record bool

	mu     sync.Mutex
	down   map[string]int  // by origin: contents in a row that failed for a reason that may pass
	staged map[string]bool // some of the contents that this process has staged, by sum
}

const (
	// inARow is how many contents in a row must fail for a reason that may pass
	// before an origin counts as unavailable.
	inARow = 10
	// maxOrigins bounds the origins that are watched.
	maxOrigins = 1000
	// maxStaged bounds the contents that are known to be staged: a few megabytes.
	maxStaged = 20_000
	// wrapping is what the JSON around the data of a Binary may take.
	wrapping = 1 << 20
)

// result is what came of an attachment.
type result struct {
	row     sinks.Attachment
	own     bool  // it lies at the FHIR server
	asked   bool  // the server was asked
	passing error // why it failed, when that may pass
}

// fault is why a content that came is not taken.
type fault struct {
	status sinks.AttachmentStatus
	code   string
}

func (f *fault) Error() string { return "attachment not taken: " + f.code }

// mismatch reports whether the content is another one than the resource says.
func (f *fault) mismatch() bool { return f.code == "size-mismatch" || f.code == "hash-mismatch" }

// fetch fetches one attachment. The error is the local disk's, the snapshot's or
// the context's: whatever else goes wrong is in the result.
func (f *Fetcher) fetch(ctx context.Context, a Found) (result, error) {
	res := result{row: a.Row}
	res.row.Status = sinks.Failed
	origin, own := f.Server.Origin(a.URL)
	res.own = own
	switch {
	case a.Row.ContentType != "" && !matches(f.MIME, a.Row.ContentType):
		res.row.Status, res.row.Code = sinks.Filtered, "mime"
		return res, nil
	case a.Row.Size > f.MaxSize:
		res.row.Status, res.row.Code = sinks.Filtered, "size"
		return res, nil
	case origin == "":
		res.row.Code = "url"
		return res, nil
	case own && !f.Own:
		res.row.Code = "not-granted"
		return res, nil
	case (!own || f.Record) && f.unavailable(origin):
		res.row.Code = "unavailable"
		return res, nil
	}
	res.asked = true
	row, err := f.bring(ctx, a)
	var refused *export.AttachmentError
	var bad *fault
	switch {
	case err == nil:
		res.row = row
	case ctx.Err() != nil:
		return res, context.Cause(ctx)
	case errors.As(err, &bad):
		res.row.Status, res.row.Code = bad.status, bad.code
	case errors.As(err, &refused):
		res.row.Code = refused.Code
		if refused.Passing {
			res.passing = err
		}
	default:
		return res, err
	}
	f.note(origin, res.passing != nil)
	return res, nil
}

func (f *Fetcher) unavailable(origin string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.down[origin] >= inARow
}

func (f *Fetcher) note(origin string, failed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !failed:
		delete(f.down, origin)
	case f.down == nil:
		f.down = map[string]int{origin: 1}
	case f.down[origin] > 0 || len(f.down) < maxOrigins:
		f.down[origin]++
	}
}

// bring fetches a content, again where its body broke and once where it is not what
// the resource says, and stages it.
func (f *Fetcher) bring(ctx context.Context, a Found) (row sinks.Attachment, err error) {
	sent, err := f.Scratch()
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, sent.Close()) }()
	for attempt := 0; ; attempt++ {
		row, err = f.attempt(ctx, a, sent)
		var broken *brokenError
		var bad *fault
		switch {
		case ctx.Err() != nil:
			return row, err
		case errors.As(err, &bad) && bad.mismatch() && attempt == 0:
			// It may have been spoilt on its way.
		case !errors.As(err, &broken):
			return row, err
		case attempt >= f.Retries:
			return row, &export.AttachmentError{Code: "network", Passing: true, Err: err}
		}
		if err := f.Wait(ctx, attempt+1); err != nil {
			return row, err
		}
		if err := sent.Reset(); err != nil {
			return row, err
		}
	}
}

// brokenError is a body that broke off. Its text does not hold the cause's, which
// may hold a URL.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return "the body broke off" }
func (e *brokenError) Unwrap() error { return e.err }

// attempt fetches, checks and stages a content once.
func (f *Fetcher) attempt(ctx context.Context, a Found, sent *spool.ScratchFile) (sinks.Attachment, error) {
	row := a.Row
	body, err := f.Server.Open(ctx, a.URL, row.ContentType)
	if err != nil {
		return row, err
	}
	wrapped := isFHIR(body.MediaType)
	if row.ContentType == "" && !wrapped {
		row.ContentType = body.MediaType
	}
	unproved := body.Endless && body.Encoding == "" && row.Size == 0 && a.Hash == ""
	limit := f.MaxSize
	if wrapped {
		limit += limit/3 + wrapping
	}
	var s sums
	switch {
	case !wrapped && !matches(f.MIME, row.ContentType):
		err = &fault{sinks.Filtered, "mime"}
	case isPage(body.MediaType) && !isPage(row.ContentType):
		err = &fault{sinks.Failed, "page"} // F35: of a login, or an error
	case isFHIRXML(body.MediaType) && !isFHIRXML(a.Row.ContentType):
		err = &fault{sinks.Failed, "binary"}
	case body.Encoding != "" && body.Encoding != "gzip":
		err = &fault{sinks.Failed, "protocol"}
	case unproved && !wrapped: // a wrapping ends with its last brace
		err = &fault{sinks.Failed, "unproved"}
	default:
		s, err = receive(body, sent, limit)
	}
	// Whether what is left of it can be closed is no matter.
	_ = body.Close()
	switch {
	case err != nil:
		return row, err
	case wrapped:
		return f.unwrapAndStage(ctx, a, sent, s, body.MediaType, unproved)
	}
	return f.checkAndStage(ctx, a, row.ContentType, sent, s)
}

// unwrapAndStage stages what a FHIR resource is the wrapping of, or the resource
// itself, where that is what the attachment is and its end is proved.
func (f *Fetcher) unwrapAndStage(ctx context.Context, a Found, sent *spool.ScratchFile, s sums, mediaType string, unproved bool) (row sinks.Attachment, err error) {
	content, err := f.Scratch()
	if err != nil {
		return a.Row, err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	inner := newSums()
	out := &sink{w: io.MultiWriter(content, inner), left: f.MaxSize}
	typ, err := unwrap(sent.Reader(), out)
	switch {
	case out.err != nil:
		return a.Row, out.err
	case err == nil:
		return f.checkAndStage(ctx, a, cmp.Or(a.Row.ContentType, typ), content, inner)
	case !errors.Is(err, errNotBinary) || a.Row.ContentType != "" && !isFHIR(a.Row.ContentType):
		return a.Row, &fault{sinks.Failed, "binary"}
	case unproved:
		return a.Row, &fault{sinks.Failed, "unproved"}
	}
	return f.checkAndStage(ctx, a, cmp.Or(a.Row.ContentType, mediaType), sent, s)
}

// checkAndStage stages a content that is what the resource says.
func (f *Fetcher) checkAndStage(ctx context.Context, a Found, contentType string, content *spool.ScratchFile, s sums) (sinks.Attachment, error) {
	row := a.Row
	row.ContentType = contentType
	switch {
	case !matches(f.MIME, contentType):
		return row, &fault{sinks.Filtered, "mime"}
	case content.Size() > f.MaxSize:
		return row, &fault{sinks.Filtered, "size"}
	case row.Size > 0 && content.Size() != row.Size:
		return row, &fault{sinks.Failed, "size-mismatch"}
	case a.Hash != "" && !s.agree(a.Hash):
		return row, &fault{sinks.Failed, "hash-mismatch"}
	}
	row.Status, row.Size, row.SHA256 = sinks.Fetched, content.Size(), hex.EncodeToString(s.sha256.Sum(nil))
	return row, f.stage(ctx, row, content)
}

// receive copies a body, without its encoding, of at most limit bytes (F36).
func receive(body *Content, scratch *spool.ScratchFile, limit int64) (sums, error) {
	s := newSums()
	from := &source{r: body}
	var in io.Reader = from
	if body.Encoding == "gzip" {
		z, err := gzip.NewReader(from)
		if err != nil {
			return s, &brokenError{err}
		}
		in = z
	}
	out := &sink{w: io.MultiWriter(scratch, s), left: limit}
	_, err := io.Copy(out, in)
	switch {
	case out.err != nil:
		return s, out.err
	case err != nil:
		return s, &brokenError{err}
	}
	return s, nil
}

// source hides what else a body can do, so that io.Copy goes through sink.
type source struct{ r io.Reader }

func (s *source) Read(p []byte) (int, error) { return s.r.Read(p) }

// sink takes so many bytes and keeps its own error apart from the reader's.
type sink struct {
	w    io.Writer
	left int64
	err  error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.left -= int64(len(p)); s.left < 0 {
		s.err = &fault{sinks.Filtered, "size"}
		return 0, s.err
	}
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}

// stage makes a content a file of the snapshot, under the name of its sum. One that
// an earlier try staged is replaced by the same bytes.
func (f *Fetcher) stage(ctx context.Context, row sinks.Attachment, content *spool.ScratchFile) error {
	f.mu.Lock()
	known := f.staged[row.SHA256]
	f.mu.Unlock()
	if known {
		return nil
	}
	w, err := f.Create(ctx, sinks.AttachmentFolder+"/"+row.SHA256)
	if err != nil {
		return fmt.Errorf("stage attachment: %w", err)
	}
	if _, err := io.Copy(w, content.Reader()); err != nil {
		return errors.Join(fmt.Errorf("stage attachment: %w", err), w.Abort())
	}
	size, sum, err := w.Commit()
	if err != nil {
		return fmt.Errorf("stage attachment: %w", err)
	}
	if size != row.Size || sum != row.SHA256 {
		return errors.New("stage attachment: the scratch file changed while it was read")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.staged == nil || len(f.staged) >= maxStaged {
		f.staged = map[string]bool{}
	}
	f.staged[sum] = true
	return nil
}
