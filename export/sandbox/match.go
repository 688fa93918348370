package sandbox

import (
	"slices"

	"github.com/flue-fhir/flue/export/sandbox/query"
	"github.com/flue-fhir/flue/export/sandbox/store"
)

// matcher tests rows against a query, the cheap conditions first.
type matcher struct {
	query    *query.Query
	patients []*store.PatientMatcher // one for each of the query's Patients
}

func newMatcher(q *query.Query) *matcher {
	m := &matcher{query: q}
	for _, p := range q.Patients {
		m.patients = append(m.patients, store.NewPatientMatcher(p.Paths, p.IDs))
	}
	return m
}

func newMatchers(queries []*query.Query) []*matcher {
	var out []*matcher
	for _, q := range queries {
		out = append(out, newMatcher(q))
	}
	return out
}

func (m *matcher) match(row store.Row, line []byte) bool {
	if !m.query.MatchUpdated(row.Updated) || len(m.query.IDs) > 0 && !m.query.MatchID(store.IDOf(line)) {
		return false
	}
	if slices.ContainsFunc(m.patients, func(p *store.PatientMatcher) bool { return !p.Match(line) }) {
		return false
	}
	return m.query.MatchLine(line)
}
