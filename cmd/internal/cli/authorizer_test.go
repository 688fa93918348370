package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/smart"
)

// fakeServer is a FHIR server that only authorizes.
type fakeServer struct {
	*httptest.Server
	capabilities []string
	scope        *string // what is granted; nil: not said
	asked        []string
	refuse       string
	discovered   int
}

func newFakeServer(t *testing.T) *fakeServer {
	f := &fakeServer{}
	mux := http.NewServeMux()
	mux.HandleFunc("/fhir/.well-known/smart-configuration", func(w http.ResponseWriter, _ *http.Request) {
		f.discovered++
		_ = json.NewEncoder(w).Encode(map[string]any{
			"token_endpoint": f.URL + "/token", "capabilities": f.capabilities,
			"token_endpoint_auth_signing_alg_values_supported": []string{"PS512", "ES384", "RS384"},
		})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		f.asked = append(f.asked, r.FormValue("scope"))
		w.Header().Set("Content-Type", "application/json")
		if f.refuse != "" {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": f.refuse})
			return
		}
		answer := map[string]any{"access_token": "t", "token_type": "bearer", "expires_in": 300}
		if f.scope != nil {
			answer["scope"] = *f.scope
		}
		_ = json.NewEncoder(w).Encode(answer)
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeServer) config() config.Server {
	return config.Server{Name: "s", URL: f.URL + "/fhir", Auth: config.Auth{Type: config.SMART, ClientID: "c", Algorithm: "auto"}}
}

func (f *fakeServer) authorizer(t *testing.T, a *app, state string, s config.Server, plan scopePlan) *authorizer {
	t.Helper()
	c, err := a.connect(&config.File{StateDir: state}, s, plan, discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c.auth
}

// P5, P1: without a configured key one is made for the first advertised
// algorithm that there is support for, once, for its owner only.
func TestP5KeyIsMadeOnce(t *testing.T) {
	f, state := newFakeServer(t), t.TempDir()
	a := testApp()
	_, err := f.authorizer(t, a, state, f.config(), scopePlan{types: []string{"Patient"}}).Authorize(t.Context())
	var unregistered *unregisteredError
	if !errors.As(err, &unregistered) || classOf(err) != "auth" || unregistered.key.Algorithm() != smart.ES384 {
		t.Fatalf("first time: %v", err)
	}
	for _, want := range []string{f.URL + "/fhir", "client id    c", filepath.Join(state, "keys", "s", "jwks.json"), "ES384", unregistered.key.ID()} {
		if !strings.Contains(hintOf(err), want) {
			t.Errorf("the hint lacks %q:\n%s", want, hintOf(err))
		}
	}
	if len(f.asked) != 0 {
		t.Error("a token was asked for with a key that nobody knows")
	}
	info, err := os.Stat(filepath.Join(state, "keys", "s", privateFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("private key: %v, %v", info.Mode(), err)
	}
	again := f.authorizer(t, a, state, f.config(), scopePlan{types: []string{"Patient"}})
	if _, err := again.Authorize(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := again.describe(t.Context())
	if err != nil || text != "ES384, kid "+unregistered.key.ID() {
		t.Errorf("describe: %q, %v", text, err)
	}
	f.refuse = "invalid_client"
	_, err = f.authorizer(t, a, state, f.config(), scopePlan{types: []string{"Patient"}}).Authorize(t.Context())
	if classOf(err) != "auth" || !strings.Contains(hintOf(err), jwksFile) {
		t.Errorf("refused: %v, hint %q", err, hintOf(err))
	}
}

func TestP11ScopesOfAJob(t *testing.T) {
	tests := []struct {
		name         string
		capabilities []string
		job          config.Export
		own          []string
		want         string
	}{
		{"version 1", nil, config.Export{Types: []string{"Patient", "Claim"}}, nil, "system/Patient.read system/Claim.read"},
		{"version 2", []string{"permission-v2"}, config.Export{Types: []string{"Patient", "Claim"}}, nil, "system/Patient.rs system/Claim.rs"},
		{"group", []string{"permission-v2"}, config.Export{Level: "group", Types: []string{"Patient"}}, nil, "system/Patient.rs system/Group.rs"},
		{"search adds patients", []string{"permission-v2"}, config.Export{Mode: "search", Types: []string{"Claim"}}, nil, "system/Claim.rs system/Patient.rs"},
		{"all types", []string{"permission-v2"}, config.Export{}, nil, "system/*.rs"},
		{"configured", nil, config.Export{Types: []string{"Patient"}}, []string{"system/*.*"}, "system/*.*"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, state, a := newFakeServer(t), t.TempDir(), testApp()
			f.capabilities = test.capabilities
			if _, err := makeKey(keyFolder(state, "s"), smart.ES384, ""); err != nil {
				t.Fatal(err)
			}
			s := f.config()
			s.Auth.Scopes = test.own
			if _, err := f.authorizer(t, a, state, s, planScopes(config.Job{Export: test.job})).Authorize(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(f.asked) != 1 || f.asked[0] != test.want {
				t.Errorf("asked for %q, want %q", f.asked, test.want)
			}
		})
	}
}

func TestP16GrantIsCompared(t *testing.T) {
	f, state := newFakeServer(t), t.TempDir()
	f.capabilities = []string{"permission-v2"}
	if _, err := makeKey(keyFolder(state, "s"), smart.ES384, ""); err != nil {
		t.Fatal(err)
	}
	plan := scopePlan{types: []string{"Patient", "Claim"}}
	narrower := "system/Patient.read"
	f.scope = &narrower
	z := f.authorizer(t, testApp(), state, f.config(), plan)
	g, err := z.Authorize(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Missing) != 1 || g.Missing[0] != "system/Claim.rs" || len(g.Types) != 1 || g.Types[0] != "Claim" || len(g.Granted) != 1 {
		t.Errorf("grant is %+v", g)
	}
	if z.Tokens() != 1 {
		t.Errorf("%d tokens", z.Tokens())
	}
	if scopes, types := z.Lost(); len(scopes) != 1 || len(types) != 1 {
		t.Errorf("lost %q, %q", scopes, types)
	}
	// What one token of several does not grant is kept.
	other := "system/Claim.read"
	f.scope = &other
	first, err := z.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	z.Invalidate(first.AccessToken)
	if _, err := z.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	if scopes, types := z.Lost(); len(scopes) != 2 || len(types) != 2 {
		t.Errorf("lost %q, %q", scopes, types)
	}
	// A server that does not say has granted what was asked for.
	f.scope = nil
	g, err = f.authorizer(t, testApp(), state, f.config(), plan).Authorize(t.Context())
	if err != nil || g.Granted != nil || g.Missing != nil || g.Types != nil {
		t.Errorf("silent grant is %+v, %v", g, err)
	}
}

// With a configured token endpoint and scopes the server need not be
// discoverable.
func TestTokenURLNeedsNoDiscovery(t *testing.T) {
	f, state := newFakeServer(t), t.TempDir()
	s := f.config()
	s.Auth.TokenURL, s.Auth.Scopes = f.URL+"/token", []string{"system/*.read"}
	s.Auth.Type, s.Auth.Secret = config.ClientSecret, "env:SECRET"
	z := f.authorizer(t, testApp("SECRET", "s"), state, s, scopePlan{})
	if _, err := z.Authorize(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.discovered != 0 {
		t.Errorf("discovered %d times", f.discovered)
	}
	if text, err := z.describe(context.Background()); text != "client secret" || err != nil {
		t.Errorf("describe: %q, %v", text, err)
	}
}

// An assertion has no scopes: with a token endpoint nobody is asked anything.
func TestAssertionWithTokenURLAsksNobody(t *testing.T) {
	f, state := newFakeServer(t), t.TempDir()
	s := f.config()
	s.Auth.TokenURL = f.URL + "/token"
	if _, err := makeKey(keyFolder(state, "s"), smart.ES384, ""); err != nil {
		t.Fatal(err)
	}
	z := f.authorizer(t, testApp(), state, s, scopePlan{types: []string{"Patient"}})
	if _, err := z.assertion(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text, err := z.describe(t.Context()); err != nil || !strings.HasPrefix(text, "ES384") {
		t.Errorf("describe: %q, %v", text, err)
	}
	if f.discovered != 0 || len(f.asked) != 0 {
		t.Errorf("discovered %d times, asked for %v", f.discovered, f.asked)
	}
}

// Nothing that is printed of an error holds a secret (I6).
func TestI6ReportsHoldNoSecret(t *testing.T) {
	f := newFakeServer(t)
	f.refuse = "invalid_client"
	s := f.config()
	s.Auth.Type, s.Auth.Secret = config.ClientSecret, "env:SECRET"
	var b bytes.Buffer
	a := testApp("SECRET", "hunter2hunter2")
	a.sys.Stderr = &b
	_, err := f.authorizer(t, a, t.TempDir(), s, scopePlan{}).Authorize(t.Context())
	if err == nil {
		t.Fatal("no error")
	}
	a.report(err, 3)
	a.logs = logJSON
	a.report(err, 3)
	if b.Len() == 0 || strings.Contains(b.String(), "hunter2") {
		t.Errorf("reported:\n%s", b.String())
	}
}
