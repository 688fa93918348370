package config

import (
	"fmt"
	"iter"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

func serverObject() object[Server] {
	header := headerValue()
	return object[Server]{
		fields: []field[Server]{
			at("url", "Service base URL of the FHIR server.", trimmed(baseURL()), func(s *Server) *string { return &s.URL }).need(),
			at("allow_http", "Permit plain http for hosts other than this machine. Tokens and patients' data then cross the network in the clear.", boolean(), func(s *Server) *bool { return &s.AllowHTTP }).or("false"),
			in("auth", "How flue authenticates.", authObject(), func(s *Server) *Auth { return &s.Auth }).need(),
			at("headers", "Further headers on FHIR requests, such as Epic-Client-ID. A value may be a reference to a secret (env:NAME, file:PATH).", dictionary("headers by name", validHeader, header), func(s *Server) *map[string]string { return &s.Headers }),
			at("origins", "Further origins that may get the access token: where the server keeps its export files, when not at its own origin.", list(trimmed(origin())), func(s *Server) *[]string { return &s.Origins }),
			in("tls", "Certificates of the connection.", tlsObject(), func(s *Server) *TLS { return &s.TLS }),
			in("limits", "How much flue asks of the server.", limitsObject(), func(s *Server) *Limits { return &s.Limits }),
		},
		check: checkServer,
	}
}

// trimmed takes trailing slashes off.
func trimmed(k kind[string]) kind[string] {
	read := k.read
	k.read = func(d *decoder, c cursor) (string, bool) {
		s, ok := read(d, c)
		return strings.TrimRight(s, "/"), ok
	}
	return k
}

func checkServer(d *decoder, c cursor, s *Server) {
	if s.AllowHTTP {
		return
	}
	plain := func(value, key, sub string, i int) {
		u, err := url.Parse(value)
		if err != nil || u.Scheme != "http" || loopback(u) {
			return
		}
		where, ok := d.child(c, key)
		if ok && sub != "" {
			where, ok = d.child(where, sub)
		}
		if i >= 0 {
			where.at = itemToken(d, where, i)
			where.path = fmt.Sprintf("%s[%d]", where.path, i)
		}
		if ok {
			d.fail(where, "plain http to a host other than this machine", "use https, or set allow_http: true on this server (P10)")
		}
	}
	plain(s.URL, "url", "", -1)
	plain(s.Auth.TokenURL, "auth", "token_url", -1)
	plain(s.Auth.JKU, "auth", "jku", -1)
	for i, o := range s.Origins {
		plain(o, "origins", "", i)
	}
}

func authObject() object[Auth] {
	byDefaultAuto := byDefault(
		at("algorithm", "Signature algorithm: auto takes the first that the server advertises and there is a key for.", choice("auto", "RS384", "ES384", "RS256", "RS512", "PS256", "PS384", "PS512", "ES256", "ES512"), func(a *Auth) *string { return &a.Algorithm }),
		func(a *Auth) *string { return &a.Algorithm }, "auto")
	return object[Auth]{
		fields: []field[Auth]{
			at("type", "smart: SMART Backend Services with a signed assertion. client_secret: client credentials with a secret. bearer: a token that does not change. none: an open server.", choice(SMART, ClientSecret, Bearer, None), func(a *Auth) *AuthType { return &a.Type }).need(),
			at("client_id", "The client id that the server gave at registration (smart, client_secret).", identifier("text", false, nil), func(a *Auth) *string { return &a.ClientID }),
			at("key", "Private key for signing: file:PATH or env:NAME of a PEM, JWK or JWKS, or that itself (smart).", privateKey(), func(a *Auth) *string { return &a.Key }).or("a pair is made once below state_dir, and you are told what to register"),
			at("key_id", "kid to sign with (smart).", identifier("text", false, nil), func(a *Auth) *string { return &a.KeyID }).or("that of the key, else its RFC 7638 thumbprint"),
			byDefaultAuto,
			at("jku", "URL of the registered public keys, sent in the assertion's header when set (smart).", endpointURL(), func(a *Auth) *string { return &a.JKU }),
			at("token_url", "Token endpoint.", endpointURL(), func(a *Auth) *string { return &a.TokenURL }).or("discovered from the server"),
			at("secret", "The client's secret, as a reference: env:NAME or file:PATH (client_secret).", secret(), func(a *Auth) *string { return &a.Secret }),
			at("post", "Send the secret in the request's body instead of by HTTP Basic (client_secret).", boolean(), func(a *Auth) *bool { return &a.Post }).or("false"),
			at("token", "The access token, as a reference: env:NAME or file:PATH (bearer).", secret(), func(a *Auth) *string { return &a.Token }),
			at("scopes", "OAuth scopes to ask for.", list(text("scope", "", matching(scopeForm, "is not a scope", "one scope an item: system/Patient.rs"))), func(a *Auth) *[]string { return &a.Scopes }).or("derived from the job: one for each type"),
			at("lifetime", "How long a signed assertion is valid, at most 5m (smart).", duration(30*time.Second, 5*time.Minute), func(a *Auth) *time.Duration { return &a.Lifetime }).or("4m"),
		},
		check: checkAuth,
	}
}

// authKeys says which keys belong to which way to authenticate, those that are
// needed first.
func authKeys(t AuthType) (needed, allowed []string) {
	switch t {
	case SMART:
		return []string{"client_id"}, []string{"key", "key_id", "algorithm", "jku", "token_url", "scopes", "lifetime"}
	case ClientSecret:
		return []string{"client_id", "secret"}, []string{"post", "token_url", "scopes"}
	case Bearer:
		return []string{"token"}, nil
	}
	return nil, nil
}

func checkAuth(d *decoder, c cursor, a *Auth) {
	if a.Type == "" {
		return
	}
	needed, allowed := authKeys(a.Type)
	for _, key := range needed {
		if _, ok := d.child(c, key); !ok {
			d.fail(c, fmt.Sprintf("type %s needs the key %s", a.Type, key), "")
		}
	}
	d.onlyKeys(c, append(append([]string{"type"}, needed...), allowed...), "with type "+string(a.Type))
}

// onlyKeys notes the keys of the mapping that are not among those allowed. Keys
// that no mapping of this kind knows were noted already.
func (d *decoder) onlyKeys(c cursor, allowed []string, when string) {
	quiet := &decoder{lines: d.lines, anchors: d.anchors}
	list, _ := quiet.entries(c)
	for _, e := range list {
		if !slices.Contains(allowed, e.key) && !d.notedAt(e.value.path) {
			d.failAt(e.at, e.value.path, "has no meaning "+when, "remove it", false)
		}
	}
}

func tlsObject() object[TLS] {
	return object[TLS]{
		fields: []field[TLS]{
			at("ca", "PEM file of certificate authorities to trust beside the system's.", localPath(), func(t *TLS) *string { return &t.CA }),
			at("client_cert", "PEM file of the client's certificate.", localPath(), func(t *TLS) *string { return &t.ClientCert }),
			at("client_key", "PEM file of its private key.", localPath(), func(t *TLS) *string { return &t.ClientKey }),
		},
		check: func(d *decoder, c cursor, t *TLS) {
			if (t.ClientCert == "") != (t.ClientKey == "") {
				d.fail(c, "client_cert and client_key belong together", "give both")
			}
		},
	}
}

func limitsObject() object[Limits] {
	return object[Limits]{
		fields: []field[Limits]{
			at("downloads", "Parallel downloads or searches.", integer(1, 64), func(l *Limits) *int { return &l.Downloads }).or("4"),
			at("poll_min", "Shortest time between two polls of a running export.", duration(10*time.Millisecond, time.Hour), func(l *Limits) *time.Duration { return &l.PollMin }).or("1s"),
			at("poll_max", "Longest time between two polls; a longer Retry-After is cut to it.", duration(10*time.Millisecond, 24*time.Hour), func(l *Limits) *time.Duration { return &l.PollMax }).or("5m"),
			at("retries", "Attempts of a request that may be repeated.", integer(1, 100), func(l *Limits) *int { return &l.Retries }).or("5"),
			at("stall", "How long an answer may stand still, or a file come in drops, before it is cut and asked for again.", duration(time.Second, 24*time.Hour), func(l *Limits) *time.Duration { return &l.Stall }).or("2m for files, 5m for other answers"),
		},
		check: func(d *decoder, c cursor, l *Limits) {
			if l.PollMin > 0 && l.PollMax > 0 && l.PollMin > l.PollMax {
				where, _ := d.child(c, "poll_min")
				d.fail(where, "poll_min is longer than poll_max", "")
			}
		},
	}
}

func mapKeys[V any](m map[string]V) iter.Seq[string] {
	return slices.Values(slices.Sorted(maps.Keys(m)))
}
