package definition

// SearchParam is a search parameter that R4 defines for a resource type.
type SearchParam struct {
	Code    string   // name in a URL: "birthdate", "_lastUpdated"
	Kind    string   // number, date, string, token, reference, composite, quantity, uri or special
	Targets []string // resource types that a reference may point at; nil for other kinds

	// Expression is the FHIRPath that selects the values, with the branches of
	// other resource types left out. It is empty where R4 has none.
	Expression string
}

// Resources returns the names of all R4 resource types, sorted. The slice
// belongs to the caller.
func Resources() []string { return nil }

// Type returns the definition of a resource type, or nil when R4 has no
// such type.
func Type(name string) *Struct { return nil }

// Base returns the members that every resource has, whatever its type: id,
// meta, implicitRules and language.
func Base() *Struct { return nil }

// Extension returns the definition of the data type Extension.
func Extension() *Struct { return nil }

// PrimitiveCompanion returns the members of the object beside a primitive
// element, "_birthDate" beside "birthDate": id and extension.
func PrimitiveCompanion() *Struct { return nil }

// Compartment returns the codes of the search parameters by which resources of
// the type belong to a patient's compartment, nil when the type is not part of
// it. Patient itself belongs by its id, besides the parameter "link".
func Compartment(typ string) []string { return nil }

// SearchParams returns the search parameters of a resource type, sorted by
// code, those of all resources included.
func SearchParams(typ string) []SearchParam { return nil }

// Search returns one search parameter of a resource type.
func Search(typ, code string) (p SearchParam, ok bool) { return p, false }
