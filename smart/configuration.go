package smart

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
)

// Configuration is what a FHIR server says of its authorization server: the
// members of .well-known/smart-configuration that a backend client can use. Only
// TokenEndpoint is sure to be there (P4); servers misadvertise the rest.
//
// Source: SMART App Launch 2.2.0, Conformance.
type Configuration struct {
	TokenEndpoint         string   // absolute
	Issuer                string   //
	JWKSURI               string   // absolute
	IntrospectionEndpoint string   // absolute
	ManagementEndpoint    string   // absolute
	GrantTypes            []string // grant_types_supported
	AuthMethods           []string // token_endpoint_auth_methods_supported
	SigningAlgorithms     []string // token_endpoint_auth_signing_alg_values_supported
	Scopes                []string // scopes_supported
	Capabilities          []string //
	// Source is where it was found: SourceWellKnown or SourceCapabilityStatement.
	Source string
}

// The places where a Configuration is found.
const (
	SourceWellKnown           = "smart-configuration"
	SourceCapabilityStatement = "CapabilityStatement"
)

// V2 reports whether the server knows scopes of version 2 (P11).
func (c *Configuration) V2() bool { return slices.Contains(c.Capabilities, "permission-v2") }

// parseConfiguration reads a smart-configuration document.
func parseConfiguration(data []byte, base *url.URL) (*Configuration, error) {
	var doc struct {
		Token         string  `json:"token_endpoint"`
		Issuer        lenient `json:"issuer"`
		JWKS          lenient `json:"jwks_uri"`
		Introspection lenient `json:"introspection_endpoint"`
		Management    lenient `json:"management_endpoint"`
		GrantTypes    lenient `json:"grant_types_supported"`
		AuthMethods   lenient `json:"token_endpoint_auth_methods_supported"`
		Algorithms    lenient `json:"token_endpoint_auth_signing_alg_values_supported"`
		Scopes        lenient `json:"scopes_supported"`
		Capabilities  lenient `json:"capabilities"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, jsonCause(err)
	}
	token, err := resolve(base, doc.Token)
	if err != nil {
		return nil, fmt.Errorf("token_endpoint: %w", err)
	}
	optional := func(l lenient) string {
		s, err := resolve(base, l.first())
		if err != nil {
			return ""
		}
		return s
	}
	return &Configuration{
		TokenEndpoint: token, Issuer: doc.Issuer.first(),
		JWKSURI: optional(doc.JWKS), IntrospectionEndpoint: optional(doc.Introspection), ManagementEndpoint: optional(doc.Management),
		GrantTypes: doc.GrantTypes, AuthMethods: doc.AuthMethods, SigningAlgorithms: doc.Algorithms,
		Scopes: doc.Scopes, Capabilities: doc.Capabilities,
		Source: SourceWellKnown,
	}, nil
}

// lenient is a list of strings that a server may also send as one string or as
// something else, which then counts as absent: only the token endpoint matters.
type lenient []string

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (l *lenient) UnmarshalJSON(data []byte) error {
	*l = nil
	var many []any
	if json.Unmarshal(data, &many) == nil {
		for _, v := range many {
			if s, ok := v.(string); ok {
				*l = append(*l, s)
			}
		}
		return nil
	}
	var one string
	if json.Unmarshal(data, &one) == nil && one != "" {
		*l = lenient{one}
	}
	return nil
}

func (l lenient) first() string {
	if len(l) == 0 {
		return ""
	}
	return l[0]
}

const oauthURIs = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"

// parseCapability reads the token endpoint out of a CapabilityStatement's security
// extension (SMART App Launch 1.0, still served by many).
func parseCapability(data []byte, base *url.URL) (*Configuration, error) {
	type extension struct {
		URL       string `json:"url"`
		ValueURI  string `json:"valueUri"`
		Extension []struct {
			URL      string `json:"url"`
			ValueURI string `json:"valueUri"`
		} `json:"extension"`
	}
	var doc struct {
		Rest []struct {
			Security struct {
				Extension []extension `json:"extension"`
			} `json:"security"`
		} `json:"rest"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, jsonCause(err)
	}
	for _, rest := range doc.Rest {
		for _, ext := range rest.Security.Extension {
			if ext.URL != oauthURIs {
				continue
			}
			for _, sub := range ext.Extension {
				if sub.URL != "token" {
					continue
				}
				token, err := resolve(base, sub.ValueURI)
				if err != nil {
					return nil, fmt.Errorf("oauth-uris token: %w", err)
				}
				return &Configuration{TokenEndpoint: token, Source: SourceCapabilityStatement}, nil
			}
		}
	}
	return nil, errText("the CapabilityStatement names no token endpoint")
}

// resolve makes an endpoint absolute against the base, as if the base ended in a slash.
// An absolute one is returned as it was written: aud must equal it (P7).
func resolve(base *url.URL, ref string) (string, error) {
	if ref == "" {
		return "", errText("it is missing")
	}
	u, err := url.Parse(ref)
	if err != nil {
		return "", errText("it is not a URL")
	}
	written := ref
	if !u.IsAbs() {
		folder := *base
		folder.Path += "/"
		if folder.RawPath != "" {
			folder.RawPath += "/"
		}
		u = folder.ResolveReference(u)
		written = u.String()
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return "", errText("it is not an http(s) URL")
	}
	return written, nil
}
