package parquet

// Change is how a column differs between two schemas.
type Change string

// The changes.
const (
	Added   Change = "added"
	Removed Change = "removed"
	Changed Change = "changed" // of another type, or a list where it was none
)

// Difference is one column that differs.
type Difference struct {
	Change   Change `json:"change"`
	Column   string `json:"column"` // names from the root on, with dots: "code.coding.code"
	FHIRPath string `json:"fhirPath,omitempty"`
	Before   string `json:"before,omitempty"` // its type: "string", "list of struct"
	After    string `json:"after,omitempty"`
}

// Compare tells how the columns of after differ from those of before, in the
// order of the columns. Of structs that were added or removed only the columns
// within them are told. Descriptions and FHIR paths are not compared.
func Compare(before, after []Column) []Difference {
	return compare(nil, "", before, after)
}

func compare(out []Difference, prefix string, before, after []Column) []Difference {
	earlier := make(map[string]*Column, len(before))
	for i := range before {
		earlier[before[i].Name] = &before[i]
	}
	later := make(map[string]bool, len(after))
	for i := range after {
		c := &after[i]
		later[c.Name] = true
		name := prefix + c.Name
		b := earlier[c.Name]
		switch {
		case b == nil:
			out = everyLeaf(out, Added, prefix, c)
		case b.TypeText() != c.TypeText():
			out = append(out, Difference{Change: Changed, Column: name, FHIRPath: c.FHIRPath, Before: b.TypeText(), After: c.TypeText()})
		default:
			out = compare(out, name+".", b.Columns, c.Columns)
		}
	}
	for i := range before {
		if !later[before[i].Name] {
			out = everyLeaf(out, Removed, prefix, &before[i])
		}
	}
	return out
}

// everyLeaf tells of the leaves at and below a column.
func everyLeaf(out []Difference, change Change, prefix string, c *Column) []Difference {
	if c.Type != "struct" {
		d := Difference{Change: change, Column: prefix + c.Name, FHIRPath: c.FHIRPath}
		if change == Added {
			d.After = c.TypeText()
		} else {
			d.Before = c.TypeText()
		}
		return append(out, d)
	}
	for i := range c.Columns {
		out = everyLeaf(out, change, prefix+c.Name+".", &c.Columns[i])
	}
	return out
}

// TypeText is the column's type in words: "string", "list of struct".
func (c *Column) TypeText() string {
	switch {
	case c.List:
		return "list of " + c.Type
	case c.Required:
		return c.Type + ", never null"
	}
	return c.Type
}
