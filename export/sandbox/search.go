package sandbox

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/flue-fhir/flue/export/sandbox/query"
	"github.com/flue-fhir/flue/export/sandbox/store"
)

// results are the parameters that shape an answer instead of selecting
// resources.
type results struct {
	count    int
	elements elements
	include  []include
}

// searchState is a search as its pages go on with it: the view does not change
// from page to page. It is immutable.
type searchState struct {
	typ     string
	query   *query.Query
	results results
	view    *store.View
	rows    *store.Rows // candidates; nil is all
	total   *int        // nil when it is not known
	self    string      // query of the self link
	ignored []string
}

// search answers the first page of GET [base]/Type and POST
// [base]/Type/_search.
func (s *Server) search(w http.ResponseWriter, r *http.Request, rt *route) {
	method := http.MethodGet
	if rt.id == "_search" {
		method = http.MethodPost
	}
	if !allowed(w, r, method) || !acceptsFHIR(w, r) {
		return
	}
	if !rt.maySearch(rt.typ) || !rt.mayRead(rt.typ) {
		forbid(w, rt.typ)
		return
	}
	values, err := searchParameters(w, r)
	if err == nil {
		var state *searchState
		if state, err = s.newSearch(r, rt, values); err == nil {
			s.writePage(w, r, rt, state, 0)
			return
		}
	}
	s.refuse(w, err)
}

// searchParameters reads the parameters of the URL and, in a POST, of the form.
func searchParameters(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("the URL's query cannot be parsed")
	}
	if r.Method == http.MethodGet {
		return values, nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, &refused{code: "not-supported", text: "the body is not a form"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, &refused{code: "too-long", text: "the body cannot be read"}
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, invalid("the form cannot be parsed")
	}
	for name, more := range form {
		values[name] = append(values[name], more...)
	}
	return values, nil
}

// newSearch parses a search and finds its candidates.
func (s *Server) newSearch(r *http.Request, rt *route, values url.Values) (*searchState, error) {
	state := &searchState{typ: rt.typ, view: s.Data.View(), results: results{count: orElse(s.PageSize, 100)}}
	strict := preference(r, "handling") == "strict"
	used, selecting := url.Values{}, url.Values{}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		known, err := s.result(state, name, values[name])
		if !known && err == nil {
			one := url.Values{name: values[name]}
			if _, err = query.Parse(rt.typ, one); err == nil {
				selecting[name] = values[name]
			}
		}
		var q *query.Error
		if errors.As(err, &q) {
			err = &refused{code: "value", text: err.Error(), unknown: q.Unsupported}
		}
		var no *refused
		switch {
		case err == nil:
			used[name] = values[name]
		case errors.As(err, &no) && no.unknown && !strict:
			// A server may leave out what it does not know, if the self link says so.
			state.ignored = append(state.ignored, no.text)
		default:
			return nil, err
		}
	}
	var err error
	if state.query, err = query.Parse(rt.typ, selecting); err != nil {
		return nil, invalid("%s", err)
	}
	state.self = used.Encode()
	if err := state.candidates(); err != nil {
		return nil, err
	}
	return state, nil
}

// result takes a parameter of the result, and reports whether it is one.
func (s *Server) result(state *searchState, name string, values []string) (known bool, err error) {
	switch name {
	case "_count":
		n, err := strconv.Atoi(values[0])
		if err != nil || n < 0 || len(values) > 1 {
			return true, invalid("_count is not a number")
		}
		state.results.count = min(n, orElse(s.MaxPageSize, 1000))
	case "_elements":
		state.results.elements, err = parseElements(values)
	case "_include":
		for _, v := range values {
			in, err := parseInclude(v)
			if err != nil {
				return true, err
			}
			state.results.include = append(state.results.include, in)
		}
	case "_format":
		if !slices.Contains([]string{"json", "application/json", typeFHIR}, values[0]) {
			return true, invalid("_format is not json")
		}
	case "_total":
		if !slices.Contains([]string{"none", "estimate", "accurate"}, values[0]) {
			return true, invalid("_total is none of none, estimate and accurate")
		}
	default:
		return false, nil
	}
	return true, err
}

