package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/flue-fhir/flue/export/sandbox/fhirpath"
	"github.com/flue-fhir/flue/export/sandbox/query"
	"github.com/flue-fhir/flue/export/sandbox/store"
	"github.com/flue-fhir/flue/internal/definition"
)

// indexed reports whether every match of the parameter is in the compartments
// of its patients, so that the index of those finds it.
func indexed(typ, code string) bool {
	if code == "patient" {
		return true
	}
	for _, c := range definition.Compartment(typ) {
		if c == code {
			return true
		}
	}
	return false
}

// include is `Type:parameter` or `Type:parameter:Target`.
type include struct {
	typ, target string
	path        *fhirpath.Path
}

func parseInclude(value string) (include, error) {
	parts := strings.Split(value, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return include{}, invalid("_include is not of the form Type:parameter")
	}
	p, ok := definition.Search(parts[0], parts[1])
	if !ok || p.Kind != "reference" {
		return include{}, unsupported("_include: R4 has no such reference parameter")
	}
	path, err := fhirpath.Compile(parts[0], p.Expression)
	if err != nil {
		return include{}, unsupported("_include: %s", err)
	}
	in := include{typ: parts[0], path: path}
	if len(parts) == 3 {
		in.target = parts[2]
	}
	return in, nil
}

func (s *Server) writePage(w http.ResponseWriter, r *http.Request, rt *route, state *searchState, from uint32) {
	s.writePageOf(w, r, rt, state, from, "")
}

// pageWriter writes a searchset Bundle by hand: resources go out with the bytes
// that they have in their files.
type pageWriter struct {
	out     bytes.Buffer
	base    string
	entries int
}

func (p *pageWriter) entry(typ string, line []byte, mode string) {
	if p.entries > 0 {
		p.out.WriteByte(',')
	}
	p.entries++
	p.out.WriteByte('{')
	if id := store.IDOf(line); id != "" && mode != "outcome" {
		p.out.WriteString(`"fullUrl":`)
		p.text(p.base + "/" + typ + "/" + id)
		p.out.WriteByte(',')
	}
	p.out.WriteString(`"resource":`)
	p.out.Write(line)
	p.out.WriteString(`,"search":{"mode":"` + mode + `"}}`)
}

func (p *pageWriter) text(s string) {
	quoted, _ := json.Marshal(s) // a string always encodes
	p.out.Write(quoted)
}

// writePageOf answers with the matches from a row on. id names the kept search;
// it is kept when there is more.
func (s *Server) writePageOf(w http.ResponseWriter, r *http.Request, rt *route, state *searchState, from uint32, id string) {
	page := &pageWriter{base: s.base(r)}
	reader := state.view.Reader(state.typ)
	defer reader.Close()
	match := newMatcher(state.query)
	keep := state.results.elements.of(state.typ)
	included := map[string]bool{}
	var includes []store.Reference
	next, more := from, false
	for found := 0; ; {
		row, ok, err := reader.Next(next, state.rows)
		if err != nil {
			s.failedPage(w, err)
			return
		}
		if !ok {
			break
		}
		line, err := reader.Line(row)
		if err != nil {
			s.failedPage(w, err)
			return
		}
		if !match.match(row, line) {
			next = row.N + 1
			continue
		}
		if found == state.results.count {
			more = state.results.count > 0
			next = row.N
			break
		}
		found++
		page.entry(state.typ, subset(line, keep), "match")
		includes = append(includes, state.referenced(line, included)...)
		next = row.N + 1
	}
	if err := s.writeIncludes(page, rt, state, includes); err != nil {
		s.failedPage(w, err)
		return
	}
	if from == 0 && len(state.ignored) > 0 {
		var issues []issue
		for _, text := range state.ignored {
			issues = append(issues, issue{"warning", "not-supported", text})
		}
		line, err := json.Marshal(outcome(issues...))
		if err != nil {
			s.failedPage(w, err)
			return
		}
		page.entry("OperationOutcome", line, "outcome")
	}
	var head bytes.Buffer
	links := &pageWriter{}
	links.out.WriteString(`{"resourceType":"Bundle","type":"searchset","timestamp":`)
	links.text(s.now().UTC().Format("2006-01-02T15:04:05.000Z"))
	if state.total != nil {
		links.out.WriteString(`,"total":` + strconv.Itoa(*state.total))
	}
	links.out.WriteString(`,"link":[{"relation":"self","url":`)
	self := page.base + "/" + state.typ
	if state.self != "" {
		self += "?" + state.self
	}
	links.text(self)
	links.out.WriteByte('}')
	if more {
		if id == "" {
			id = s.keep(state, rt.client())
		}
		links.out.WriteString(`,{"relation":"next","url":`)
		links.text(page.base + "/_page/" + id + "." + strconv.FormatUint(uint64(next), 10))
		links.out.WriteByte('}')
	}
	links.out.WriteByte(']')
	head.Write(links.out.Bytes())
	if page.entries > 0 {
		head.WriteString(`,"entry":[`)
	}
	w.Header().Set("Content-Type", typeFHIR)
	tail := "}"
	if page.entries > 0 {
		tail = "]}"
	}
	w.Header().Set("Content-Length", strconv.Itoa(head.Len()+page.out.Len()+len(tail)))
	w.WriteHeader(http.StatusOK)
	for _, part := range [][]byte{head.Bytes(), page.out.Bytes(), []byte(tail)} {
		if _, err := w.Write(part); err != nil {
			return // the client went away
		}
	}
}

func (s *Server) failedPage(w http.ResponseWriter, err error) {
	s.log().Error("search failed", "error", err)
	fail(w, http.StatusInternalServerError, "exception", "the search failed")
}

// referenced returns what the line's includes refer to and is not in seen yet.
func (st *searchState) referenced(line []byte, seen map[string]bool) []store.Reference {
	var out []store.Reference
	for _, in := range st.results.include {
		if in.typ != st.typ {
			continue
		}
		resource, ok := query.Decode(line, in.path.Roots())
		if !ok {
			continue
		}
		for _, v := range in.path.Values(resource) {
			object, ok := v.JSON.(map[string]any)
			if !ok {
				continue
			}
			literal, _ := object["reference"].(string)
			typ, id := fhirpath.SplitReference(literal)
			if typ == "" || in.target != "" && in.target != typ || seen[typ+"/"+id] {
				continue
			}
			seen[typ+"/"+id] = true
			out = append(out, store.Reference{Type: typ, ID: id})
		}
	}
	return out
}

// writeIncludes adds the included resources that are there and that the token
// covers.
func (s *Server) writeIncludes(page *pageWriter, rt *route, state *searchState, refs []store.Reference) error {
	for _, ref := range refs {
		if !rt.mayRead(ref.Type) {
			continue
		}
		row, ok, err := state.view.Find(ref.Type, ref.ID)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		r := state.view.Reader(ref.Type)
		line, err := r.Line(row)
		if err == nil {
			page.entry(ref.Type, subset(line, state.results.elements.of(ref.Type)), "include")
		}
		if cerr := r.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	return nil
}
