package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/flue-fhir/flue/sinks"
)

// attachments checks that the index of the attachments adds up, that every content
// it names is there under the name of its SHA-256, and that there is no other.
// Neither the index nor the folder is held in memory (I8).
func (c *checker) attachments(ctx context.Context) error {
	a := c.report.Manifest.Attachments
	if a == nil {
		return nil
	}
	var problems list
	open := func() (io.ReadCloser, error) { return c.root.Open(sinks.AttachmentIndex) }
	if err := c.countAttachments(a, open, &problems); err != nil {
		// The index is missing or is none: what lies beside it cannot be judged.
		problems.add("%s: %v", sinks.AttachmentIndex, cause(err))
		c.tell(finish("attachments", "", problems.texts))
		return nil
	}
	var files, bytes int64
	err := sinks.EachContents(a.Fetched, open, func(set sinks.Contents) error {
		n, sum, err := c.contents(ctx, set, &problems)
		files, bytes = files+n, bytes+sum
		return err
	})
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		problems.add("%s: %v", sinks.AttachmentFolder, cause(err))
	}
	if len(problems.texts) == 0 && (files != a.Contents || bytes != a.Bytes) {
		problems.add("%d contents of %d bytes are there, the manifest says %d of %d", files, bytes, a.Contents, a.Bytes)
	}
	text := fmt.Sprintf("%d found, %d fetched, %d filtered, %d failed; %s of %d bytes with their SHA-256, and no others",
		a.Found, a.Fetched, a.Filtered, a.Failed, plural(files, "content"), bytes)
	c.tell(finish("attachments", text, problems.texts))
	return nil
}

// countAttachments holds the rows of the index against the manifest.
func (c *checker) countAttachments(a *sinks.Attachments, open func() (io.ReadCloser, error), problems *list) (err error) {
	r, err := open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	rows := map[sinks.AttachmentStatus]int64{}
	err = sinks.EachAttachment(r, func(row sinks.Attachment) error {
		switch row.Status {
		case sinks.Fetched, sinks.Filtered, sinks.Failed:
			rows[row.Status]++
			return nil
		}
		return errors.New("a row has a status that is not known")
	})
	if err != nil {
		return err
	}
	for _, want := range []struct {
		status sinks.AttachmentStatus
		n      int64
	}{{sinks.Fetched, a.Fetched}, {sinks.Filtered, a.Filtered}, {sinks.Failed, a.Failed}} {
		if rows[want.status] != want.n {
			problems.add("the index has %d rows that are %s, the manifest says %d", rows[want.status], want.status, want.n)
		}
	}
	if a.Fetched+a.Filtered+a.Failed != a.Found {
		problems.add("%d attachments were found, %d are accounted for", a.Found, a.Fetched+a.Filtered+a.Failed)
	}
	return nil
}

// contents reads the contents of a set, and looks for files that it should have.
func (c *checker) contents(ctx context.Context, set sinks.Contents, problems *list) (files, bytes int64, err error) {
	dir, err := c.root.Open(sinks.AttachmentFolder)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(c.Workers)
	var mu sync.Mutex
	there := map[string]bool{}
	for end := false; !end && gctx.Err() == nil; {
		entries, err := dir.ReadDir(512)
		if end = errors.Is(err, io.EOF); err != nil && !end {
			return 0, 0, errors.Join(err, group.Wait())
		}
		for _, e := range entries {
			size, named := set.Sizes[e.Name()]
			switch name := path.Join(sinks.AttachmentFolder, e.Name()); {
			case !sinks.IsContent(e.Name()) && name != sinks.AttachmentIndex && set.First():
				problems.add("%s: is not in the manifest", printable(name))
				continue
			case !set.Covers(e.Name()):
				continue
			case !named:
				problems.add("%s: is not in the index", path.Join(sinks.AttachmentFolder, e.Name()))
				continue
			}
			there[e.Name()] = true
			group.Go(func() error {
				fault, err := c.content(gctx, e, size)
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				files, bytes = files+1, bytes+size
				if fault != "" {
					problems.add("%s: %s", path.Join(sinks.AttachmentFolder, e.Name()), fault)
				}
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		return 0, 0, err
	}
	for name := range set.Sizes {
		if !there[name] {
			problems.add("%s: is missing", path.Join(sinks.AttachmentFolder, name))
		}
	}
	return files, bytes, nil
}

// content tells what is wrong with a content; "" when nothing is.
func (c *checker) content(ctx context.Context, e os.DirEntry, size int64) (fault string, err error) {
	if !e.Type().IsRegular() {
		return "is no regular file", nil
	}
	f, err := c.root.Open(path.Join(sinks.AttachmentFolder, e.Name()))
	if err != nil {
		return "cannot be read: " + cause(err).Error(), nil
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, reader{ctx, f})
	switch {
	case err != nil && ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return "cannot be read: " + cause(err).Error(), nil
	case n != size:
		return fmt.Sprintf("has %d bytes, the index says %d", n, size), nil
	case hex.EncodeToString(sum.Sum(nil)) != e.Name():
		return "its SHA-256 is another one than its name", nil
	}
	return "", nil
}

// mostProblems is how many differences of a kind are told one by one.
const mostProblems = 1000

// list gathers what differs, of very many only the first.
type list struct {
	mu    sync.Mutex
	texts []string
}

func (l *list) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.texts) < mostProblems {
		l.texts = append(l.texts, fmt.Sprintf(format, args...))
	}
}
