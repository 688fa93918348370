package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/config"
)

func testApp(env ...string) *app {
	return &app{sys: &System{
		Stdout: io.Discard, Stderr: io.Discard, Now: time.Now,
		LookupEnv: func(name string) (string, bool) {
			for i := 0; i < len(env); i += 2 {
				if env[i] == name {
					return env[i+1], true
				}
			}
			return "", false
		},
		Terminal: func() (int, bool) { return 0, false },
	}}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func get(t *testing.T, c *http.Client, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// P15: token and extra headers go to the server's own and the allowed origins,
// and to no other; the bare client sends neither.
func TestP15TokenAndHeadersOnlyToAllowedOrigins(t *testing.T) {
	var seen []string
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization")+"|"+r.Header.Get("Epic-Client-Id"))
	})
	fhir, files, other := httptest.NewServer(handler), httptest.NewServer(handler), httptest.NewServer(handler)
	defer fhir.Close()
	defer files.Close()
	defer other.Close()
	s := config.Server{
		Name: "s", URL: fhir.URL, Origins: []string{files.URL},
		Headers: map[string]string{"Epic-Client-ID": "env:EPIC"},
		Auth:    config.Auth{Type: config.Bearer, Token: "env:TOKEN"},
	}
	a := testApp("TOKEN", "t0ken\n", "EPIC", "e1")
	c, err := a.connect(&config.File{StateDir: t.TempDir()}, s, scopePlan{}, discard())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	get(t, c.authenticated, fhir.URL+"/Patient")
	get(t, c.fresh, fhir.URL+"/$export")
	get(t, c.authenticated, files.URL+"/f")
	get(t, c.authenticated, other.URL+"/f")
	get(t, c.bare, fhir.URL+"/f")
	want := []string{"Bearer t0ken|e1", "Bearer t0ken|e1", "Bearer t0ken|e1", "|", "|"}
	if strings.Join(seen, "\n") != strings.Join(want, "\n") {
		t.Errorf("requests had\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
	a = testApp("EPIC", "e1")
	_, err = a.connect(&config.File{}, s, scopePlan{}, discard())
	if classOf(err) != "usage" || !strings.Contains(err.Error(), "TOKEN is not set") {
		t.Errorf("without the variable: %v", err)
	}
}

// P23: the transport of kick-offs keeps no connection.
func TestP23FreshConnections(t *testing.T) {
	var addresses []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		addresses = append(addresses, r.RemoteAddr)
	}))
	defer server.Close()
	c, err := testApp().connect(&config.File{}, config.Server{URL: server.URL, Auth: config.Auth{Type: config.None}}, scopePlan{}, discard())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for range 2 {
		get(t, c.fresh, server.URL)
	}
	for range 2 {
		get(t, c.authenticated, server.URL)
	}
	if addresses[0] == addresses[1] {
		t.Error("two kick-offs shared a connection")
	}
	if addresses[2] != addresses[3] {
		t.Error("other requests did not share one")
	}
}

// certificate writes a self-signed certificate and its key into a folder.
func certificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"127.0.0.1", "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	return cert, key
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// P10: TLS 1.2 or later, with a private authority and a client certificate.
func TestP10TLS(t *testing.T) {
	dir := t.TempDir()
	clientCert, clientKey := certificate(t, dir, "client")
	var names []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 {
			names = append(names, r.TLS.PeerCertificates[0].Subject.CommonName)
		}
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(dir, "ca.pem")
	write(t, ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	s := config.Server{Name: "s", URL: server.URL, Auth: config.Auth{Type: config.None}, TLS: config.TLS{CA: ca, ClientCert: clientCert, ClientKey: clientKey}}
	connect := func(s config.Server) (*http.Client, error) {
		c, err := testApp().connect(&config.File{}, s, scopePlan{}, discard())
		if err != nil {
			return nil, err
		}
		t.Cleanup(c.close)
		return c.authenticated, nil
	}
	client, err := connect(s)
	if err != nil {
		t.Fatal(err)
	}
	get(t, client, server.URL)
	if len(names) != 1 || names[0] != "client" {
		t.Errorf("client certificates seen: %v", names)
	}

	unknown := s
	unknown.TLS.CA = ""
	if client, err = connect(unknown); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Get(server.URL); err == nil {
		t.Error("a certificate of nobody was trusted")
	}

	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
	old.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	old.StartTLS()
	defer old.Close()
	write(t, ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: old.Certificate().Raw}))
	if client, err = connect(s); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Get(old.URL); err == nil {
		t.Error("TLS 1.1 was accepted")
	}

	for name, broken := range map[string]config.TLS{
		"no authority file": {CA: filepath.Join(dir, "none.pem")},
		"no certificate":    {CA: clientKey},
		"mismatched pair":   {ClientCert: ca, ClientKey: clientKey},
	} {
		s.TLS = broken
		if _, err := connect(s); classOf(err) != "usage" || hintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// F16: a kick-off is waited for as long as package export has the patience (10
// minutes), and any other answer as long as limits.stall says.
func TestF16TransportIsMorePatientThanItsUsers(t *testing.T) {
	for _, stall := range []time.Duration{0, time.Second, 20 * time.Minute} {
		tr, err := newTransport(config.Server{Limits: config.Limits{Stall: stall}})
		if err != nil {
			t.Fatal(err)
		}
		if got := export.OneShot(tr).ResponseHeaderTimeout; got <= 10*time.Minute || got <= stall {
			t.Errorf("with stall %v, the transport gives up after %v", stall, got)
		}
	}
}
