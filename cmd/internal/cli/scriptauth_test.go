package cli

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/pflag"

	"github.com/flue-fhir/flue/smart"
)

// fetch is the script command of that name.
func fetch(ts *testscript.TestScript, neg bool, args []string) {
	f := pflag.NewFlagSet("fetch", pflag.ContinueOnError)
	ca, tag := f.String("ca", "", ""), f.String("etag", "", "")
	check(ts, f.Parse(args))
	if neg || f.NArg() != 1 {
		ts.Fatalf("usage: fetch [--ca FILE] [--etag TAG] FILE")
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	if *ca != "" {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(ts.ReadFile(*ca)))
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	req, err := http.NewRequest(http.MethodGet, strings.TrimSpace(ts.ReadFile(f.Arg(0))), nil)
	check(ts, err)
	if *tag != "" {
		req.Header.Set("If-None-Match", *tag)
	}
	resp, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Do(req)
	check(ts, err)
	defer resp.Body.Close()
	out, err := os.Create(ts.MkAbs("fetched"))
	check(ts, err)
	defer out.Close()
	fmt.Fprintf(out, "status %d\n", resp.StatusCode)
	check(ts, resp.Header.Write(out))
	_, err = out.ReadFrom(resp.Body)
	check(ts, err)
	ts.Setenv("ETAG", resp.Header.Get("ETag"))
}

// signed is the script command of that name: one line for each assertion, in the
// order in which the servers got them.
func signed(ts *testscript.TestScript, _ bool, _ []string) {
	w := witnessOf(ts)
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	for _, one := range w.order {
		header, claims, err := smart.DecodeAssertion(smart.Secret(one))
		check(ts, err)
		fmt.Fprintf(&b, "%s %s\n", header, claims)
	}
	check(ts, os.WriteFile(ts.MkAbs("signed.log"), []byte(b.String()), 0o600))
}

func setVar(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: setvar NAME FILE KEY")
	}
	var object map[string]any
	check(ts, json.Unmarshal([]byte(ts.ReadFile(args[1])), &object))
	value, ok := object[args[2]]
	if !ok {
		ts.Fatalf("%s has no %s", args[1], args[2])
	}
	ts.Setenv(args[0], fmt.Sprint(value))
}

// keySet is the script command keyset: one file of several keys.
func keySet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: keyset FILE KEYFILE...")
	}
	var all smart.Keys
	for _, name := range args[1:] {
		keys, err := smart.LoadKeysFile(ts.MkAbs(name))
		check(ts, err)
		all = append(all, keys...)
	}
	check(ts, smart.SaveKeys(ts.MkAbs(args[0]), all))
}

func edit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edit FILE OLD NEW")
	}
	old := ts.ReadFile(args[0])
	if !strings.Contains(old, args[1]) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	check(ts, os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(old, args[1], args[2])), 0o600))
}

func envFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: envfile NAME FILE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

func saw(ts *testscript.TestScript, neg bool, args []string) {
	w := witnessOf(ts)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, kind := range args {
		if (w.count[kind] > 0) == neg {
			ts.Fatalf("%d secrets of kind %s were seen", w.count[kind], kind)
		}
	}
}
