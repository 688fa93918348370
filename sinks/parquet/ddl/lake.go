package ddl

import (
	"strings"

	"github.com/flue-fhir/flue/sinks/parquet"
)

// duckDB makes a view, which reads the files in place and follows them.
func (s *script) duckDB() {
	s.line("CREATE OR REPLACE VIEW %s AS SELECT * FROM read_parquet(%s);", double(s.table), text(s.local()))
	for i := range s.doc.Columns {
		if c := &s.doc.Columns[i]; c.Doc != "" {
			s.line("COMMENT ON COLUMN %s.%s IS %s;", double(s.table), double(c.Name), text(c.Doc))
		}
	}
}

// spark makes an external table. It passes over _schema.json, as over every name
// with an underscore.
func (s *script) spark() {
	t := &types{
		leaves: map[string]string{"string": "STRING", "integer": "INT", "boolean": "BOOLEAN", "timestamp": "TIMESTAMP", "decimal(32,6)": "DECIMAL(32,6)"},
		list:   "ARRAY<%s>", group: "STRUCT<%s>",
	}
	t.fields = func(c *parquet.Column) string { return back(c.Name) + ": " + t.of(c) }
	location := strings.TrimSuffix(s.local(), "*.parquet")
	if s.Location != "" {
		location = s.remote("")
	}
	s.line("CREATE TABLE IF NOT EXISTS %s (", back(s.table))
	s.columns(func(c *parquet.Column) string { return back(c.Name) + " " + t.of(c) + comment(c, " COMMENT ") })
	s.line(")\nUSING parquet\nLOCATION %s;", escaped(location))
}

// athena makes an external table. Names of tables and columns are lower-case
// there, and every file below the location is read whose name begins with
// neither an underscore nor a dot.
func (s *script) athena() {
	t := &types{
		leaves: map[string]string{"string": "string", "integer": "int", "boolean": "boolean", "timestamp": "timestamp", "decimal(32,6)": "decimal(32,6)"},
		list:   "array<%s>", group: "struct<%s>",
	}
	t.fields = func(c *parquet.Column) string { return back(strings.ToLower(c.Name)) + ":" + t.of(c) }
	location := s.remote("s3://BUCKET/PREFIX")
	s.line("-- aws s3 sync %s %s --delete", strings.TrimSuffix(s.local(), "*.parquet"), location)
	s.line("CREATE EXTERNAL TABLE IF NOT EXISTS %s (", back(strings.ToLower(s.table)))
	s.columns(func(c *parquet.Column) string {
		return back(strings.ToLower(c.Name)) + " " + strings.ReplaceAll(t.of(c), ", ", ",") + comment(c, " COMMENT ")
	})
	s.line(")\nSTORED AS PARQUET\nLOCATION %s;", escaped(location))
}

// mostComment is how long Athena's catalogue lets a comment be.
const mostComment = 255

// comment is a column's description behind the keyword; empty without one.
func comment(c *parquet.Column, keyword string) string {
	if c.Doc == "" {
		return ""
	}
	doc := c.Doc
	if r := []rune(doc); len(r) > mostComment {
		doc = string(r[:mostComment-1]) + "…"
	}
	return keyword + escaped(doc)
}
