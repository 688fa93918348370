package smart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
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

// Discover asks a FHIR server for its authorization server (P4): it reads
// base/.well-known/smart-configuration and, where that cannot be had, the oauth-uris
// of the CapabilityStatement. Relative endpoints are resolved against the base.
//
// A nil client means [http.DefaultClient]. Nothing secret is sent.
func Discover(ctx context.Context, client *http.Client, base string) (*Configuration, error) {
	b, err := parseBase(base)
	if err != nil {
		return nil, err
	}
	return discover(ctx, client, b, 0)
}

// Discovery is a cache of Configurations that several Clients can share. The
// zero value is ready; do not change its fields after the first use.
type Discovery struct {
	HTTP *http.Client  // nil means http.DefaultClient
	TTL  time.Duration // how long an answer is kept; 0 means 1 h
	// Timeout is that of one request; 0 means 30 s.
	Timeout time.Duration
	Now     func() time.Time // nil means time.Now

	mu    sync.Mutex
	known map[string]discovered
}

type discovered struct {
	conf  *Configuration
	until time.Time
}

// Get returns the configuration of a server, from the cache where it is fresh. It is
// shared: do not change it. Failures are not cached.
func (d *Discovery) Get(ctx context.Context, base string) (*Configuration, error) {
	b, err := parseBase(base)
	if err != nil {
		return nil, err
	}
	now := time.Now
	if d.Now != nil {
		now = d.Now
	}
	key := b.String()
	d.mu.Lock()
	hit, ok := d.known[key]
	d.mu.Unlock()
	if ok && now().Before(hit.until) {
		return hit.conf, nil
	}
	conf, err := discover(ctx, d.HTTP, b, d.Timeout)
	if err != nil {
		return nil, err
	}
	ttl := d.TTL
	if ttl == 0 {
		ttl = time.Hour
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = map[string]discovered{}
	}
	d.known[key] = discovered{conf, now().Add(ttl)}
	return conf, nil
}

// Forget drops a server from the cache: the next Get asks it again.
func (d *Discovery) Forget(base string) {
	b, err := parseBase(base)
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.known, b.String())
}

// parseBase reads a FHIR base URL; trailing slashes, query and fragment are
// dropped.
func parseBase(base string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(base))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return nil, &Error{
			Op: "read FHIR base URL", Err: errText("it is not an absolute http(s) URL without user info"), kind: lasting,
			hint: "Give the service base URL, like https://ehr.example.org/fhir/r4.",
		}
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	u.RawQuery, u.Fragment, u.RawFragment, u.ForceQuery = "", "", "", false
	return u, nil
}

// maxDocument bounds the bytes of a configuration; CapabilityStatements of whole
// EHRs reach some MiB.
const (
	maxConfiguration = 1 << 20
	maxCapability    = 32 << 20
)

func discover(ctx context.Context, client *http.Client, base *url.URL, timeout time.Duration) (*Configuration, error) {
	well := base.JoinPath(".well-known/smart-configuration")
	conf, err := fetch(ctx, client, timeout, well, "application/json", maxConfiguration, func(data []byte) (*Configuration, error) {
		return parseConfiguration(data, base)
	})
	if err == nil || ctx.Err() != nil {
		return conf, err
	}
	first := err
	meta := base.JoinPath("metadata")
	conf, err = fetch(ctx, client, timeout, meta, "application/fhir+json", maxCapability, func(data []byte) (*Configuration, error) {
		return parseCapability(data, base)
	})
	if err == nil {
		return conf, nil
	}
	if second, ok := errors.AsType[*Error](err); ok && second.kind == passing && ctx.Err() == nil {
		return nil, err // the fallback may work later; the first place says that it never will, or that it may
	}
	return nil, first
}

// fetch gets and parses a document, and tries again what may pass.
func fetch(ctx context.Context, client *http.Client, timeout time.Duration, u *url.URL, accept string, limit int64, parse func([]byte) (*Configuration, error)) (*Configuration, error) {
	const attempts = 3
	for n := 1; ; n++ {
		conf, err := fetchOnce(ctx, client, timeout, u, accept, limit, parse)
		if err == nil {
			return conf, nil
		}
		if err.kind != passing || n == attempts {
			return nil, err
		}
		if serr := sleep(ctx, backoff(n, err.retryAfter)); serr != nil {
			return nil, err
		}
	}
}

func fetchOnce(ctx context.Context, client *http.Client, timeout time.Duration, u *url.URL, accept string, limit int64, parse func([]byte) (*Configuration, error)) (*Configuration, *Error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout(timeout))
	defer cancel()
	fail := &Error{Op: "discover", Where: placeURL(u)}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		fail.Err, fail.kind = cause(err), lasting
		return nil, fail
	}
	req.Header.Set("Accept", accept)
	a, err := exchange(noDowngrade(client), req, limit)
	if err != nil {
		return nil, fail.network(err)
	}
	fail.Status = a.status
	if a.status != http.StatusOK {
		fail.refused(a)
		fail.hint = "Check the FHIR base URL: it has to answer below /.well-known/smart-configuration or /metadata. Where the server has neither, set the token URL yourself."
		return nil, fail
	}
	conf, err := parse(a.body)
	if err != nil {
		fail.Err, fail.kind = err, lasting
		fail.hint = "Set the token URL yourself if the server documents one."
		if a.html() {
			fail.Err = errText("the server answered with a web page instead of JSON")
			fail.hint = "Check the FHIR base URL: it seems to belong to a web site or a login page, not to a FHIR API."
		}
		return nil, fail
	}
	return conf, nil
}

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
