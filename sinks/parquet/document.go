package parquet

import (
	"encoding/json"
	"fmt"

	"github.com/flue-fhir/flue/internal/definition"
)

// SchemaName is the file beside the Parquet files of a type that describes their
// columns. Engines that read a whole folder pass over names with an underscore.
const SchemaName = "_schema.json"

// Document is what SchemaName holds: the columns of a resource type's files.
type Document struct {
	ResourceType string   `json:"resourceType"`
	FHIRVersion  string   `json:"fhirVersion"`
	Leaves       int      `json:"leaves"` // columns without the groups
	Columns      []Column `json:"columns"`
}

// Column describes a column of a Parquet file, or a group of columns.
type Column struct {
	Name string `json:"name"`
	// Type is "struct", "string", "integer", "boolean", "timestamp" (microseconds,
	// UTC) or "decimal(32,6)": of the items when the column is a list.
	Type string `json:"type"`
	List bool   `json:"list,omitempty"`
	// Required columns have a value in every row.
	Required bool     `json:"required,omitempty"`
	FHIRPath string   `json:"fhirPath,omitempty"` // of the element, empty for the row's own columns
	FHIRType string   `json:"fhirType,omitempty"`
	Doc      string   `json:"doc,omitempty"`
	Columns  []Column `json:"columns,omitempty"` // of a struct
}

// document describes the layout.
func (l *layout) document(typ string) *Document {
	return &Document{ResourceType: typ, FHIRVersion: FHIRVersion, Leaves: l.leaves, Columns: describeFields(typ, l.fields)}
}

func (d *Document) encode() ([]byte, error) {
	b, err := json.MarshalIndent(d, "", "  ")
	return append(b, '\n'), err
}

func describeFields(typ string, fields []*field) []Column {
	var out []Column
	for _, f := range fields {
		c := Column{Name: f.name, Type: f.content.typeName(), List: f.list, Required: f.content == contentType, Doc: f.doc()}
		if f.node != nil {
			c.FHIRPath = typ + "." + path(f.node)
			c.FHIRType = f.node.Element.Type
			if f.node.Companion {
				c.FHIRType = "Element"
			}
		}
		c.Columns = describeFields(typ, f.fields)
		out = append(out, c)
	}
	return out
}

func (c content) typeName() string {
	switch c {
	case contentGroup:
		return "struct"
	case contentInteger:
		return "integer"
	case contentBoolean:
		return "boolean"
	case contentNumeric:
		return fmt.Sprintf("decimal(%d,%d)", decimalPrecision, decimalScale)
	case contentStart, contentEnd:
		return "timestamp"
	}
	return "string"
}

// doc says what a person cannot see from the name.
func (f *field) doc() string {
	switch f.content {
	case contentType:
		return "Name of the resource type, the same in every row."
	case contentJSON:
		return "JSON text of the resource, as sent."
	case contentNumeric:
		return "The decimal rounded half away from zero to six places; null from 10^26 up."
	case contentStart:
		return "First microsecond covered by the text, in UTC; null when the text is not valid."
	case contentEnd:
		return "Last microsecond covered by the text, in UTC; null when the text is not valid."
	case contentRefType:
		return "Resource type that a literal reference points at; null for urn:uuid and others."
	case contentRefID:
		return "Id that a literal reference points at; for urn:uuid:X it is X."
	case contentUnmapped:
		return "JSON object with what no column can reproduce: JSON Pointer to raw JSON text."
	case contentRun:
		return "The run that delivered the row."
	case contentGroup:
		if f.node.Companion {
			return "Id and extensions of " + f.node.Element.Name + "."
		}
		return ""
	}
	switch f.node.Element.Kind {
	case definition.Decimal:
		return "The number's text, as sent."
	case definition.Date, definition.DateTime, definition.Instant:
		return "The text, as sent."
	}
	return ""
}
