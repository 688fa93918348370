package parquet

import (
	"fmt"
	"math"
	"strings"

	"github.com/flue-fhir/flue/internal/definition"
	"github.com/flue-fhir/flue/internal/fhirjson"
)

// patientElements are the elements that say whose a resource is; of several
// that it has, the first counts.
func patientElements(typ string) []string {
	if typ == "Patient" {
		return []string{"id"}
	}
	return patientReferences()
}

func patientReferences() []string {
	return []string{"subject.reference", "patient.reference", "beneficiary.reference", "for.reference", "individual.reference"}
}

// dateElements are the elements that say when something was, in the same way.
func dateElements() []string {
	return []string{
		"effectiveDateTime", "effectiveInstant", "effectivePeriod.start", "performedDateTime", "performedPeriod.start",
		"occurrenceDateTime", "occurrencePeriod.start", "onsetDateTime", "period.start", "billablePeriod.start",
		"started", "authoredOn", "date", "issued", "recordedDate", "created",
	}
}

// sortKey is where a line stands among the others.
type sortKey struct {
	patient []byte // raw text of the reference, or the id of a Patient; cut to keyBytes
	date    int64  // first microsecond; the greatest number without one
}

// keyBytes is as much of a reference as counts for the order.
const keyBytes = 256

// keyReader finds the keys of lines. It belongs to one goroutine.
type keyReader struct {
	walker fhirjson.Walker
	typ    string
	ranks  []rank // by Node.ID

	key  sortKey
	best rank // what the key comes from so far
}

// rank says which of the elements a node is, from 1; 0 is none.
type rank struct{ patient, date int }

// newKeyReader returns the reader for a type. Its walker sees nothing but the
// elements that matter. It is nil when the type has none.
func newKeyReader(typ string) (*keyReader, error) {
	k := &keyReader{typ: typ}
	ranks := map[string]rank{}
	var members []string
	add := func(path string, r rank) {
		top, rest, nested := strings.Cut(path, ".")
		e := definition.Type(typ).Field(top)
		if e == nil || e.List || nested != (e.Struct != nil) {
			return
		}
		if nested {
			top += "{" + rest + "}"
		}
		members = append(members, top)
		ranks[path] = r
	}
	for i, p := range patientElements(typ) {
		add(p, rank{patient: i + 1})
	}
	for i, p := range dateElements() {
		add(p, rank{date: i + 1})
	}
	if len(members) == 0 {
		return nil, nil
	}
	tree := fhirjson.NewTree(typ, fhirjson.Limits{})
	if err := tree.UnmarshalText([]byte(typ + "{" + strings.Join(members, ",") + "}")); err != nil {
		return nil, fmt.Errorf("order %s: %w", typ, err)
	}
	tree = tree.Columns()
	for _, n := range tree.Nodes {
		k.ranks = append(k.ranks, ranks[path(n)])
	}
	k.walker.Use(tree)
	return k, nil
}

// read returns the key of a line. It points into the line.
func (k *keyReader) read(line []byte) (sortKey, error) {
	k.key, k.best = sortKey{date: math.MaxInt64}, rank{}
	_, err := k.walker.WalkType(line, k.typ, k)
	return k.key, err
}

// Scalar implements fhirjson.Handler.
func (k *keyReader) Scalar(n *fhirjson.Node, v fhirjson.Scalar) {
	r := k.ranks[n.ID]
	switch {
	case r.patient > 0 && (k.best.patient == 0 || r.patient < k.best.patient):
		k.best.patient, k.key.patient = r.patient, v.Raw[:min(len(v.Raw), keyBytes)]
	case r.date > 0 && (k.best.date == 0 || r.date < k.best.date):
		if start, _, ok := parseSpan(v.Raw, n.Element.Kind); ok {
			k.best.date, k.key.date = r.date, start
		}
	}
}

// Struct implements fhirjson.Handler.
func (*keyReader) Struct(*fhirjson.Node) {}

// EndStruct implements fhirjson.Handler.
func (*keyReader) EndStruct(*fhirjson.Node) {}

// List implements fhirjson.Handler.
func (*keyReader) List(*fhirjson.Node) {}

// EndList implements fhirjson.Handler.
func (*keyReader) EndList(*fhirjson.Node) {}

// Null implements fhirjson.Handler.
func (*keyReader) Null(*fhirjson.Node) {}

// Unmapped implements fhirjson.Handler.
func (*keyReader) Unmapped(_, _ []byte) {}
