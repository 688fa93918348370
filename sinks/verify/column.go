package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"

	"github.com/flue-fhir/flue/sinks/parquet"
)

// mostDocument bounds the bytes of a _schema.json.
const mostDocument = 64 << 20

// columns checks that all Parquet files of a type have one schema, that of its
// _schema.json, which is also the one that the next run goes on with.
func (c *checker) columns(ctx context.Context) error {
	byType := map[string][]*seen{}
	files := int64(0)
	for _, s := range c.seen {
		if formatOf(s.Path) == parquetFormat && path.Dir(s.Path) == parquetFormat+"/"+s.Type {
			byType[s.Type] = append(byType[s.Type], s)
			files++
		}
	}
	if files == 0 {
		c.tell(Finding{Check: "columns", Status: Skipped, Text: "the snapshot has no Parquet"})
		return nil
	}
	var problems []string
	for _, typ := range slices.Sorted(maps.Keys(byType)) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		problems = append(problems, c.columnsOf(typ, byType[typ])...)
	}
	c.tell(finish("columns", fmt.Sprintf("one schema in all files of a type: %s of %s", plural(files, "file"), plural(int64(len(byType)), "type")), problems))
	return nil
}

// columnsOf tells what is wrong with the schemas of a type.
func (c *checker) columnsOf(typ string, files []*seen) (problems []string) {
	fault := func(name, format string, args ...any) {
		problems = append(problems, printable(name)+": "+fmt.Sprintf(format, args...))
	}
	name := parquetFormat + "/" + typ + "/" + parquet.SchemaName
	text, err := read(c.root, name)
	if err != nil {
		fault(name, "cannot be read: %v", cause(err))
		return problems
	}
	doc, err := parquet.ReadDocument(text)
	if err != nil {
		fault(name, "%v", err)
		return problems
	}
	if doc.ResourceType != typ {
		fault(name, "is of another type")
	}
	record, ok := c.report.Manifest.Schemas[parquetFormat][typ]
	if !ok {
		fault(name, "the manifest has no record of its columns")
	} else if kept, err := parquet.Describe(typ, []byte(record)); err != nil {
		fault(name, "the manifest's record of its columns: %v", err)
	} else if d := parquet.Compare(doc.Columns, kept.Columns); len(d) > 0 {
		fault(name, "the manifest's record has other columns: %s", first(d))
	}
	sum := sha256.Sum256(text)
	hash := "sha256:" + hex.EncodeToString(sum[:])
	for _, s := range files {
		if s.broken {
			continue // that is told already
		}
		footer, err := c.footer(s)
		switch {
		case err != nil:
			fault(s.Path, "%v", cause(err))
			continue
		case footer.ResourceType != typ:
			fault(s.Path, "its footer names another type")
		case footer.SchemaHash != hash:
			fault(s.Path, "its footer names another _schema.json")
		case footer.Run != c.report.Manifest.Run:
			fault(s.Path, "its footer names another run")
		}
		if d := parquet.Compare(doc.Columns, footer.Columns); len(d) > 0 {
			fault(s.Path, "has other columns than _schema.json: %s", first(d))
		}
	}
	return problems
}

// first names the first of several columns.
func first(d []parquet.Difference) string {
	text := fmt.Sprintf("%s is %s", printable(d[0].Column), d[0].Change)
	if len(d) > 1 {
		text += fmt.Sprintf(" (%d in all)", len(d))
	}
	return text
}

func (c *checker) footer(s *seen) (*parquet.Footer, error) {
	f, err := c.root.Open(s.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parquet.ReadFooter(f, s.Bytes)
}

// read reads a small file.
func read(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, mostDocument))
}
