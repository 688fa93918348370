package parquet

import (
	"fmt"
	"strings"

	"github.com/flue-fhir/flue/internal/fhirjson"
)

// nothingSeen is the column record of a type of which no resource ever came: no
// column of it is new.
func nothingSeen(typ string) string { return typ + "{id,meta{lastUpdated}}" }

// drift is the error for columns of the tree that the earlier record does not
// have; nil when there is none, or nothing to compare with. Elements that have
// no column, because there are too many, are no drift: they change no schema.
func drift(tree *fhirjson.Tree, earlier []byte) error {
	if earlier == nil || string(earlier) == nothingSeen(tree.Type) {
		return nil
	}
	before := fhirjson.NewTree(tree.Type, fhirjson.Limits{})
	if err := before.UnmarshalText(earlier); err != nil {
		return fmt.Errorf("read earlier columns of %s: %w", tree.Type, err)
	}
	e := &DriftError{Type: tree.Type}
	for _, n := range tree.Columns().Nodes[1:] {
		if p := path(n); n.Leaf() && before.Lookup(p) == nil {
			e.Paths = append(e.Paths, tree.Type+"."+p)
		}
	}
	if e.Paths == nil {
		return nil
	}
	return e
}

// DriftError says that a type has elements that no earlier snapshot of the job
// had, and that the job does not allow new columns.
type DriftError struct {
	Type  string
	Paths []string // FHIR paths of the leaves, in the order of the definitions
}

// mostPaths is how many paths an error's text names.
const mostPaths = 10

func (e *DriftError) Error() string {
	names := e.Paths
	more := ""
	if len(names) > mostPaths {
		names, more = names[:mostPaths], fmt.Sprintf(" and %d more", len(e.Paths)-mostPaths)
	}
	return fmt.Sprintf("parquet: %s has elements that no earlier snapshot had: %s%s", e.Type, strings.Join(names, ", "), more)
}

// Class decides the exit code.
func (e *DriftError) Class() string { return "quality" }

// Hint says what to do.
func (e *DriftError) Hint() string {
	return "Set drift: widen in the job's parquet sink to publish them as new columns; back at fail, it is they that later runs are held against."
}
