package sandbox

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/export/sandbox/fhirpath"
	"github.com/flue-fhir/flue/internal/definition"
	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

const bulkData = "http://hl7.org/fhir/uv/bulkdata/"

// metadata answers with the CapabilityStatement.
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	if !allowed(w, r, http.MethodGet, http.MethodHead) || !acceptsFHIR(w, r) {
		return
	}
	answer(w, http.StatusOK, typeFHIR, s.capabilities(r))
}

// capabilities says what the server can do.
func (s *Server) capabilities(r *http.Request) fhir.CapabilityStatement {
	operation := func(name, definition string) fhir.CapabilityStatementRestResourceOperation {
		return fhir.CapabilityStatementRestResourceOperation{Name: name, Definition: bulkData + "OperationDefinition/" + definition}
	}
	rest := fhir.CapabilityStatementRest{
		Mode:      fhir.RestfulCapabilityModeServer,
		Security:  s.security(r),
		Operation: []fhir.CapabilityStatementRestResourceOperation{operation("export", "export")},
	}
	types := s.Data.View().Types()
	for _, always := range []string{"Group", "Patient"} {
		if !slices.Contains(types, always) {
			types = append(types, always)
		}
	}
	slices.Sort(types)
	for _, typ := range types {
		res := fhir.CapabilityStatementRestResource{
			Interaction: []fhir.CapabilityStatementRestResourceInteraction{{Code: fhir.TypeRestfulInteractionRead}, {Code: fhir.TypeRestfulInteractionSearchType}},
			SearchParam: searchParameterList(typ),
		}
		if json.Unmarshal([]byte(`"`+typ+`"`), &res.Type) != nil {
			continue // the models know every R4 type; others cannot be named
		}
		switch typ {
		case "Patient":
			res.Operation = append(res.Operation, operation("export", "patient-export"))
		case "Group":
			res.Operation = append(res.Operation, operation("export", "group-export"))
		}
		rest.Resource = append(rest.Resource, res)
	}
	name, base, version := "flue sandbox", s.base(r), orElse(s.Version, "devel")
	return fhir.CapabilityStatement{
		Url: ptr(base + "/metadata"), Version: &version, Name: ptr("FlueSandbox"), Title: &name, Status: fhir.PublicationStatusActive,
		Experimental: ptr(true), Date: "2026-01-01", Kind: fhir.CapabilityStatementKindInstance,
		Instantiates: []string{bulkData + "CapabilityStatement/bulk-data"}, Software: &fhir.CapabilityStatementSoftware{Name: name, Version: &version},
		Implementation: &fhir.CapabilityStatementImplementation{Description: "A FHIR server with synthetic data", Url: &base},
		FhirVersion:    fhir.FHIRVersion4_0_1, Format: []string{"json", typeFHIR}, Rest: []fhir.CapabilityStatementRest{rest},
	}
}

// searchParameterList lists the parameters that the type can be searched by.
func searchParameterList(typ string) []fhir.CapabilityStatementRestResourceSearchParam {
	var out []fhir.CapabilityStatementRestResourceSearchParam
	for _, p := range definition.SearchParams(typ) {
		if p.Kind == "composite" || p.Kind == "special" {
			continue
		}
		if _, err := fhirpath.Compile(typ, p.Expression); err != nil {
			continue
		}
		param := fhir.CapabilityStatementRestResourceSearchParam{Name: p.Code}
		if json.Unmarshal([]byte(`"`+p.Kind+`"`), &param.Type) == nil {
			out = append(out, param)
		}
	}
	return out
}

// security says where tokens come from, as SMART did before there was the
// smart-configuration; nil for an open server.
func (s *Server) security(r *http.Request) *fhir.CapabilityStatementRestSecurity {
	if s.Auth == nil {
		return nil
	}
	token := s.Auth.TokenEndpoint(r)
	return &fhir.CapabilityStatementRestSecurity{
		Extension: []fhir.Extension{{
			Url:       "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
			Extension: []fhir.Extension{{Url: "token", ValueUri: &token}},
		}},
		Service: []fhir.CodeableConcept{{Coding: []fhir.Coding{{
			System: ptr("http://terminology.hl7.org/CodeSystem/restful-security-service"), Code: ptr("SMART-on-FHIR"),
		}}}},
		Description: ptr("SMART Backend Services: " + strings.TrimSuffix(s.base(r), "/") + "/.well-known/smart-configuration"),
	}
}

func ptr[T any](v T) *T { return &v }
