package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/export/sandbox/store"
	"github.com/flue-fhir/flue/sinks"
)

// change is what happens at the server between a first run and a second one,
// which asks for what has changed.
type change struct {
	Touch  int     `json:"touch"`  // resources that get a new version
	Delete int     `json:"delete"` // resources that go
	Faults []fault `json:"faults"` // of the second run
}

// changed is the type whose resources change.
const changed = "Observation"

// alter changes the server's resources. It returns what has changed, and all
// that the server holds then.
func (s *site) alter(all map[string]multiset, c change) (delta map[string]multiset, err error) {
	lines := map[string]string{} // by id
	for line := range all[changed] {
		var r struct{ ID string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, err
		}
		lines[r.ID] = line
	}
	var list []string
	for id := range lines {
		list = append(list, id)
	}
	slices.Sort(list)
	c.Touch, c.Delete = min(c.Touch, len(list)/2), min(c.Delete, len(list)/2)
	var touched, gone []store.Reference
	for i, id := range list {
		if i < c.Touch {
			touched = append(touched, store.Reference{Type: changed, ID: id})
		} else if i < c.Touch+c.Delete {
			gone = append(gone, store.Reference{Type: changed, ID: id})
		}
	}
	if _, err := s.sandbox.Data.Touch(touched...); err != nil {
		return nil, err
	}
	if len(gone) > 0 {
		if _, err := s.sandbox.Data.Delete(gone...); err != nil {
			return nil, err
		}
	}
	delta = map[string]multiset{}
	for typ := range all {
		delta[typ] = multiset{}
	}
	view := s.sandbox.Data.View()
	reader := view.Reader(changed)
	for _, ref := range touched {
		row, ok, err := view.Find(ref.Type, ref.ID)
		if err != nil || !ok {
			return nil, errors.Join(errors.New("a touched resource is not there"), err, reader.Close())
		}
		line, err := reader.Line(row)
		if err != nil {
			return nil, errors.Join(err, reader.Close())
		}
		delete(all[changed], lines[ref.ID])
		all[changed][string(line)], delta[changed][string(line)] = 1, 1
	}
	for _, ref := range gone {
		delete(all[changed], lines[ref.ID])
		s.gone = append(s.gone, ref.ID)
	}
	return delta, reader.Close()
}

// kindOfNext is what the run after a snapshot publishes: the changes, when every
// type has a watermark, and otherwise everything (I2).
func kindOfNext(first *sinks.Manifest, types []string) sinks.Kind {
	for _, typ := range types {
		if first.Watermarks[typ].IsZero() {
			return sinks.Full
		}
	}
	return sinks.Delta
}

// judgeDeletions checks that a delta tells what was deleted.
func judgeDeletions(dir string, gone []string) (problems []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "deleted", "*.ndjson"))
	if err != nil {
		return nil, err
	}
	got, want := multiset{}, multiset{}
	for _, id := range gone {
		want[changed+"/"+id]++
	}
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		err = errors.Join(eachLine(f, func(line []byte) error {
			var d struct{ Type, ID string }
			err := json.Unmarshal(line, &d)
			got[d.Type+"/"+d.ID]++
			return err
		}), f.Close())
		if err != nil {
			return nil, err
		}
	}
	if lost, extra := difference(want, got); lost+extra > 0 {
		problems = append(problems, fmt.Sprintf("deletions: %d lost, %d foreign or twice", lost, extra))
	}
	m, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	if m.Deletions == nil || m.Deletions.Published != int64(len(gone)) {
		problems = append(problems, fmt.Sprintf("deletions: the manifest tells %+v of %d", m.Deletions, len(gone)))
	}
	for _, f := range m.Files {
		if strings.HasPrefix(f.Path, "deleted/") && f.Rows != int64(len(gone)) {
			problems = append(problems, fmt.Sprintf("deletions: %s has %d rows of %d", f.Path, f.Rows, len(gone)))
		}
	}
	return problems, nil
}
