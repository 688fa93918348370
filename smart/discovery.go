package smart

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Discover asks a FHIR server for its authorization server (P4): it reads
// base/.well-known/smart-configuration and, where that cannot be had, the oauth-uris
// of the CapabilityStatement. Relative endpoints are resolved against the base.
//
// A nil client means [http.DefaultClient]. Nothing secret is sent. A base of plain http
// is not refused here but by [Client] (P10).
func Discover(ctx context.Context, client *http.Client, base string) (*Configuration, error) {
	b, err := parseBase(base)
	if err != nil {
		return nil, err
	}
	return (&Discovery{HTTP: client}).discover(ctx, b)
}

// Discovery is a cache of Configurations that several Clients can share. The
// zero value is ready; do not change its fields after the first use.
type Discovery struct {
	HTTP *http.Client  // nil means http.DefaultClient
	TTL  time.Duration // how long an answer is kept; 0 means 1 h
	// Timeout is that of one request; 0 means 30 s.
	Timeout time.Duration
	Now     func() time.Time // nil means time.Now
	// Log receives a warning when a server is waited for; nil discards.
	Log *slog.Logger

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
	conf, err := d.discover(ctx, b)
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

func (d *Discovery) discover(ctx context.Context, base *url.URL) (*Configuration, error) {
	conf, err := d.fetch(ctx, document{
		url: base.JoinPath(".well-known/smart-configuration"), accept: "application/json", limit: maxConfiguration,
		parse: func(data []byte) (*Configuration, error) { return parseConfiguration(data, base) },
	})
	if err == nil {
		return conf, nil
	}
	if ctx.Err() != nil || err.kind == passing && err.Status == 0 {
		return nil, err // where there was no answer at all, none is to be had at the other place
	}
	first := err
	conf, err = d.fetch(ctx, document{
		url: base.JoinPath("metadata"), accept: "application/fhir+json", limit: maxCapability,
		parse: func(data []byte) (*Configuration, error) { return parseCapability(data, base) },
	})
	if err == nil {
		return conf, nil
	}
	if err.kind == passing && ctx.Err() == nil {
		return nil, err // the fallback may work later; the first place says that it never will, or that it may
	}
	return nil, first
}

// document is one place that may name the authorization server.
type document struct {
	url    *url.URL
	accept string
	limit  int64
	parse  func(data []byte) (*Configuration, error)
}

// fetch gets and parses a document, and tries again what may pass.
func (d *Discovery) fetch(ctx context.Context, doc document) (*Configuration, *Error) {
	var patience patience
	for {
		conf, err := d.fetchOnce(ctx, doc)
		if err == nil {
			return conf, nil
		}
		if err.kind != passing || ctx.Err() != nil {
			return nil, err
		}
		wait, again := patience.next(err)
		if !again {
			return nil, err
		}
		if d.Log != nil {
			patience.tell(ctx, d.Log, err, wait)
		}
		if sleep(ctx, wait) != nil {
			return nil, err
		}
	}
}

func (d *Discovery) fetchOnce(ctx context.Context, doc document) (*Configuration, *Error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout(d.Timeout))
	defer cancel()
	fail := &Error{Op: "discover", Where: placeURL(doc.url)}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, doc.url.String(), nil)
	if err != nil {
		fail.Err, fail.kind = cause(err), lasting
		return nil, fail
	}
	req.Header.Set("Accept", doc.accept)
	a, err := exchange(noDowngrade(d.HTTP), req, doc.limit)
	if err != nil {
		return nil, fail.network(err)
	}
	fail.Status = a.status
	if a.status != http.StatusOK {
		fail.refused(a)
		fail.hint = "Check the FHIR base URL: it has to answer below /.well-known/smart-configuration or /metadata. Where the server has neither, set the token URL yourself."
		return nil, fail
	}
	conf, err := doc.parse(a.body)
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
