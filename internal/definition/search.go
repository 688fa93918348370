package definition

import (
	"slices"
	"strings"
)

// SearchParam is a search parameter that R4 defines for a resource type.
type SearchParam struct {
	Code    string   // name in a URL: "birthdate", "_lastUpdated"
	Kind    string   // number, date, string, token, reference, composite, quantity, uri or special
	Targets []string // resource types that a reference may point at, sorted; nil for other kinds

	// Expression is the FHIRPath that selects the values, with the branches of
	// other resource types left out. It is empty where R4 has none.
	Expression string
}

// Compartment returns the codes of the search parameters by which resources of
// the type belong to a patient's compartment, nil when the type is not part of
// it. Patient itself belongs by its id, besides the parameter "link". The slice
// belongs to the caller.
//
// Source: https://hl7.org/fhir/R4/compartmentdefinition-patient.html
func Compartment(typ string) []string { return slices.Clone(r4().compartment[typ]) }

// SearchParams returns the search parameters of a resource type, sorted by
// code, those of all resources included; nil when R4 has no such type. The
// slice belongs to the caller, the Targets do not.
//
// Source: https://hl7.org/fhir/R4/searchparameter-registry.html
func SearchParams(typ string) []SearchParam {
	s := Type(typ)
	if s == nil {
		return nil
	}
	params := r4().params
	all := slices.Concat(params[typ], params["Resource"])
	if s.Field("text") != nil {
		all = append(all, params["DomainResource"]...)
	}
	slices.SortFunc(all, func(a, b SearchParam) int { return strings.Compare(a.Code, b.Code) })
	return all
}

// Search returns one search parameter of a resource type.
func Search(typ, code string) (p SearchParam, ok bool) {
	all := SearchParams(typ)
	i, ok := slices.BinarySearchFunc(all, code, func(p SearchParam, code string) int {
		return strings.Compare(p.Code, code)
	})
	if !ok {
		return SearchParam{}, false
	}
	return all[i], true
}