// candidates narrows the rows by the index, and counts the matches where that
// takes no look at the resources.
func (st *searchState) candidates() error {
	for _, p := range st.query.Patients {
		if !indexed(st.typ, p.Code) {
			continue
		}
		rows, err := st.view.OfPatients(st.typ, p.IDs)
		if err != nil {
			return err
		}
		st.rows = rows
		break
	}
	if len(st.query.IDs) > 0 && st.rows == nil {
		rows := new(store.Rows)
		for _, id := range st.query.IDs[0] {
			row, ok, err := st.view.Find(st.typ, id)
			if err != nil {
				return err
			}
			if ok {
				rows.Add(row.N)
			}
		}
		st.rows = rows
	}
	if st.query.Indexed() && len(st.query.IDs) == 0 && len(st.query.Patients) == 0 {
		total := 0
		r := st.view.Reader(st.typ)
		defer r.Close()
		for n := uint32(0); ; {
			row, ok, err := r.Next(n, nil)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if st.query.MatchUpdated(row.Updated) {
				total++
			}
			n = row.N + 1
		}
		st.total = &total
	}
	return nil
}

// pages keeps searches for their next links.
type pages struct {
	mu    sync.Mutex
	kept  map[string]keptSearch
	order []string // oldest first
}

type keptSearch struct {
	state  *searchState
	client string
	until  time.Time
}

// maxSearches bounds the searches that are kept: beyond it the oldest goes, and
// its next links with it.
const maxSearches = 4096

func (s *Server) keep(state *searchState, client string) string {
	id := randomID()
	s.pages.mu.Lock()
	defer s.pages.mu.Unlock()
	if s.pages.kept == nil {
		s.pages.kept = map[string]keptSearch{}
	}
	if len(s.pages.order) >= maxSearches {
		delete(s.pages.kept, s.pages.order[0])
		s.pages.order = s.pages.order[1:]
	}
	s.pages.kept[id] = keptSearch{state, client, s.now().Add(orElse(s.PageExpiry, time.Hour))}
	s.pages.order = append(s.pages.order, id)
	return id
}

// ExpirePages makes every next link that was given out answer 410 from now on.
func (s *Server) ExpirePages() {
	s.pages.mu.Lock()
	defer s.pages.mu.Unlock()
	s.pages.kept, s.pages.order = nil, nil
}

// searchPage answers a next link: "id.row" of a kept search.
func (s *Server) searchPage(w http.ResponseWriter, r *http.Request, rt *route) {
	if !allowed(w, r, http.MethodGet) || !acceptsFHIR(w, r) {
		return
	}
	id, row, _ := strings.Cut(rt.id, ".")
	from, err := strconv.ParseUint(row, 10, 32)
	s.pages.mu.Lock()
	kept, ok := s.pages.kept[id]
	s.pages.mu.Unlock()
	if err != nil || !ok || kept.client != rt.client() || !s.now().Before(kept.until) {
		fail(w, http.StatusGone, "expired", "the search's next link has expired")
		return
	}
	rt.typ = kept.state.typ
	if !rt.maySearch(rt.typ) || !rt.mayRead(rt.typ) {
		forbid(w, rt.typ)
		return
	}
	s.writePageOf(w, r, rt, kept.state, uint32(from), id)
}

// acceptsFHIR answers 406 to a client that takes no FHIR JSON.
func acceptsFHIR(w http.ResponseWriter, r *http.Request) bool {
	accept := r.Header.Get("Accept")
	if accept == "" {
		return true
	}
	for part := range strings.SplitSeq(accept, ",") {
		kind, _, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err == nil && slices.Contains([]string{typeFHIR, "application/json", "application/*", "*/*"}, kind) {
			return true
		}
	}
	fail(w, http.StatusNotAcceptable, "not-supported", "the answer is "+typeFHIR)
	return false
}
