package smart_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flue-fhir/flue/smart"
	"github.com/flue-fhir/flue/smart/authserver"
)

// world is a client and a protected server, with everything that went over the
// wire and everything that was logged.
type world struct {
	auth   *authserver.Server
	client *smart.Client
	fhir   *http.Client
	url    string

	mu      sync.Mutex
	secrets []string // assertions and access tokens that were sent
	lines   bytes.Buffer
	errs    []string
}

func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines.Write(p)
}

func newWorld(t *testing.T, key *smart.Key) *world {
	t.Helper()
	w := &world{auth: &authserver.Server{}}
	public, err := json.Marshal(smart.Keys{key}.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.auth.Register(authserver.Client{ID: "my-client", JWKS: public}); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.auth.Log = log
	mux := http.NewServeMux()
	mux.Handle("/auth/token", w.auth.TokenHandler())
	mux.Handle("/fhir/.well-known/smart-configuration", w.auth.ConfigurationHandler())
	mux.HandleFunc("/fhir/", func(rw http.ResponseWriter, r *http.Request) {
		if _, err := w.auth.Check(r); err != nil {
			err.(*authserver.Denied).Write(rw)
			return
		}
		fmt.Fprint(rw, "ok")
	})
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		form, _ := url.ParseQuery(string(body))
		w.mu.Lock()
		w.secrets = append(w.secrets, form.Get("client_assertion"), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		w.mu.Unlock()
		mux.ServeHTTP(rw, r)
	}))
	t.Cleanup(srv.Close)
	w.url = srv.URL
	w.client = &smart.Client{
		Base: srv.URL + "/fhir/", ClientID: "my-client", Keys: key, Scopes: []string{"system/*.rs"},
		HTTP: srv.Client(), Log: log,
	}
	base, err := url.Parse(srv.URL + "/fhir")
	if err != nil {
		t.Fatal(err)
	}
	w.fhir = &http.Client{Transport: &smart.Transport{Source: w.client, Server: base, Log: log}}
	return w
}

// get is a request to the API; what fails is kept for the search for secrets.
func (w *world) get() error {
	resp, err := w.fhir.Get(w.url + "/fhir/Patient")
	if err == nil {
		defer resp.Body.Close()
		if body, rerr := io.ReadAll(resp.Body); rerr != nil || string(body) != "ok" {
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
	}
	if err != nil {
		w.errs = append(w.errs, fmt.Sprintf("%v %+v %#v", err, err, err))
		if h, ok := errors.AsType[*smart.Error](err); ok {
			w.errs = append(w.errs, h.Hint(), fmt.Sprintf("%+v", *h))
		}
	}
	return err
}

func TestAgainstTheStrictServer(t *testing.T) {
	for _, generate := range []func(string) (*smart.Key, error){smart.GenerateRSAKeyPair, smart.GenerateECKeyPair} {
		key, err := generate("")
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, key)
		if err := w.get(); err != nil {
			t.Fatal(err)
		}
		w.auth.RevokeAll()
		if err := w.get(); err != nil { // F7
			t.Fatal(err)
		}
		if w.auth.Issued() != 2 || w.client.Tokens() != 2 || w.auth.Refused() != 0 {
			t.Errorf("%v: issued %d, received %d, refused %d; want 2, 2, 0", key, w.auth.Issued(), w.client.Tokens(), w.auth.Refused())
		}
	}
}

func TestF4NarrowerScopesAreReported(t *testing.T) {
	key, err := smart.GenerateECKeyPair("")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, key)
	w.client.Scopes = []string{"system/Patient.rs", "system/Group.rs"}
	w.auth.SetFaults(authserver.Faults{Grant: []string{"system/Patient.read"}})
	tok, err := w.client.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := smart.Missing(w.client.Scopes, tok.Scopes), []string{"system/Group.rs"}; !slices.Equal(got, want) {
		t.Errorf("Missing: got %v, want %v", got, want)
	}
	w.client.Invalidate(tok.AccessToken)
	w.auth.SetFaults(authserver.Faults{Grant: []string{}})
	if _, err = w.client.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "no scope at all") {
		t.Errorf("nothing granted: got %v", err)
	}
}

