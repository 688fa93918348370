package sandbox

import (
	"context"
	"errors"
	"slices"

	"github.com/flue-fhir/flue/export/sandbox/store"
)

// rows selects the rows that the level and the patients leave; nil is all.
func (j *job) rows(typ string) (*store.Rows, error) {
	req := j.asked
	switch {
	case req.level == levelSystem, slices.Contains(supporting, typ):
		return nil, nil
	case req.chosen && typ == "Group":
		return new(store.Rows), nil // it would name other patients
	case req.level == levelGroup && typ == "Group":
		rows := new(store.Rows)
		row, ok, err := j.view.Find("Group", req.group)
		if ok {
			rows.Add(row.N)
		}
		return rows, err
	case req.patients == nil:
		return j.view.Members(typ), nil
	}
	return j.view.OfPatients(typ, req.patients)
}

// writeType selects the resources of a type. All of them are pieces of the
// files as they lie; a selection is written out once.
func (s *Server) writeType(ctx context.Context, j *job, typ string) error {
	rows, err := j.rows(typ)
	if err != nil {
		return err
	}
	req := j.asked
	filters, keep := req.filters[typ], req.elements.of(typ)
	if rows == nil && filters == nil && keep == nil && req.since.IsZero() && req.until.IsZero() && j.view.Pristine(typ) {
		pieces, err := j.view.Pieces(typ, orElse(s.FileSize, defaultFileSize), s.FileLines)
		if err != nil {
			return err
		}
		for i, p := range pieces {
			j.output = append(j.output, newFile(typ, typ, i+1, p, s.Data.Dir(), false))
		}
		return nil
	}
	out := &fileWriter{job: j, typ: typ, name: typ, size: orElse(s.FileSize, defaultFileSize), lines: s.FileLines}
	err = s.selectLines(ctx, j, typ, rows, func(line []byte) error { return out.add(subset(line, keep)) })
	if err := errors.Join(err, out.finish()); err != nil {
		return err
	}
	j.output = append(j.output, out.files...)
	return nil
}

const defaultFileSize = 32 << 20

// selectLines yields the lines that pass _since, _until and _typeFilter.
func (s *Server) selectLines(ctx context.Context, j *job, typ string, rows *store.Rows, yield func([]byte) error) error {
	req := j.asked
	since, until := req.since.UnixMicro(), req.until.UnixMicro()
	filters := newMatchers(req.filters[typ])
	r := j.view.Reader(typ)
	defer r.Close()
	for n := uint32(0); ; n++ {
		if n&255 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		row, ok, err := r.Next(n, rows)
		if err != nil || !ok {
			return err
		}
		n = row.N
		if !req.since.IsZero() && row.Updated <= since || !req.until.IsZero() && row.Updated >= until {
			continue
		}
		line, err := r.Line(row)
		if err != nil {
			return err
		}
		if len(filters) > 0 && !slices.ContainsFunc(filters, func(m *matcher) bool { return m.match(row, line) }) {
			continue
		}
		if err := yield(line); err != nil {
			return err
		}
	}
}
