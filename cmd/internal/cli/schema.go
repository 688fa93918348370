package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/internal/definition"
	"github.com/flue-fhir/flue/sinks/parquet"
	"github.com/flue-fhir/flue/sinks/parquet/ddl"
	"github.com/flue-fhir/flue/sinks/verify"
)

// schemaOptions are the flags of flue schema.
type schemaOptions struct {
	snapshot string
	depth    int
	sql      string
	location string
	asJSON   bool
}

func (a *app) schemaCommand() *cobra.Command {
	var o schemaOptions
	c := &cobra.Command{
		Use:     "schema [flags] [TYPE...]",
		Short:   "Show the Parquet columns of resource types, or the SQL to load them",
		GroupID: "jobs",
		Long: `Show the columns of a resource type's Parquet files: their names and types, with
[] behind what is a list, the FHIR path and what the element means.

With --snapshot the columns are those that the snapshot has, of all types when none
is named. Without, they are those that the R4 definitions allow, down to --depth
levels; extensions and contained resources are left out, as anything may have them.

--sql prints the statements with which an engine makes a table of the files: duckdb
a view, spark and athena external tables, bigquery and snowflake a table and its load,
postgres a table that psql fills by way of duckdb.

` + strings.ReplaceAll(snapshotHelp, "SNAPSHOT is", "--snapshot takes"),
		Example: `  flue schema Patient
  flue schema Observation --snapshot nightly
  flue schema --snapshot nightly --sql duckdb | duckdb warehouse.db
  flue schema Patient --snapshot nightly --sql athena --location s3://lake/fhir`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && o.snapshot == "" {
				return &usageError{message: "argument TYPE is missing", hint: "name a resource type, or a snapshot with --snapshot to see all of its types"}
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return definition.Resources(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, types []string) error {
			if o.depth < 1 {
				return &usageError{message: "--depth: want 1 or more"}
			}
			if o.sql != "" && o.asJSON {
				return exclusive(c, "sql", "json")
			}
			docs, folder, err := a.documents(c, &o, types)
			if err != nil {
				return err
			}
			switch {
			case o.asJSON:
				e := json.NewEncoder(a.sys.Stdout)
				e.SetEscapeHTML(false)
				e.SetIndent("", "  ")
				return e.Encode(docs)
			case o.sql != "":
				return a.printSQL(docs, ddl.Engine(o.sql), ddl.Options{Folder: folder, Location: o.location})
			}
			return a.printColumns(docs)
		},
	}
	var engines []string
	for _, e := range ddl.Engines() {
		engines = append(engines, string(e))
	}
	f := c.Flags()
	f.StringVar(&o.snapshot, "snapshot", "", "the columns of a snapshot instead of those of the definitions")
	f.IntVar(&o.depth, "depth", 3, "levels of the definitions: birthDate is one, name.family two")
	f.StringVar(&o.sql, "sql", "", "print SQL for "+strings.Join(engines, ", "))
	f.StringVar(&o.location, "location", "", "where the snapshot's parquet folder is in the cloud, for --sql: s3://BUCKET/PREFIX")
	f.BoolVar(&o.asJSON, "json", false, "print JSON: an array with the columns of each type")
	a.must(c.RegisterFlagCompletionFunc("sql", cobra.FixedCompletions(engines, cobra.ShellCompDirectiveNoFileComp)))
	a.must(c.RegisterFlagCompletionFunc("snapshot", a.completeSnapshots))
	c.AddCommand(a.schemaDiffCommand())
	return c
}

// documents finds the columns of the types, and the folder that their files are
// in; it is empty without a snapshot.
func (a *app) documents(c *cobra.Command, o *schemaOptions, types []string) (docs []*parquet.Document, folder string, err error) {
	if o.sql != "" && !slices.Contains(ddl.Engines(), ddl.Engine(o.sql)) {
		return nil, "", &usageError{message: fmt.Sprintf("--sql: %q is not known", o.sql), hint: "see 'flue schema --help' for the engines"}
	}
	if o.snapshot == "" {
		for _, typ := range types {
			doc, err := parquet.Define(typ, o.depth)
			if err != nil {
				return nil, "", &usageError{message: fmt.Sprintf("%q is no R4 resource type", typ), hint: "write it as FHIR does: Patient, MedicationRequest"}
			}
			docs = append(docs, doc.Explain())
		}
		return docs, "", nil
	}
	if c.Flags().Changed("depth") {
		return nil, "", exclusive(c, "snapshot", "depth")
	}
	dir, err := a.findSnapshot(c.Context(), o.snapshot)
	if err != nil {
		return nil, "", err
	}
	all, err := schemasOf(dir)
	if err != nil {
		return nil, "", err
	}
	names := slices.Sorted(maps.Keys(all))
	if len(types) == 0 {
		types = names
	}
	for _, typ := range types {
		doc := all[typ]
		if doc == nil {
			return nil, "", &usageError{message: fmt.Sprintf("the snapshot has no columns of %s", typ), hint: "its types are: " + strings.Join(names, ", ")}
		}
		docs = append(docs, doc.Explain())
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, "", fmt.Errorf("find snapshot: %w", err)
	}
	return docs, filepath.Join(dir, "parquet"), nil
}

// schemasOf reads the columns of a snapshot by type. One without Parquet is none
// to speak of.
func schemasOf(dir string) (map[string]*parquet.Document, error) {
	_, docs, err := verify.Schemas(dir)
	if err == nil && len(docs) == 0 {
		err = &usageError{message: dir + " has no Parquet", hint: "name a snapshot of a job with a parquet sink"}
	}
	return docs, err
}

func (a *app) printSQL(docs []*parquet.Document, e ddl.Engine, o ddl.Options) error {
	for i, doc := range docs {
		text, err := ddl.Script(e, doc, o)
		if err != nil {
			return err
		}
		if i > 0 {
			text = "\n" + text
		}
		if _, err := a.sys.Stdout.Write([]byte(text)); err != nil {
			return err
		}
	}
	return nil
}

// printColumns prints a line for each column, of structs for those within.
func (a *app) printColumns(docs []*parquet.Document) error {
	for i, doc := range docs {
		if i > 0 {
			fmt.Fprintln(a.sys.Stdout)
		}
		fmt.Fprintf(a.sys.Stdout, "%s: %s\n\n", doc.ResourceType, plural(int64(doc.Leaves), "column"))
		g := &grid{left: map[int]bool{0: true, 1: true, 2: true, 3: true}}
		g.add("column", "type", "FHIR path", "meaning")
		addColumns(g, "", doc.Columns)
		if err := g.write(a.sys.Stdout); err != nil {
			return err
		}
	}
	return nil
}

func addColumns(g *grid, prefix string, columns []parquet.Column) {
	for i := range columns {
		c := &columns[i]
		name := prefix + c.Name
		if c.List {
			name += "[]"
		}
		if c.Type == "struct" {
			addColumns(g, name+".", c.Columns)
			continue
		}
		typ := c.Type
		if c.FHIRType != "" && c.FHIRType != typ {
			typ += " (" + c.FHIRType + ")"
		}
		g.add(name, typ, orDash(c.FHIRPath), strings.Join(strings.Fields(c.Doc), " "))
	}
}
