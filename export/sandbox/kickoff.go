package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/export/sandbox/fhirpath"
	"github.com/flue-fhir/flue/export/sandbox/store"
	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// supporting are the types outside of the patient compartment that exports of
// patients bring along whole, because the patients' resources refer to them
// (EX2, _type).
var supporting = []string{"Organization", "Practitioner", "PractitionerRole", "Location", "HealthcareService", "Medication", "Substance", "Endpoint"}

// kickOff starts an export.
func (s *Server) kickOff(w http.ResponseWriter, r *http.Request, rt *route) {
	if !allowed(w, r, http.MethodGet, http.MethodPost) || !s.negotiated(w, r) {
		return
	}
	req, err := readKickOff(w, r, rt)
	if err == nil {
		err = s.authorizeExport(req, rt)
	}
	view, at := s.Data.Snapshot()
	if err == nil {
		err = s.resolve(req, view)
	}
	if err != nil {
		s.refuse(w, err)
		return
	}
	job, err := s.startJob(req, rt, view, at, s.requestURL(r))
	if err != nil {
		s.refuse(w, err)
		return
	}
	rt.export = job.id
	w.Header().Set("Content-Location", s.base(r)+"/_export/"+job.id)
	var issues []issue
	for _, text := range req.ignored {
		issues = append(issues, issue{"warning", "not-supported", text})
	}
	if len(issues) == 0 {
		issues = []issue{{"information", "informational", "the export has begun"}}
	}
	answer(w, http.StatusAccepted, typeFHIR, outcome(issues...))
}

// requestURL is the kick-off's URL as the manifest repeats it.
func (s *Server) requestURL(r *http.Request) string {
	if s.BaseURL == "" {
		return origin(r) + r.URL.RequestURI()
	}
	return s.base(r) + strings.TrimPrefix(r.URL.RequestURI(), strings.TrimSuffix(s.path(), "/"))
}

// negotiated checks the headers that a kick-off needs.
func (s *Server) negotiated(w http.ResponseWriter, r *http.Request) bool {
	accept := r.Header.Get("Accept")
	kind, _, err := mime.ParseMediaType(accept)
	switch {
	case accept == "":
		fail(w, http.StatusBadRequest, "required", "the header Accept: "+typeFHIR+" is missing")
	case err != nil || kind != typeFHIR:
		fail(w, http.StatusNotAcceptable, "not-supported", "the header Accept is not "+typeFHIR)
	case preference(r, "respond-async") == "":
		fail(w, http.StatusBadRequest, "required", "the header Prefer: respond-async is missing")
	case !slices.Contains([]string{"", "lenient", "strict"}, preference(r, "handling")):
		fail(w, http.StatusBadRequest, "value", "the header Prefer has a handling that is neither lenient nor strict")
	default:
		return true
	}
	return false
}

// refuse answers what went wrong with a kick-off.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	var no *refused
	var busy *busyError
	var scope *scopeError
	switch {
	case errors.Is(err, errContentType):
		fail(w, http.StatusUnsupportedMediaType, "not-supported", err.Error())
	case errors.As(err, &busy):
		w.Header().Set("Retry-After", seconds(orElse(s.RetryAfter, oneSecond)))
		fail(w, http.StatusTooManyRequests, "throttled", err.Error())
	case errors.As(err, &scope):
		forbid(w, scope.typ)
	case errors.Is(err, errNoGroup):
		fail(w, http.StatusNotFound, "not-found", err.Error())
	case errors.As(err, &no):
		fail(w, http.StatusBadRequest, no.code, no.text)
	default:
		s.log().Error("kick-off failed", "error", err)
		fail(w, http.StatusInternalServerError, "exception", "the export could not be started")
	}
}

// scopeError is a token without the scope for a type.
type scopeError struct{ typ string }

func (e *scopeError) Error() string { return "the access token has no scope for " + e.typ }

var errNoGroup = errors.New("there is no such Group")

// authorizeExport refuses what is asked for by name without a scope for it. What
// is not asked for by name is left out later.
func (s *Server) authorizeExport(req *exportRequest, rt *route) error {
	if req.level == levelGroup && !rt.mayRead("Group") {
		return &scopeError{"Group"}
	}
	kept := req.types[:0:0]
	for _, typ := range req.types {
		switch {
		case rt.mayExport(typ):
			kept = append(kept, typ)
		case req.lenient:
			req.ignored = append(req.ignored, "the access token has no scope for "+typ)
		default:
			return &scopeError{typ}
		}
	}
	if req.types == nil {
		return nil
	}
	if len(kept) == 0 {
		return &scopeError{req.types[0]}
	}
	req.types = kept
	return nil
}

// resolve finds the types and the patients that the request is about.
func (s *Server) resolve(req *exportRequest, view *store.View) error {
	if err := req.resolveTypes(view); err != nil {
		return err
	}
	var members []string
	if req.level == levelGroup {
		var err error
		if members, err = groupMembers(view, req.group); err != nil {
			return err
		}
	}
	if req.patients == nil {
		req.patients = members
		return nil
	}
	kept := []string{}
	isMember := make(map[string]bool, len(members))
	for _, id := range members {
		isMember[id] = true
	}
	for _, id := range req.patients {
		found := isMember[id]
		if req.level != levelGroup {
			var err error
			if _, found, err = view.Find("Patient", id); err != nil {
				return err
			}
		}
		switch {
		case found:
			kept = append(kept, id)
		case req.lenient:
			req.ignored = append(req.ignored, "the parameter patient names one who is not there")
		default:
			return invalid("the parameter patient names one who is not there")
		}
	}
	req.patients = kept
	return nil
}

// resolveTypes checks the types against the level, or finds all of the level.
func (req *exportRequest) resolveTypes(view *store.View) error {
	if req.level == levelSystem && req.types != nil {
		return nil
	}
	if req.types == nil {
		all := view.Types()
		for _, d := range view.Deleted(req.since) {
			all = append(all, d.Type) // its last resource may be gone
		}
		slices.Sort(all)
		req.types = []string{}
		for _, typ := range slices.Compact(all) {
			if req.level == levelSystem || exportable(typ) {
				req.types = append(req.types, typ)
			}
		}
		return nil
	}
	kept := req.types[:0:0]
	for _, typ := range req.types {
		switch {
		case exportable(typ):
			kept = append(kept, typ)
		case req.lenient:
			req.ignored = append(req.ignored, typ+" is not part of an export of patients")
		default:
			return invalid("%s is not part of an export of patients", typ)
		}
	}
	req.types = kept
	return nil
}

func exportable(typ string) bool {
	return slices.Contains(supporting, typ) || store.InCompartment(typ)
}

// groupMembers returns the ids of the active members of a Group.
func groupMembers(view *store.View, id string) ([]string, error) {
	row, ok, err := view.Find("Group", id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errNoGroup
	}
	r := view.Reader("Group")
	defer r.Close()
	line, err := r.Line(row)
	if err != nil {
		return nil, err
	}
	var group struct{ Member []fhir.GroupMember }
	if err := json.Unmarshal(line, &group); err != nil {
		return nil, fmt.Errorf("read group: %w", err)
	}
	members := []string{}
	for _, m := range group.Member {
		if m.Entity.Reference == nil || m.Inactive != nil && *m.Inactive {
			continue
		}
		if typ, id := fhirpath.SplitReference(*m.Entity.Reference); id != "" && (typ == "Patient" || typ == "") {
			members = append(members, id)
		}
	}
	return members, nil
}
