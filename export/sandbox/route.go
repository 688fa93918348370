package sandbox

import (
	"context"
	"net/http"
	"strings"

	"github.com/flue-fhir/flue/internal/definition"
	"github.com/flue-fhir/flue/smart/authserver"
)

// The patterns of requests, as the request log and Pattern name them.
const (
	PatternKickOff    = "kickoff"
	PatternStatus     = "status"
	PatternDelete     = "delete"
	PatternFile       = "file"
	PatternToken      = "token"
	PatternSMART      = "smart-configuration"
	PatternMetadata   = "metadata"
	PatternSearch     = "search"
	PatternSearchPage = "page"
	PatternRead       = "read"
	PatternAdmin      = "admin"
	PatternUnknown    = "unknown"
)

// route is what a request asks for.
type route struct {
	pattern string
	level   string // of a kick-off: "system", "Patient" or "Group"
	typ     string // of a search, read or file
	id      string // of a read, an export, a group or a page
	file    string // name of an export's file
	export  string // id of the export that a kick-off started
	grant   *authserver.Grant
}

type routeKey struct{}

// routeOf returns the request's route.
func routeOf(r *http.Request) *route {
	if rt, ok := r.Context().Value(routeKey{}).(*route); ok {
		return rt
	}
	return &route{pattern: PatternUnknown}
}

// Pattern says what a request asks for, for use in a Fault function.
func Pattern(r *http.Request) string { return routeOf(r).pattern }

// tokenPath is where the token endpoint is mounted.
func (s *Server) tokenPath() string { return orElse(s.Auth.TokenPath, "/auth/token") }

// classify finds the route of a path. It looks at nothing else but the method
// where the path alone does not tell.
func (s *Server) classify(r *http.Request) *route {
	path := r.URL.Path
	if s.Auth != nil && path == s.tokenPath() {
		return &route{pattern: PatternToken}
	}
	if after, ok := strings.CutPrefix(path, "/_sandbox/"); ok && s.Admin {
		return &route{pattern: PatternAdmin, id: after}
	}
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(s.path(), "/")+"/")
	if !ok {
		return &route{pattern: PatternUnknown}
	}
	switch parts := strings.Split(rest, "/"); {
	case rest == "metadata":
		return &route{pattern: PatternMetadata}
	case rest == ".well-known/smart-configuration":
		return &route{pattern: PatternSMART}
	case rest == "$export":
		return &route{pattern: PatternKickOff, level: levelSystem}
	case rest == "Patient/$export":
		return &route{pattern: PatternKickOff, level: levelPatient}
	case len(parts) == 3 && parts[0] == "Group" && parts[2] == "$export":
		return &route{pattern: PatternKickOff, level: levelGroup, id: parts[1]}
	case parts[0] == "_export" && len(parts) == 2 && r.Method == http.MethodDelete:
		return &route{pattern: PatternDelete, id: parts[1]}
	case parts[0] == "_export" && len(parts) == 2:
		return &route{pattern: PatternStatus, id: parts[1]}
	case parts[0] == "_export" && len(parts) == 3:
		typ, _, _ := strings.Cut(parts[2], ".")
		return &route{pattern: PatternFile, id: parts[1], file: parts[2], typ: typ}
	case parts[0] == "_page" && len(parts) == 2:
		return &route{pattern: PatternSearchPage, id: parts[1]}
	case definition.Type(parts[0]) == nil:
		return &route{pattern: PatternUnknown}
	case len(parts) == 1, len(parts) == 2 && parts[1] == "_search":
		return &route{pattern: PatternSearch, typ: parts[0], id: strings.Join(parts[1:], "")}
	case len(parts) == 2 && parts[1] != "":
		return &route{pattern: PatternRead, typ: parts[0], id: parts[1]}
	}
	return &route{pattern: PatternUnknown}
}

// Handler answers the server's requests.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rt := s.classify(r)
		r = r.WithContext(context.WithValue(r.Context(), routeKey{}, rt))
		rec := &recorder{ResponseWriter: w}
		begun := s.now()
		defer func() { s.record.add(s.entry(begun, r, rt, rec)) }()
		if err := s.start(); err != nil {
			s.log().Error("the sandbox cannot start", "error", err)
			fail(rec, http.StatusInternalServerError, "exception", "the server cannot start")
			return
		}
		if !pause(r.Context(), s.Latency) {
			return
		}
		if rt.pattern != PatternAdmin {
			if f := s.fault(r); f != nil {
				f.serve(rec, r, http.HandlerFunc(s.dispatch))
				return
			}
		}
		s.dispatch(rec, r)
	})
}

func (s *Server) fault(r *http.Request) *Fault {
	if s.Fault != nil {
		if f := s.Fault(r); f != nil {
			return f
		}
	}
	return s.rules.Fault(r)
}

// dispatch answers a request by its route.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	rt := routeOf(r)
	if s.MaxURL > 0 && len(r.RequestURI) > s.MaxURL {
		fail(w, http.StatusRequestURITooLong, "too-long", "the request's target is too long")
		return
	}
	switch rt.pattern {
	case PatternToken:
		s.Auth.TokenHandler().ServeHTTP(w, r)
		return
	case PatternSMART:
		if s.Auth == nil {
			fail(w, http.StatusNotFound, "not-found", "the server is open")
			return
		}
		s.Auth.ConfigurationHandler().ServeHTTP(w, r)
		return
	case PatternMetadata:
		s.metadata(w, r)
		return
	case PatternAdmin:
		s.admin(w, r, rt.id)
		return
	case PatternUnknown:
		fail(w, http.StatusNotFound, "not-found", "there is nothing at this path")
		return
	case PatternFile:
		if s.OpenFiles {
			s.file(w, r, rt)
			return
		}
	}
	if !s.authorize(w, r, rt) {
		return
	}
	switch rt.pattern {
	case PatternKickOff:
		s.kickOff(w, r, rt)
	case PatternStatus:
		s.status(w, r, rt)
	case PatternDelete:
		s.deleteJob(w, r, rt)
	case PatternFile:
		s.file(w, r, rt)
	case PatternSearch:
		s.search(w, r, rt)
	case PatternSearchPage:
		s.searchPage(w, r, rt)
	case PatternRead:
		s.read(w, r, rt)
	}
}

// allowed answers 405 unless the request's method is one of these.
func allowed(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	fail(w, http.StatusMethodNotAllowed, "not-supported", "the method is not supported here")
	return false
}
