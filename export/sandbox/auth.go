package sandbox

import (
	"errors"
	"net/http"

	"github.com/flue-fhir/flue/smart/authserver"
)

// authorize checks the request's token and keeps its grant in the route; it
// answers 401 itself.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, rt *route) bool {
	if s.Auth == nil {
		return true
	}
	grant, err := s.Auth.Check(r)
	if err == nil {
		rt.grant = grant
		return true
	}
	var denied *authserver.Denied
	if errors.As(err, &denied) {
		w.Header().Set("WWW-Authenticate", denied.Challenge)
	}
	w.Header().Set("Cache-Control", "no-store")
	fail(w, http.StatusUnauthorized, "login", err.Error())
	return false
}

// mayRead reports whether the token covers reads of the type, and searches for
// it: bulk exports need both (SMART App Launch, scopes for backend services).
func (rt *route) mayRead(typ string) bool {
	return rt.grant == nil || rt.grant.Allows(typ, 'r')
}

func (rt *route) maySearch(typ string) bool {
	return rt.grant == nil || rt.grant.Allows(typ, 's')
}

func (rt *route) mayExport(typ string) bool { return rt.mayRead(typ) && rt.maySearch(typ) }

// client is who is asking; "" on an open server.
func (rt *route) client() string {
	if rt.grant == nil {
		return ""
	}
	return rt.grant.ClientID
}

func forbid(w http.ResponseWriter, typ string) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="fhir", error="insufficient_scope"`)
	fail(w, http.StatusForbidden, "forbidden", "the access token has no scope for "+typ)
}
