package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/sync/errgroup"

	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/parquet"
)

// files checks that every file of the manifest is there as it was written, with
// as many rows, and that there is no other.
func (c *checker) files(ctx context.Context) error {
	content := make([]string, len(c.seen)) // what differs, by file
	rows := make([]string, len(c.seen))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.Workers)
	for i, s := range c.seen {
		group.Go(func() (err error) {
			content[i], rows[i], err = c.file(ctx, s)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	problems := some(content)
	foreign, err := c.foreign()
	if err != nil {
		return err
	}
	var bytes, total int64
	for _, s := range c.seen {
		bytes += s.Bytes
		total += s.Rows
	}
	c.tell(finish("files", fmt.Sprintf("%s of %d bytes with their SHA-256, and no others", plural(int64(len(c.seen)), "file"), bytes), append(problems, foreign...)))
	c.tell(finish("rows", fmt.Sprintf("%d counted again", total), some(rows)))
	return nil
}

// some are the texts that are not empty.
func some(texts []string) (list []string) {
	for _, t := range texts {
		if t != "" {
			list = append(list, t)
		}
	}
	return list
}

// file reads one file; it tells what is wrong with its bytes, and with its rows.
func (c *checker) file(ctx context.Context, s *seen) (content, rows string, err error) {
	name := printable(s.Path)
	fail := func(format string, args ...any) string {
		s.broken = true
		return name + ": " + fmt.Sprintf(format, args...)
	}
	info, err := c.root.Lstat(s.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail("is missing"), "", nil
	case err != nil:
		return fail("cannot be read: %v", cause(err)), "", nil
	case !info.Mode().IsRegular():
		return fail("is no regular file"), "", nil
	}
	f, err := c.root.Open(s.Path)
	if err != nil {
		return fail("cannot be read: %v", cause(err)), "", nil
	}
	defer f.Close()
	hash := sha256.New()
	in := io.TeeReader(reader{ctx, f}, hash)
	format := formatOf(s.Path)
	var lines int64
	var bad error
	if format == ndjsonFormat {
		lines, bad = countLines(s.Path, in)
	}
	size := info.Size()
	if _, err := io.Copy(io.Discard, in); err != nil {
		if ctx.Err() != nil {
			return "", "", context.Cause(ctx)
		}
		return fail("cannot be read: %v", cause(err)), "", nil
	}
	if size != s.Bytes {
		content = fail("has %d bytes, the manifest says %d", size, s.Bytes)
	} else if sum := hex.EncodeToString(hash.Sum(nil)); sum != s.SHA256 {
		content = fail("its SHA-256 is another one than the manifest says")
	}
	switch format {
	case ndjsonFormat:
		s.rows = lines
	case parquetFormat:
		var footer *parquet.Footer
		if footer, bad = parquet.ReadFooter(f, size); bad == nil {
			s.rows = footer.Rows
		}
	}
	switch {
	case bad != nil:
		rows = fail("its rows cannot be counted: %v", cause(bad))
	case s.rows != s.Rows:
		rows = fail("has %d rows, the manifest says %d", s.rows, s.Rows)
	}
	return content, rows, nil
}

// foreign are the files that the manifest does not know.
func (c *checker) foreign() (list []string, err error) {
	known := map[string]bool{manifestName: true}
	for _, s := range c.seen {
		known[s.Path] = true
	}
	attachments := c.report.Manifest.Attachments != nil
	err = fs.WalkDir(c.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case attachments && d != nil && d.IsDir() && name == sinks.AttachmentFolder:
			return fs.SkipDir // checked by its index
		case err != nil:
			list = append(list, printable(name)+": cannot be read: "+cause(err).Error())
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
		case !d.IsDir() && !known[name]:
			list = append(list, printable(name)+": is not in the manifest")
		}
		return nil
	})
	return list, err
}

// Formats of files whose rows can be counted.
const (
	otherFormat   = ""
	ndjsonFormat  = "ndjson"
	parquetFormat = "parquet"
)

func formatOf(name string) string {
	switch ext := path.Ext(strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")); ext {
	case ".ndjson":
		return ndjsonFormat
	case ".parquet":
		return parquetFormat
	}
	return otherFormat
}

// reader stops to read when the context ends.
type reader struct {
	ctx context.Context
	f   *os.File
}

func (r reader) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.f.Read(b)
}

// cause is the error without the path that is told beside it.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// printable is a path of a manifest or a folder as it may be shown.
func printable(name string) string {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}
