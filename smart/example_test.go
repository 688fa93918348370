package smart_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/flue-fhir/flue/smart"
	"github.com/flue-fhir/flue/smart/authserver"
)

// A program makes a key, registers its public half and reads from a protected
// server. The server here is a sandbox in the same process.
func Example() {
	key, err := smart.GenerateECKeyPair("")
	if err != nil {
		log.Fatal(err)
	}
	public, err := json.Marshal(smart.Keys{key}.JWKS())
	if err != nil {
		log.Fatal(err)
	}
	server := sandbox(public)
	defer server.Close()

	client := &smart.Client{
		Base:     server.URL + "/fhir",
		ClientID: "my-client",
		Keys:     key,
		Scopes:   smart.ForTypes([]string{"Patient"}, "system", smart.ScopeOptions{V2: true}),
	}
	token, err := client.Token(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("granted:", token.Scopes)
	fmt.Println("printed:", token.AccessToken)

	base, err := url.Parse(client.Base)
	if err != nil {
		log.Fatal(err)
	}
	fhir := &http.Client{Transport: &smart.Transport{Source: client, Server: base}}
	resp, err := fhir.Get(client.Base + "/Patient/1")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.StatusCode, string(body))
	// Output:
	// granted: [system/Patient.rs]
	// printed: [secret]
	// 200 {"resourceType":"Patient","id":"1"}
}

// A key is replaced while programs that use its file run on: the successor is
// published at once and signs once every server has fetched it.
func ExampleKeys_Rotate() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "keys.json")
	first, err := smart.GenerateECKeyPair("2025")
	if err != nil {
		log.Fatal(err)
	}
	if err := smart.SaveKeys(path, smart.Keys{first}); err != nil {
		log.Fatal(err)
	}

	now := time.Now()
	keys, err := smart.LoadKeysFile(path)
	if err != nil {
		log.Fatal(err)
	}
	successor, err := smart.GenerateECKeyPair("2026")
	if err != nil {
		log.Fatal(err)
	}
	if keys, err = keys.Rotate(successor, now, time.Hour); err != nil {
		log.Fatal(err)
	}
	if err := smart.SaveKeys(path, keys); err != nil {
		log.Fatal(err)
	}

	source := &smart.KeyFile{Path: path} // what Client.Keys would be
	for _, at := range []time.Time{now, now.Add(time.Hour), now.Add(2 * time.Hour)} {
		key, err := source.SigningKey(context.Background(), at, []string{smart.ES384})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(key.ID(), " signs;")
		for _, k := range keys.Published(at) {
			fmt.Print(" ", k.ID())
		}
		fmt.Println(" published")
	}
	// Output:
	// 2025 signs; 2025 2026 published
	// 2026 signs; 2025 2026 published
	// 2026 signs; 2026 published
}

// sandbox is a FHIR server of one patient behind a strict authorization server.
func sandbox(jwks []byte) *httptest.Server {
	auth := &authserver.Server{}
	if err := auth.Register(authserver.Client{ID: "my-client", JWKS: jwks}); err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/auth/token", auth.TokenHandler())
	mux.Handle("/fhir/.well-known/smart-configuration", auth.ConfigurationHandler())
	mux.HandleFunc("/fhir/Patient/1", func(w http.ResponseWriter, r *http.Request) {
		grant, err := auth.Check(r)
		if err != nil {
			err.(*authserver.Denied).Write(w)
			return
		}
		if !grant.Allows("Patient", 'r') {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"resourceType":"Patient","id":"1"}`)
	})
	return httptest.NewServer(mux)
}
