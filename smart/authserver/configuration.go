package authserver

import "net/http"

// Configuration is the smart-configuration document as the client of this request
// should see it.
func (s *Server) Configuration(r *http.Request) map[string]any {
	capabilities := s.Capabilities
	if capabilities == nil {
		capabilities = []string{"client-confidential-asymmetric", "permission-v1", "permission-v2"}
	}
	scopes := s.Scopes
	if scopes == nil {
		scopes = []string{"system/*.cruds", "system/*.rs", "system/*.read"}
	}
	return map[string]any{
		"token_endpoint":                                   s.TokenEndpoint(r),
		"grant_types_supported":                            []string{"client_credentials"},
		"token_endpoint_auth_methods_supported":            []string{"private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": s.algorithms(),
		"scopes_supported":                                 scopes,
		"capabilities":                                     capabilities,
		"code_challenge_methods_supported":                 []string{"S256"},
	}
}

// ConfigurationHandler serves the document. Mount it at the FHIR base's
// /.well-known/smart-configuration.
func (s *Server) ConfigurationHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET is served here", http.StatusMethodNotAllowed)
			return
		}
		writeJSON(w, http.StatusOK, s.Configuration(r))
	})
}
