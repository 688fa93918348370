package export

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/export/internal/fhirhttp"
)

// maxCapability bounds a CapabilityStatement, in bytes.
const maxCapability = 64 << 20

// Capability is what a server's CapabilityStatement says that matters here. Many
// servers export without declaring it: what is missing proves nothing.
type Capability struct {
	FHIRVersion   string // "4.0.1"
	Software      string // name and version
	Instantiates  []string
	Types         []string            // resource types declared
	SearchParams  map[string][]string // per resource type, as declared
	SystemExport  bool                // declares the export operation at the system level
	PatientExport bool                // … for all patients
	GroupExport   bool                // … for a group
}

// Capability reads what the server says of itself. Only what is needed is read,
// and of any FHIR version.
func (c *Client) Capability(ctx context.Context) (*Capability, error) {
	var capability *Capability
	err := c.requests(c.HTTP).Do(ctx, fhirhttp.Call{
		Op: "metadata", URL: c.at("metadata"), Accept: "application/fhir+json",
		Handle: func(resp *http.Response) error {
			body, err := fhirhttp.ReadAll("metadata", resp, maxCapability)
			if err != nil {
				return err
			}
			capability, err = parseCapability(body)
			return err
		},
	})
	return capability, err
}

type wireOperation struct {
	Name       string          `json:"name"`
	Definition json.RawMessage `json:"definition"` // canonical; a Reference in older versions
}

func parseCapability(body []byte) (*Capability, error) {
	var w struct {
		ResourceType string   `json:"resourceType"`
		FHIRVersion  string   `json:"fhirVersion"`
		Instantiates []string `json:"instantiates"`
		Software     struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"software"`
		Rest []struct {
			Operation []wireOperation `json:"operation"`
			Resource  []struct {
				Type        string          `json:"type"`
				Operation   []wireOperation `json:"operation"`
				SearchParam []struct {
					Name string `json:"name"`
				} `json:"searchParam"`
			} `json:"resource"`
		} `json:"rest"`
	}
	if fhirhttp.HTML(body) {
		return nil, &ProtocolError{Op: "metadata", Reason: "the answer is HTML or XML: is this the FHIR base URL?"}
	}
	var kind *json.UnmarshalTypeError
	if err := json.Unmarshal(body, &w); err != nil && !errors.As(err, &kind) {
		return nil, &ProtocolError{Op: "metadata", Reason: "the answer is not JSON"}
	}
	if w.ResourceType != "CapabilityStatement" && w.ResourceType != "Conformance" {
		return nil, &ProtocolError{Op: "metadata", Reason: "the answer is no CapabilityStatement: is this the FHIR base URL?"}
	}
	out := &Capability{
		FHIRVersion:  printable(w.FHIRVersion, 32),
		Software:     printable(strings.TrimSpace(w.Software.Name+" "+w.Software.Version), 128),
		SearchParams: map[string][]string{},
	}
	for _, i := range w.Instantiates {
		out.Instantiates = append(out.Instantiates, printable(i, 256))
	}
	for _, rest := range w.Rest {
		for _, op := range rest.Operation {
			// At the system level all three may be listed, told apart by definition.
			switch {
			case !op.export():
			case op.defines("patient-export"):
				out.PatientExport = true
			case op.defines("group-export"):
				out.GroupExport = true
			default:
				out.SystemExport = true
			}
		}
		for _, r := range rest.Resource {
			name, ok := typeName(r.Type)
			if !ok || name == "" {
				continue
			}
			out.Types = append(out.Types, name)
			for _, p := range r.SearchParam {
				out.SearchParams[name] = append(out.SearchParams[name], p.Name)
			}
			exports := slices.ContainsFunc(r.Operation, wireOperation.export)
			out.PatientExport = out.PatientExport || exports && name == "Patient"
			out.GroupExport = out.GroupExport || exports && name == "Group"
		}
	}
	return out, nil
}

func (o wireOperation) export() bool {
	switch strings.TrimPrefix(o.Name, "$") {
	case "export", "system-export", "patient-export", "group-export", "bulk-export":
		return true
	}
	return o.defines("-export") || o.defines("/export")
}

func (o wireOperation) defines(suffix string) bool {
	d, _, _ := strings.Cut(strings.Trim(string(o.Definition), `"`), "|")
	return strings.HasSuffix(d, suffix) || strings.TrimPrefix(o.Name, "$") == suffix
}
