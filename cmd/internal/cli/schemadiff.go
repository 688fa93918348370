package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/sinks/parquet"
)

// typeDifference is how the columns of a type differ between two snapshots.
type typeDifference struct {
	Type   string         `json:"type"`
	Change parquet.Change `json:"change"` // added, removed: the type as a whole
	// Columns are those that differ; none of a type that is new or gone.
	Columns []parquet.Difference `json:"columns,omitempty"`
}

func (a *app) schemaDiffCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "diff SNAPSHOT SNAPSHOT",
		Short: "Show how the Parquet columns of two snapshots differ",
		Long: `Show which columns the second snapshot has that the first has not (+), which are gone
(-) and which have another type (~), for each resource type. The exit code is 0
when the columns are the same and 5 when they differ.

` + snapshotHelp,
		Example: `  flue schema diff 1m7zk3c9 latest
  flue schema diff --json old/nightly/latest /data/fhir/nightly`,
		Args:              exactly("SNAPSHOT", "SNAPSHOT"),
		ValidArgsFunction: a.completeSnapshots,
		RunE: func(c *cobra.Command, args []string) error {
			var both [2]map[string]*parquet.Document
			for i, arg := range args {
				dir, err := a.findSnapshot(c.Context(), arg)
				if err != nil {
					return err
				}
				if both[i], err = schemasOf(dir); err != nil {
					return err
				}
			}
			return a.printDiff(compareSchemas(both[0], both[1]), asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON: an array with the types that differ")
	return c
}

// compareSchemas tells which types differ, by name.
func compareSchemas(before, after map[string]*parquet.Document) []typeDifference {
	types := maps.Clone(before)
	maps.Copy(types, after)
	list := []typeDifference{}
	for _, typ := range slices.Sorted(maps.Keys(types)) {
		b, a := before[typ], after[typ]
		switch {
		case b == nil:
			list = append(list, typeDifference{Type: typ, Change: parquet.Added})
		case a == nil:
			list = append(list, typeDifference{Type: typ, Change: parquet.Removed})
		default:
			if d := parquet.Compare(b.Columns, a.Columns); len(d) > 0 {
				list = append(list, typeDifference{Type: typ, Change: parquet.Changed, Columns: d})
			}
		}
	}
	return list
}

func (a *app) printDiff(list []typeDifference, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(a.sys.Stdout)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(list); err != nil {
			return err
		}
	} else if err := a.writeDiff(list); err != nil {
		return err
	}
	if len(list) > 0 {
		return &differs{message: fmt.Sprintf("the columns of %s differ", plural(int64(len(list)), "type"))}
	}
	return nil
}

func (a *app) writeDiff(list []typeDifference) error {
	var b strings.Builder
	for _, t := range list {
		if t.Change != parquet.Changed {
			fmt.Fprintf(&b, "%s: the type is %s\n", t.Type, map[parquet.Change]string{parquet.Added: "new", parquet.Removed: "gone"}[t.Change])
			continue
		}
		counts := map[parquet.Change]int64{}
		g := &grid{left: map[int]bool{0: true, 1: true, 2: true}}
		for _, d := range t.Columns {
			counts[d.Change]++
			switch d.Change {
			case parquet.Added:
				g.add("  + "+d.Column, d.After, d.FHIRPath)
			case parquet.Removed:
				g.add("  - "+d.Column, d.Before, d.FHIRPath)
			default:
				g.add("  ~ "+d.Column, d.Before+" -> "+d.After, d.FHIRPath)
			}
		}
		var words []string
		for _, c := range []parquet.Change{parquet.Added, parquet.Removed, parquet.Changed} {
			if n := counts[c]; n > 0 {
				words = append(words, number(n)+" "+string(c))
			}
		}
		fmt.Fprintf(&b, "%s: %s\n", t.Type, strings.Join(words, ", "))
		if err := g.write(&b); err != nil {
			return err
		}
	}
	if len(list) == 0 {
		b.WriteString("the columns are the same\n")
	}
	_, err := a.sys.Stdout.Write([]byte(b.String()))
	return err
}
