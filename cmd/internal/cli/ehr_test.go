package cli

import (
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/pflag"

	"github.com/flue-fhir/flue/smart/authserver"
)

// ehr is a small server to authenticate with: what the sandbox does not do.
type ehr struct {
	auth  *authserver.Server
	other string // base of another origin

	mu  sync.Mutex
	log *os.File
}

// startEHR is the script command ehr; $EHR is the FHIR base URL, $OTHER the URL of another
// origin, and ehr.log gets a line for each FHIR request. Its flags:
//
//	--client ID=JWKSFILE    register a key set; ID=https://… registers its URL
//	--secret ID=SECRET      register a client secret
//	--algs A,B              signature algorithms advertised and taken
//	--scopes S,S --narrow   what clients may have; grant what is allowed
//	--grant S,S             grant this whatever is asked for
//	--silent                do not say which scopes were granted
//	--skew D                the server's clock is ahead
//	--lifetime D            of tokens
//	--tls [--mtls]          https; ca.pem, client.pem and client.key are written
func startEHR(ts *testscript.TestScript, neg bool, args []string) {
	var clients, secrets, algs, scopes, grant []string
	var narrow, silent, withTLS, mutual bool
	var skew, lifetime time.Duration
	f := pflag.NewFlagSet("ehr", pflag.ContinueOnError)
	f.StringArrayVar(&clients, "client", nil, "")
	f.StringArrayVar(&secrets, "secret", nil, "")
	f.StringSliceVar(&algs, "algs", nil, "")
	f.StringSliceVar(&scopes, "scopes", nil, "")
	f.StringSliceVar(&grant, "grant", nil, "")
	f.BoolVar(&narrow, "narrow", false, "")
	f.BoolVar(&silent, "silent", false, "")
	f.BoolVar(&withTLS, "tls", false, "")
	f.BoolVar(&mutual, "mtls", false, "")
	f.DurationVar(&skew, "skew", 0, "")
	f.DurationVar(&lifetime, "lifetime", 0, "")
	if err := f.Parse(args); err != nil || neg {
		ts.Fatalf("ehr: %v", err)
	}
	e := &ehr{auth: &authserver.Server{Algorithms: algs, Scopes: scopes, Narrow: narrow, TokenLifetime: lifetime}}
	e.auth.SetFaults(authserver.Faults{Grant: grant, OmitScope: silent, Skew: skew})
	for _, text := range clients {
		id, where, _ := strings.Cut(text, "=")
		c := authserver.Client{ID: id, JWKSFile: ts.MkAbs(where)}
		if strings.Contains(where, "://") {
			c.JWKSFile, c.JWKSURL = "", where
		}
		check(ts, e.auth.Register(c))
	}
	for _, text := range secrets {
		id, secret, _ := strings.Cut(text, "=")
		check(ts, e.auth.Register(authserver.Client{ID: id, Secret: secret}))
	}
	requests, err := os.OpenFile(ts.MkAbs("ehr.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	check(ts, err)
	e.log = requests
	ts.Defer(func() { _ = requests.Close() })
	other := httptest.NewServer(http.HandlerFunc(e.elsewhere))
	ts.Defer(other.Close)
	e.other = other.URL
	ts.Setenv("OTHER", other.URL)

	server := httptest.NewUnstartedServer(witnessOf(ts).wrap(e))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if !withTLS && !mutual {
		server.Start()
	} else {
		startTLS(ts, server, mutual)
	}
	ts.Defer(server.Close)
	ts.Setenv("EHR", server.URL+"/fhir")
	ts.Setenv("EHR_HOST", strings.TrimPrefix(strings.TrimPrefix(server.URL, "https://"), "http://"))
}

// startTLS starts the server with a certificate for example.com and 127.0.0.1 and
// writes what a client needs.
func startTLS(ts *testscript.TestScript, server *httptest.Server, mutual bool) {
	certificate, key := clientCertificate(ts)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	server.TLS = &tls.Config{}
	if mutual {
		server.TLS.ClientAuth, server.TLS.ClientCAs = tls.RequireAndVerifyClientCert, pool
	}
	server.StartTLS()
	for name, data := range map[string][]byte{
		"ca.pem":     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
		"client.pem": certificate, "client.key": key,
	} {
		check(ts, os.WriteFile(ts.MkAbs(name), data, 0o600))
	}
}

func clientCertificate(ts *testscript.TestScript) (certificate, key []byte) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(ts, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "flue"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		DNSNames:              []string{"example.com"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	check(ts, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	check(ts, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func check(ts *testscript.TestScript, err error) {
	if err != nil {
		ts.Fatalf("%v", err)
	}
}

// note writes what a test wants to know of a request: never a token itself.
func (e *ehr) note(where string, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fmt.Fprintf(e.log, "%s %s path=%s query=%s bearer=%t accept=%q epic=%q referer=%q\n", where, r.Method, r.URL.Path, r.URL.RawQuery,
		strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "), r.Header.Get("Accept"), r.Header.Get("Epic-Client-Id"), r.Header.Get("Referer"))
}

func (e *ehr) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, below := strings.CutPrefix(r.URL.Path, "/fhir/")
	switch {
	case r.URL.Path == "/auth/token":
		e.auth.TokenHandler().ServeHTTP(w, r)
		return
	case !below:
		http.NotFound(w, r)
		return
	case path == ".well-known/smart-configuration":
		e.auth.ConfigurationHandler().ServeHTTP(w, r)
		return
	}
	e.note("fhir", r)
	if path != "metadata" && path != "away" {
		if _, err := e.auth.Check(r); err != nil {
			e.outcome(w, http.StatusUnauthorized, "no good token")
			return
		}
	}
	w.Header().Set("Content-Type", "application/fhir+json")
	switch kind, rest, _ := strings.Cut(path, "/"); kind {
	case "status":
		status, err := strconv.Atoi(rest)
		if err != nil {
			status = http.StatusBadRequest
		}
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "7")
		}
		e.outcome(w, status, "as you wish")
	case "$export":
		e.outcome(w, http.StatusUnauthorized, "bulk data is not for this client")
	case "away":
		http.Redirect(w, r, e.other+"/landing", http.StatusFound)
	case "down": // from https to http
		http.Redirect(w, r, "http://"+r.Host+"/fhir/metadata", http.StatusFound)
	case "zip", "cut":
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, `{"resourceType":"Basic","id":"zipped"}`)
		if kind == "cut" {
			_ = z.Flush()
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_ = z.Close()
	case "empty":
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(http.StatusNoContent)
	default:
		_, _ = io.WriteString(w, `{"resourceType":"Basic","id":"<as sent>",  "n":1.50}`+"\n")
	}
}

func (e *ehr) outcome(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/fhir+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"processing","diagnostics":%q}]}`, text)
}

// elsewhere answers at another origin.
func (e *ehr) elsewhere(w http.ResponseWriter, r *http.Request) {
	e.note("other", r)
	_, _ = io.WriteString(w, `{"resourceType":"Basic","id":"elsewhere"}`)
}

// startProxy is the script command proxy: $PROXY is the URL of a proxy that leads every
// host to the server of $EHR, and proxy.log gets a line for each request.
func startProxy(ts *testscript.TestScript, _ bool, _ []string) {
	target := ts.Getenv("EHR_HOST")
	requests, err := os.OpenFile(ts.MkAbs("proxy.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	check(ts, err)
	ts.Defer(func() { _ = requests.Close() })
	var mu sync.Mutex
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL = &url.URL{Scheme: "http", Host: target, Path: r.In.URL.Path, RawQuery: r.In.URL.RawQuery}
		r.Out.Host = r.In.Host
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		fmt.Fprintf(requests, "%s %s auth=%t\n", r.Method, r.Host, r.Header.Get("Proxy-Authorization") != "")
		mu.Unlock()
		if r.Method == http.MethodConnect {
			tunnel(w, target)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	ts.Defer(server.Close)
	ts.Setenv("PROXY", server.URL)
	ts.Setenv("PROXY_HOST", strings.TrimPrefix(server.URL, "http://"))
}

// tunnel joins the client's connection with one to the target.
func tunnel(w http.ResponseWriter, target string) {
	far, err := net.Dial("tcp", target)
	if err != nil {
		http.Error(w, "unreachable", http.StatusBadGateway)
		return
	}
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = far.Close()
		return
	}
	_, _ = io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(far, buffered); _ = far.Close() })
	both.Go(func() { _, _ = io.Copy(near, far); _ = near.Close() })
	both.Wait()
}
