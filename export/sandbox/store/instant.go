package store

import (
	"strings"
	"time"

	"github.com/flue-fhir/flue/export/sandbox/fhirpath"
)

// parseInstant reads an instant as microseconds since 1970.
func parseInstant(s string) (int64, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, false
	}
	return t.UnixMicro(), true
}

// patientOf returns the id of the patient that a literal reference names. A
// urn:uuid may name anything: whether its id is a patient's is found out later.
func patientOf(reference string) (id string, ok bool) {
	typ, id := fhirpath.SplitReference(reference)
	return id, id != "" && (typ == "Patient" || typ == "" && strings.HasPrefix(reference, "urn:uuid:"))
}

// resourceType finds a line's type, "" when it has none that could be a file's
// name.
func resourceType(line []byte) string {
	var typ string
	scan(line, typeOnly, func(_ leaf, text []byte) { typ = string(text) })
	if typ == "" || len(typ) > 64 {
		return ""
	}
	for i := range len(typ) {
		if c := typ[i] | 0x20; c < 'a' || c > 'z' {
			return ""
		}
	}
	return typ
}

var typeOnly = &node{children: map[string]*node{"resourceType": {leaf: leafType}}}
