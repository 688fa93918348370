package cli

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/pipeline/config"
)

// An authority that the configuration names is trusted, and TLS older than 1.2 is not
// spoken with it either.
func TestP10ConnectionsAreTLS12OrLater(t *testing.T) {
	for _, one := range []struct {
		version uint16
		ok      bool
	}{{tls.VersionTLS10, false}, {tls.VersionTLS11, false}, {tls.VersionTLS12, true}, {tls.VersionTLS13, true}} {
		t.Run(tls.VersionName(one.version), func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, tls.VersionName(r.TLS.Version))
			}))
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = &tls.Config{MinVersion: one.version, MaxVersion: one.version}
			server.StartTLS()
			defer server.Close()
			ca := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			transport, err := newTransport(config.Server{Name: "s", TLS: config.TLS{CA: ca}})
			if err != nil {
				t.Fatal(err)
			}
			defer transport.CloseIdleConnections()
			resp, err := (&http.Client{Transport: transport}).Get(server.URL)
			if !one.ok {
				if err == nil || !strings.Contains(err.Error(), "protocol version") {
					t.Errorf("got %v, want a refusal of the protocol version", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got, _ := io.ReadAll(resp.Body); string(got) != tls.VersionName(one.version) {
				t.Errorf("got %s, want %s", got, tls.VersionName(one.version))
			}
		})
	}
}
