// Package ddl writes the SQL that makes a published resource type a table of an
// engine: what to create, and how to load or point it at the Parquet files. The
// text is a pure function of the columns; nothing is run.
package ddl

import (
	"fmt"
	"strings"

	"github.com/flue-fhir/flue/sinks/parquet"
)

// Engine is a dialect.
type Engine string

// The engines.
const (
	DuckDB    Engine = "duckdb"
	Spark     Engine = "spark"
	BigQuery  Engine = "bigquery"
	Snowflake Engine = "snowflake"
	Athena    Engine = "athena"
	Postgres  Engine = "postgres"
)

// Engines are all of them.
func Engines() []Engine { return []Engine{DuckDB, Spark, BigQuery, Snowflake, Athena, Postgres} }

// Options say where the files are.
type Options struct {
	// Folder holds a folder of Parquet files for each type, on this machine:
	// SNAPSHOT/parquet.
	Folder string
	// Location is the same in the cloud, for engines that read it there:
	// "s3://BUCKET/fhir". Empty stands for a place to be filled in.
	Location string
}

// Script writes the statements for one type. Each ends with a semicolon and a
// line feed; what is no SQL of the engine stands in comments, but for the psql
// commands of Postgres.
func Script(e Engine, doc *parquet.Document, o Options) (string, error) {
	s := &script{doc: doc, table: doc.ResourceType, Options: o}
	if s.Folder == "" {
		s.Folder = "SNAPSHOT/parquet"
	}
	switch e {
	case DuckDB:
		s.duckDB()
	case Spark:
		s.spark()
	case BigQuery:
		s.bigQuery()
	case Snowflake:
		s.snowflake()
	case Athena:
		s.athena()
	case Postgres:
		s.postgres()
	default:
		return "", fmt.Errorf("no engine %q", e)
	}
	return s.b.String(), nil
}

// script is a text in the making.
type script struct {
	Options
	doc   *parquet.Document
	table string
	b     strings.Builder
}

func (s *script) line(format string, args ...any) { fmt.Fprintf(&s.b, format+"\n", args...) }

// local is the pattern of the type's files on this machine.
func (s *script) local() string {
	return strings.TrimRight(s.Folder, "/") + "/" + s.table + "/*.parquet"
}

// remote is the type's folder in the cloud.
func (s *script) remote(otherwise string) string {
	location := s.Location
	if location == "" {
		location = otherwise
	}
	return strings.TrimRight(location, "/") + "/" + s.table + "/"
}

// columns writes the columns of a table, one a line: name, type and what follows.
func (s *script) columns(column func(c *parquet.Column) string) {
	for i := range s.doc.Columns {
		comma := ","
		if i == len(s.doc.Columns)-1 {
			comma = ""
		}
		s.line("  %s%s", column(&s.doc.Columns[i]), comma)
	}
}

// text is an SQL string, quotes doubled.
func text(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// escaped is a string of the dialects in which a backslash escapes.
func escaped(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", " ").Replace(s) + "'"
}

// double and back quote names.
func double(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
func back(name string) string   { return "`" + strings.ReplaceAll(name, "`", "") + "`" }

// types are how an engine writes types.
type types struct {
	leaves map[string]string // by Column.Type
	list   string            // with %s for the type of the items
	fields func(c *parquet.Column) string
	group  string // with %s for the fields, with commas
}

// of is the type of a column.
func (t *types) of(c *parquet.Column) string {
	typ := t.leaves[c.Type]
	if c.Type == "struct" {
		fields := make([]string, len(c.Columns))
		for i := range c.Columns {
			fields[i] = t.fields(&c.Columns[i])
		}
		typ = fmt.Sprintf(t.group, strings.Join(fields, ", "))
	}
	if c.List {
		return fmt.Sprintf(t.list, typ)
	}
	return typ
}
