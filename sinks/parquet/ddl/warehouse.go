package ddl

import (
	"strings"

	"github.com/flue-fhir/flue/sinks/parquet"
)

// bigQuery makes a table and loads it. List inference makes an array of what
// Parquet has as a list of three levels.
func (s *script) bigQuery() {
	t := &types{
		leaves: map[string]string{"string": "STRING", "integer": "INT64", "boolean": "BOOL", "timestamp": "TIMESTAMP", "decimal(32,6)": "NUMERIC(32, 6)"},
		list:   "ARRAY<%s>", group: "STRUCT<%s>",
	}
	t.fields = func(c *parquet.Column) string { return back(c.Name) + " " + t.of(c) }
	table, location := back("DATASET."+s.table), s.remote("gs://BUCKET/PREFIX")
	s.line("-- gcloud storage cp '%s' %s", s.local(), location)
	s.line("CREATE TABLE IF NOT EXISTS %s (", table)
	s.columns(func(c *parquet.Column) string {
		text := back(c.Name) + " " + t.of(c)
		if c.Required {
			text += " NOT NULL"
		}
		if c.Doc != "" {
			text += " OPTIONS (description = " + escaped(c.Doc) + ")"
		}
		return text
	})
	s.line(");")
	s.line("LOAD DATA OVERWRITE %s\nFROM FILES (format = 'PARQUET', enable_list_inference = true, uris = [%s]);", table, escaped(location+"*.parquet"))
}

// snowflake makes a table and copies into it. Structs and lists are its
// semi-structured types.
func (s *script) snowflake() {
	leaves := map[string]string{"string": "VARCHAR", "integer": "INTEGER", "boolean": "BOOLEAN", "timestamp": "TIMESTAMP_LTZ(6)", "decimal(32,6)": "NUMBER(32,6)", "struct": "OBJECT"}
	location := s.remote("@STAGE/PREFIX")
	s.line("-- PUT %s %s AUTO_COMPRESS = FALSE;", text("file://"+s.local()), location)
	s.line("CREATE TABLE IF NOT EXISTS %s (", double(s.table))
	s.columns(func(c *parquet.Column) string {
		typ := leaves[c.Type]
		if c.List {
			typ = "ARRAY"
		}
		text := double(c.Name) + " " + typ
		if c.Required {
			text += " NOT NULL"
		}
		return text + comment(c, " COMMENT ")
	})
	s.line(");")
	s.line("COPY INTO %s FROM %s\nPATTERN = '.*[.]parquet'\nFILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE)\nMATCH_BY_COLUMN_NAME = CASE_SENSITIVE;", double(s.table), location)
}

// postgres makes a table and loads it with psql, by way of DuckDB, which reads
// Parquet: through a pipe, so that no row is left in a file. Structs and lists
// become jsonb.
func (s *script) postgres() {
	leaves := map[string]string{"string": "text", "integer": "integer", "boolean": "boolean", "timestamp": "timestamptz", "decimal(32,6)": "numeric(32,6)", "struct": "jsonb"}
	s.line("CREATE TABLE IF NOT EXISTS %s (", double(s.table))
	var list []string
	s.columns(func(c *parquet.Column) string {
		typ, value := leaves[c.Type], double(c.Name)
		if c.List || c.Type == "struct" {
			typ, value = "jsonb", "to_json("+value+")"
		}
		list = append(list, value)
		if c.Required {
			typ += " NOT NULL"
		}
		return double(c.Name) + " " + typ
	})
	s.line(");")
	for i := range s.doc.Columns {
		if c := &s.doc.Columns[i]; c.Doc != "" {
			s.line("COMMENT ON COLUMN %s.%s IS %s;", double(s.table), double(c.Name), text(c.Doc))
		}
	}
	query := "COPY (SELECT " + strings.Join(list, ", ") + " FROM read_parquet(" + text(s.local()) + ")) TO '/dev/stdout' (FORMAT csv, HEADER false)"
	s.line("-- psql, with the command duckdb at hand:")
	s.line(`\copy %s FROM PROGRAM %s WITH (FORMAT csv)`, double(s.table), text("duckdb -c "+shell(query)))
}

// shell quotes an argument of a POSIX shell with double quotes.
func shell(arg string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(arg) + `"`
}
