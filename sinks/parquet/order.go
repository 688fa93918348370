package parquet

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
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

// sorter keeps the lines of a row group and gives them back by patient and
// date. It belongs to one goroutine.
type sorter struct {
	walker fhirjson.Walker
	typ    string
	ranks  []rank // by Node.ID
	lines  []sortedLine
	bytes  []byte // of all lines

	open sortedLine // the line being walked
	best rank       // what its keys come from so far
}

// rank says which of the elements a node is, from 1; 0 is none.
type rank struct{ patient, date int }

type sortedLine struct {
	part    int
	at      int64
	from    int // within bytes
	to      int
	patient []byte // raw text of the reference, or the id of a Patient
	date    int64  // first microsecond; the greatest number without one
}

// newSorter returns a sorter of a type. Its walker sees nothing but the
// elements that matter. It is nil when the type has none.
func newSorter(typ string) (*sorter, error) {
	s := &sorter{typ: typ}
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
		s.ranks = append(s.ranks, ranks[path(n)])
	}
	s.walker.Use(tree)
	return s, nil
}

// add keeps a line.
func (s *sorter) add(part int, at int64, line []byte) error {
	s.open = sortedLine{part: part, at: at, from: len(s.bytes), date: math.MaxInt64}
	s.best = rank{}
	s.bytes = append(room(s.bytes, len(line)), line...)
	s.open.to = len(s.bytes)
	if _, err := s.walker.WalkType(line, s.typ, s); err != nil {
		return &LineError{Part: part, Offset: at, Err: err}
	}
	s.open.patient = bytes.Clone(s.open.patient)
	s.lines = append(s.lines, s.open)
	return nil
}

// each yields the lines in order and forgets them.
func (s *sorter) each(yield func(part int, at int64, line []byte) error) error {
	slices.SortStableFunc(s.lines, func(a, b sortedLine) int {
		if c := bytes.Compare(a.patient, b.patient); c != 0 {
			return c
		}
		return cmp.Compare(a.date, b.date)
	})
	for _, l := range s.lines {
		if err := yield(l.part, l.at, s.bytes[l.from:l.to]); err != nil {
			return err
		}
	}
	clear(s.lines)
	s.lines, s.bytes = s.lines[:0], s.bytes[:0]
	return nil
}

// Scalar implements fhirjson.Handler.
func (s *sorter) Scalar(n *fhirjson.Node, v fhirjson.Scalar) {
	r := s.ranks[n.ID]
	switch {
	case r.patient > 0 && (s.best.patient == 0 || r.patient < s.best.patient):
		s.best.patient, s.open.patient = r.patient, v.Raw
	case r.date > 0 && (s.best.date == 0 || r.date < s.best.date):
		if start, _, ok := parseSpan(v.Raw, n.Element.Kind); ok {
			s.best.date, s.open.date = r.date, start
		}
	}
}

// Struct implements fhirjson.Handler.
func (s *sorter) Struct(*fhirjson.Node) {}

// EndStruct implements fhirjson.Handler.
func (s *sorter) EndStruct(*fhirjson.Node) {}

// List implements fhirjson.Handler.
func (s *sorter) List(*fhirjson.Node) {}

// EndList implements fhirjson.Handler.
func (s *sorter) EndList(*fhirjson.Node) {}

// Null implements fhirjson.Handler.
func (s *sorter) Null(*fhirjson.Node) {}

// Unmapped implements fhirjson.Handler.
func (s *sorter) Unmapped(_, _ []byte) {}
