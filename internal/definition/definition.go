// Package definition holds the FHIR R4 (4.0.1) definitions that flue is led by:
// the elements of every resource and data type, their cardinality and order,
// the patient compartment and the search parameters.
//
// The table is compiled by `go generate` from the published R4 definitions and
// embedded in the binary; nothing here changes after the first use, so every
// value may be shared by any number of goroutines. Recursive types (Extension,
// Identifier and Reference, Questionnaire.item) are cycles in the graph of
// Structs: whoever walks it needs a depth limit.
//
// Source: https://hl7.org/fhir/R4/downloads.html
package definition

//go:generate go run ./generate

// Kind is the JSON shape of an element's value, and what flue may do with it.
type Kind uint8

// The kinds of elements.
const (
	Boolean  Kind = iota + 1 // JSON true or false
	Integer                  // integer, positiveInt, unsignedInt: a JSON number
	Decimal                  // a JSON number whose text matters
	String                   // string, code, id, markdown, uri, url, canonical, oid, uuid, base64Binary, xhtml, time
	Date                     // date: YYYY, YYYY-MM or YYYY-MM-DD
	DateTime                 // dateTime, with any precision
	Instant                  // instant
	Complex                  // a JSON object: data type or backbone element
	Resource                 // a JSON object with its own resourceType (contained, Bundle.entry.resource)
)

// Primitive reports whether values of the kind are JSON scalars.
func (k Kind) Primitive() bool { return k >= Boolean && k <= Instant }

// Element is one JSON member that FHIR R4 defines.
type Element struct {
	Name     string  // JSON member name, choices expanded: "valueQuantity"
	Type     string  // FHIR type: "Quantity", "code", "BackboneElement", "Reference"
	Kind     Kind    // shape of the value
	List     bool    // max cardinality is not 1
	Required bool    // min cardinality is not 0; for a choice, one of its members
	System   bool    // a FHIRPath string (ids, Extension.url), which has no companion member
	Choice   string  // "value" for every value[x] member, otherwise ""
	Struct   *Struct // the members of a Complex value, otherwise nil
	Order    int     // position in the Struct's definition order, from 0

	index int // among all elements of the table
}

// Companion reports whether the element may have a companion member, "_name",
// with id and extensions.
func (e *Element) Companion() bool { return e.Kind.Primitive() && !e.System }

// Struct is the set of members of a JSON object: a resource, a data type or a
// backbone element.
type Struct struct {
	Name   string    // "Observation", "Observation.component", "Quantity"
	Fields []Element // in definition order

	byName map[string]*Element
}

// Field returns the element with the JSON member name, or nil.
func (s *Struct) Field(name string) *Element { return s.byName[name] }

// FieldBytes is Field for a name that is not yet a string.
func (s *Struct) FieldBytes(name []byte) *Element { return s.byName[string(name)] }

// Resources returns the names of all R4 resource types, sorted. The slice
// belongs to the caller.
func Resources() []string {
	t := r4()
	names := make([]string, len(t.resources))
	for i, s := range t.resources {
		names[i] = s.Name
	}
	return names
}

// Type returns the definition of a resource type, or nil when R4 has no such
// type.
func Type(name string) *Struct { return r4().types[name] }

// Base returns the members that every resource has, whatever its type: id,
// meta, implicitRules and language.
func Base() *Struct { return r4().base }

// Extension returns the definition of the data type Extension.
func Extension() *Struct { return r4().extension }

// PrimitiveCompanion returns the members of the object beside a primitive
// element, "_birthDate" beside "birthDate": id and extension.
func PrimitiveCompanion() *Struct { return r4().companion }