func TestF5ServersThatSayLittle(t *testing.T) {
	key, err := smart.GenerateECKeyPair("")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []authserver.Faults{{OmitExpiresIn: true, OmitScope: true}, {ExpiresInString: true}} {
		w := newWorld(t, key)
		w.auth.SetFaults(f)
		tok, err := w.client.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(tok.Expiry); left < 290*time.Second || left > 300*time.Second {
			t.Errorf("%+v: lives %v, want 300 s", f, left)
		}
	}
}

// I6: nothing that was sent as a credential, and no private key, is in any log line,
// error or hint, whatever went wrong.
func TestI6NoSecretInLogsAndErrors(t *testing.T) {
	key, err := smart.GenerateECKeyPair("")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, key)
	run := func(f authserver.Faults) {
		w.auth.SetFaults(f)
		w.auth.RevokeAll()
		_ = w.get()
	}
	run(authserver.Faults{})
	run(authserver.Faults{FailNext: 1})
	run(authserver.Faults{FailNext: 9, FailStatus: 400, FailCode: "invalid_scope"})
	run(authserver.Faults{Skew: time.Hour})
	run(authserver.Faults{Grant: []string{}})
	run(authserver.Faults{OmitScope: true, OmitExpiresIn: true})

	// A server that echoes what it got into its error.
	echo := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		w.mu.Lock()
		w.secrets = append(w.secrets, r.PostForm.Get("client_assertion"), r.PostForm.Get("client_secret"))
		w.mu.Unlock()
		rw.WriteHeader(400)
		_ = json.NewEncoder(rw).Encode(map[string]string{
			"error":             "invalid_request",
			"error_description": "bad: " + r.PostForm.Encode() + " " + r.PostForm.Get("client_assertion") + " " + r.PostForm.Get("client_secret"),
		})
	}))
	defer echo.Close()
	w.secrets = append(w.secrets, "QUERYSECRET")
	log := slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	base, err := url.Parse(w.url + "/fhir")
	if err != nil {
		t.Fatal(err)
	}
	w.fhir = &http.Client{Transport: &smart.Transport{Server: base, Log: log, Source: &smart.Client{
		TokenURL: echo.URL + "/token?key=QUERYSECRET", ClientID: "my-client", Keys: key, Scopes: []string{"system/*.rs"}, Log: log,
	}}}
	if w.get() == nil {
		t.Error("the echo was taken for a token")
	}
	bySecret := &smart.Client{TokenURL: echo.URL, ClientID: "c", Secret: "hunter2 hunter2", SecretInBody: true}
	_, err = bySecret.Token(context.Background())
	if err == nil {
		t.Error("the echo was taken for a token")
	}
	w.errs = append(w.errs, err.Error(), fmt.Sprintf("%+v %#v", bySecret, bySecret.Secret))
	static := smart.StaticToken{AccessToken: "opaque-static-token"}
	tok, err := static.Token(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	w.secrets = append(w.secrets, "opaque-static-token")
	j, err := json.Marshal(map[string]any{"t": tok, "s": static})
	if err != nil {
		t.Fatal(err)
	}
	w.errs = append(w.errs, fmt.Sprintf("%v %+v %#v %s %v %+v %#v", tok, *tok, tok, j, static, w.client, key))

	pem, err := key.PrivatePEM()
	if err != nil {
		t.Fatal(err)
	}
	w.secrets = append(w.secrets, strings.Split(string(pem), "\n")[1])
	all := w.lines.String() + strings.Join(w.errs, "\n")
	checked := 0
	for _, secret := range w.secrets {
		// The signature alone would do harm as well.
		for _, part := range append(strings.Split(secret, "."), secret) {
			if len(part) < 8 {
				continue
			}
			checked++
			if strings.Contains(all, part) {
				t.Errorf("a secret got out: %.12s…", part)
			}
		}
	}
	if checked < 40 || len(all) < 2000 {
		t.Errorf("only %d secrets and %d bytes were searched", checked, len(all))
	}
}
