package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/flue-fhir/flue/export/sandbox/fhirpath"
	"github.com/flue-fhir/flue/export/sandbox/store"
)

// admin answers /_sandbox/…, for tests:
//
//	POST revoke                   ends all access tokens
//	POST expire?export=ID         makes an export answer 404; without ID all
//	POST expire-pages             makes next links answer 410
//	POST touch?ref=T/id…          gives resources a new lastUpdated
//	POST touch?type=T&count=N     the same for the first N of a type
//	POST delete?ref=T/id…         deletes resources; also with type and count
//	POST put                      creates or replaces the resource in the body
//	POST faults                   replaces the fault rules by the list in the body
//	GET  requests                 the request log: {counts, requests}
func (s *Server) admin(w http.ResponseWriter, r *http.Request, action string) {
	if action == "requests" {
		if allowed(w, r, http.MethodGet) {
			answer(w, http.StatusOK, "application/json", map[string]any{"counts": s.Counts(), "requests": s.Requests()})
		}
		return
	}
	if !allowed(w, r, http.MethodPost) {
		return
	}
	out := map[string]any{}
	var err error
	switch action {
	case "revoke":
		if s.Auth != nil {
			s.Auth.RevokeAll()
		}
	case "expire":
		out["exports"] = s.ExpireExport(r.URL.Query().Get("export"))
	case "expire-pages":
		s.ExpirePages()
	case "touch", "delete":
		err = s.adminChange(r, action, out)
	case "put":
		err = s.adminPut(w, r, out)
	case "faults":
		var rules []FaultRule
		if err = json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&rules); err == nil {
			err = s.rules.Set(rules...)
			out["rules"] = len(rules)
		}
	default:
		fail(w, http.StatusNotFound, "not-found", "there is no such action")
		return
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		fail(w, http.StatusNotFound, "not-found", "there is no such resource")
	case err != nil:
		fail(w, http.StatusBadRequest, "value", "the request cannot be used")
	default:
		answer(w, http.StatusOK, "application/json", out)
	}
}

func (s *Server) adminChange(r *http.Request, action string, out map[string]any) error {
	refs, err := s.references(r)
	if err != nil {
		return err
	}
	change := s.Data.Touch
	if action == "delete" {
		change = s.Data.Delete
	}
	at, err := change(refs...)
	if err != nil {
		return err
	}
	names := []string{}
	for _, ref := range refs {
		names = append(names, ref.Type+"/"+ref.ID)
	}
	out["changed"], out["at"] = names, at.Format(time.RFC3339Nano)
	return nil
}

func (s *Server) adminPut(w http.ResponseWriter, r *http.Request, out map[string]any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return err
	}
	at, err := s.Data.Put(body)
	out["at"] = at.Format(time.RFC3339Nano)
	return err
}

var errNoReference = errors.New("the request names no resource")

// references reads which resources an action is about.
func (s *Server) references(r *http.Request) ([]store.Reference, error) {
	q := r.URL.Query()
	var out []store.Reference
	for _, ref := range q["ref"] {
		typ, id := fhirpath.SplitReference(strings.TrimPrefix(ref, "/"))
		if typ == "" {
			return nil, errNoReference
		}
		out = append(out, store.Reference{Type: typ, ID: id})
	}
	if typ := q.Get("type"); typ != "" {
		count, err := strconv.Atoi(orElse(q.Get("count"), "1"))
		if err != nil || count < 1 {
			return nil, errNoReference
		}
		more, err := s.Data.View().First(typ, count)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	if len(out) == 0 {
		return nil, errNoReference
	}
	return out, nil
}
