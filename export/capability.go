package export

// Capability is what a server's CapabilityStatement says that matters here.
type Capability struct {
	FHIRVersion     string // "4.0.1"
	Software        string // name and version
	Instantiates    []string
	SystemExport    bool                // declares $export at the system level
	PatientExport   bool                // … for all patients
	GroupExport     bool                // … for a group
	SearchParams    map[string][]string // per resource type, as declared
	Types           []string            // resource types declared
	DeclaresExports bool                // whether any export operation is declared at all
}
