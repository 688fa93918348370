package smart

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestP4Discovery(t *testing.T) {
	for _, base := range []string{"/fhir/r4", "/fhir/r4/", "/fhir/r4//", ""} {
		mux := http.NewServeMux()
		mux.HandleFunc("GET "+strings.TrimRight(base, "/")+"/.well-known/smart-configuration", func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("Accept"); got != "application/json" {
				t.Errorf("Accept: got %q", got)
			}
			fmt.Fprint(w, `{"token_endpoint":"auth/token","jwks_uri":"/keys","issuer":"https://x","capabilities":["permission-v2"],
				"token_endpoint_auth_signing_alg_values_supported":["ES384"],"scopes_supported":"system/*.rs","grant_types_supported":7}`)
		})
		srv := httptest.NewServer(mux)
		conf, err := Discover(t.Context(), srv.Client(), srv.URL+base)
		if err != nil {
			t.Fatal(err)
		}
		want := srv.URL + strings.TrimRight(base, "/") + "/auth/token" // relative to the base
		if conf.TokenEndpoint != want || conf.JWKSURI != srv.URL+"/keys" || conf.Source != SourceWellKnown {
			t.Errorf("base %q: got %+v, want token endpoint %s", base, conf, want)
		}
		if !conf.V2() || !slices.Equal(conf.SigningAlgorithms, []string{"ES384"}) || !slices.Equal(conf.Scopes, []string{"system/*.rs"}) || conf.GrantTypes != nil {
			t.Errorf("base %q: got %+v", base, conf)
		}
		srv.Close()
	}
}

const capability = `{"resourceType":"CapabilityStatement","rest":[{"mode":"server","security":{"extension":[
	{"url":"http://example.org/other","extension":[{"url":"token","valueUri":"https://wrong"}]},
	{"url":"http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris","extension":[
		{"url":"authorize","valueUri":"https://auth.example.org/authorize"},{"url":"token","valueUri":"https://auth.example.org/oauth2/token"}]}]}}]}`

func TestP4FallsBackToTheCapabilityStatement(t *testing.T) {
	for name, well := range map[string]*http.Response{
		"not found":        respond(404, "nope"),
		"web page":         respond(200, "<!DOCTYPE html><html>", "Content-Type", "text/html"),
		"no token":         respond(200, `{"capabilities":[]}`),
		"token not a URL":  respond(200, `{"token_endpoint":"ftp://x"}`),
		"token a number":   respond(200, `{"token_endpoint":5}`),
		"array":            respond(200, `[]`),
		"unauthorised":     respond(401, ``),
		"far too large":    respond(200, strings.Repeat(" ", maxConfiguration+1)),
		"token, user info": respond(200, `{"token_endpoint":"https://u:p@x/token"}`),
	} {
		t.Run(name, func(t *testing.T) {
			client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/fhir/metadata" && r.Header.Get("Accept") == "application/fhir+json" {
					return respond(200, capability), nil
				}
				return well, nil
			})}
			conf, err := Discover(t.Context(), client, "https://fhir.example.org/fhir/")
			if err != nil {
				t.Fatal(err)
			}
			if conf.TokenEndpoint != tokenURL || conf.Source != SourceCapabilityStatement {
				t.Errorf("got %+v", conf)
			}
		})
	}
}

func TestDiscoveryErrors(t *testing.T) {
	answers := func(well, meta *http.Response) *http.Client {
		return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/metadata") {
				return meta, nil
			}
			return well, nil
		})}
	}
	_, err := Discover(t.Context(), answers(respond(404, ""), respond(200, `{}`)), "https://fhir.example.org/r4?x=secret")
	wantError(t, err, "auth", "discover: https://fhir.example.org/r4/.well-known/smart-configuration: status 404", "base URL")
	page := respond(200, "<html><title>Sign in", "Content-Type", "text/html")
	_, err = Discover(t.Context(), answers(page, respond(404, "")), "https://fhir.example.org/r4")
	wantError(t, err, "auth", "web page", "login page")
	for _, bad := range []string{"", "fhir.example.org", "ftp://x", "https://", "https://u:p@x/fhir", "https://x y"} {
		_, err := Discover(t.Context(), nil, bad)
		wantError(t, err, "auth", "absolute http(s) URL", "base URL")
	}
}

func TestDiscoveryRetriesWhatMayPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls int
		client := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			calls++
			switch calls {
			case 1:
				return nil, syscall.ECONNREFUSED
			case 2:
				return respond(503, "", "Retry-After", "5"), nil
			}
			return respond(200, `{"token_endpoint":"`+tokenURL+`"}`), nil
		})}
		start := time.Now()
		if _, err := Discover(t.Context(), client, "https://fhir.example.org"); err != nil || calls != 3 {
			t.Errorf("got %v after %d calls", err, calls)
		}
		if took := time.Since(start); took < 5*time.Second+firstBackoff/2 {
			t.Errorf("took %v: Retry-After was not kept", took)
		}
		calls = 1
		client.Transport = roundTrip(func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED })
		_, err := Discover(t.Context(), client, "https://fhir.example.org")
		wantError(t, err, "", "connection refused", "firewall")
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, want the cause in it", err)
		}
	})
}

// A server that cannot be reached is told of within a bounded time, whether it has to be
// discovered or its token URL is known, and whoever waits hears why. The numbers are those
// of docs/authentication.md.
func TestUnreachableIsToldInTime(t *testing.T) {
	hang := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	refuse := func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }
	unknown := func(*http.Request) (*http.Response, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "fhir.example.org", IsNotFound: true}
	}
	overloaded := func(*http.Request) (*http.Response, error) { return respond(503, ""), nil }
	for _, c := range []struct {
		name     string
		answer   func(*http.Request) (*http.Response, error)
		tokenURL string
		requests int
		within   time.Duration
	}{
		{"refused, discovered", refuse, "", 5, 20 * time.Second},
		{"refused, token URL", refuse, tokenURL, 5, 20 * time.Second},
		{"unknown host, discovered", unknown, "", 5, 20 * time.Second},
		{"silent, discovered", hang, "", 2, 62 * time.Second},
		{"silent, token URL", hang, tokenURL, 2, 62 * time.Second},
		{"overloaded, discovered", overloaded, "", 10, 40 * time.Second}, // it answers: the other place is worth asking
		{"overloaded, token URL", overloaded, tokenURL, 5, 20 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var requests int
				log, out := logged()
				client := &Client{
					Base: "https://fhir.example.org/r4", ClientID: "c", TokenURL: c.tokenURL, Keys: ecKey(), Log: log,
					HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
						requests++
						return c.answer(r)
					})},
				}
				start := time.Now()
				_, err := client.Token(t.Context())
				wantError(t, err, "", "", "")
				if took := time.Since(start); took > c.within || requests != c.requests {
					t.Errorf("took %v and %d requests, want at most %v and %d", took, requests, c.within, c.requests)
				}
				if got := strings.Count(out.String(), `"level":"WARN"`); got == 0 || got > 2 {
					t.Errorf("told %d times:\n%s", got, out)
				}
			})
		})
	}
}

func TestDiscoveryCaches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls int
		d := &Discovery{HTTP: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			calls++
			return respond(200, `{"token_endpoint":"`+tokenURL+`"}`), nil
		})}}
		get := func(want int) {
			t.Helper()
			if _, err := d.Get(t.Context(), "https://fhir.example.org/r4"); err != nil || calls != want {
				t.Errorf("got %v, %d requests; want %d", err, calls, want)
			}
		}
		get(1)
		time.Sleep(59 * time.Minute)
		get(1)
		time.Sleep(time.Minute)
		get(2)
		d.Forget("https://fhir.example.org/r4/")
		get(3)
	})
}

func TestP10NoRedirectFromHTTPSToHTTP(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("followed") }))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain.URL, http.StatusFound)
	}))
	defer secure.Close()
	_, err := Discover(t.Context(), secure.Client(), secure.URL)
	wantError(t, err, "auth", "https to http", "")
}

func TestTLSFailuresHaveTheirOwnHints(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	_, err := Discover(t.Context(), &http.Client{Transport: &http.Transport{}}, secure.URL)
	wantError(t, err, "auth", "certificate", "CA bundle")
	c := secure.Client()
	_, err = Discover(t.Context(), c, strings.Replace(secure.URL, "127.0.0.1", "localhost", 1))
	wantError(t, err, "auth", "certificate", "host name")
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	u := must(url.Parse(plain.URL))
	_, err = Discover(t.Context(), c, "https://"+u.Host)
	wantError(t, err, "auth", "", "scheme and port")
}

func TestP10OldTLSIsRefused(t *testing.T) {
	old := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("served") }))
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.Config.ErrorLog = log.New(io.Discard, "", 0)
	old.StartTLS()
	defer old.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // instead of the retries
	defer cancel()
	if _, err := Discover(ctx, old.Client(), old.URL); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("got %v, want a refusal of the protocol version", err)
	}
}
