package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/flue-fhir/flue/smart"
)

// witness notes every secret that crosses the wire to the servers it stands
// before: access tokens, assertions, client secrets (I6).
type witness struct {
	mu    sync.Mutex
	seen  map[string]string // secret → kind
	count map[string]int    // by kind
	order []string          // the assertions as they came
}

func (w *witness) note(kind, secret string) {
	if secret == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen == nil {
		w.seen, w.count = map[string]string{}, map[string]int{}
	}
	if _, known := w.seen[secret]; !known {
		w.count[kind]++
		if kind == "assertion" {
			w.order = append(w.order, secret)
		}
	}
	w.seen[secret] = kind
}

// wrap looks at the requests to a handler and, at the token endpoint, at the answers.
func (w *witness) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			w.note("token", token)
		}
		if _, secret, ok := r.BasicAuth(); ok {
			w.note("client secret", secret)
		}
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/token") {
			next.ServeHTTP(rw, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(rw, "cannot read", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if form, err := url.ParseQuery(string(body)); err == nil {
			w.note("assertion", form.Get("client_assertion"))
			w.note("client secret", form.Get("client_secret"))
		}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		var granted struct {
			AccessToken string `json:"access_token"`
		}
		if json.Unmarshal(answer.Body.Bytes(), &granted) == nil {
			w.note("token", granted.AccessToken)
		}
		for name, values := range answer.Header() {
			rw.Header()[name] = values
		}
		rw.WriteHeader(answer.Code)
		_, _ = rw.Write(answer.Body.Bytes())
	})
}

// before starts a proxy that looks at what goes to the server at base, and returns the
// base URL to use instead.
func (w *witness) before(ts *testscript.TestScript, base string) string {
	u, err := url.Parse(base)
	if err != nil {
		ts.Fatalf("witness: %v", err)
	}
	front := httptest.NewServer(w.wrap(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = u.Scheme, u.Host
			r.Out.Host = r.In.Host // links and aud are made of it
		},
		FlushInterval: -1,
		ErrorHandler:  func(rw http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) },
	}))
	ts.Defer(front.Close)
	return front.URL + u.Path
}

// watchedMain is the program with a copy of its output in the folder that
// FLUE_TEST_CAPTURE names. What is printed because the person asked for a secret
// goes to files that say so.
func watchedMain() {
	s := process()
	if dir := os.Getenv("FLUE_TEST_CAPTURE"); dir != "" {
		s.Stdout, s.Stderr = tee(dir, "stdout", s.Stdout), tee(dir, "stderr", s.Stderr)
		if showsSecret(s.Args) {
			s.Stdout = os.Stdout
		}
	}
	os.Exit(s.Run(context.Background()))
}

// showsSecret reports whether stdout of the command is a secret by its purpose.
func showsSecret(args []string) bool {
	return slices.Contains(args, "token") && slices.Contains(args, "--show") ||
		slices.Contains(args, "assertion") && !slices.Contains(args, "--decode")
}

func tee(dir, stream string, to io.Writer) io.Writer {
	f, err := os.CreateTemp(dir, "*."+stream)
	if err != nil {
		panic(err)
	}
	return io.MultiWriter(to, f)
}

const (
	captureFolder = "captured" // of a script: the commands' output
	secretFolder  = "secret"   // of a script: what may hold secrets
)

// watch prepares a script's folder, and searches it after the script.
func watch(t *testing.T, e *testscript.Env) error {
	w := &witness{}
	e.Values["witness"] = w
	captured := filepath.Join(e.WorkDir, captureFolder)
	if err := os.MkdirAll(captured, 0o700); err != nil {
		return err
	}
	e.Setenv("FLUE_TEST_CAPTURE", captured)
	e.Defer(func() {
		found, searched, err := w.search(e.WorkDir)
		if err != nil {
			t.Errorf("search %s: %v", e.WorkDir, err)
		}
		for _, leak := range found {
			t.Errorf("I6: %s (script folder %s)", leak, filepath.Base(e.WorkDir))
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		t.Logf("%s: searched %d files for %v: %d found", filepath.Base(e.WorkDir), searched, w.count, len(found))
	})
	return nil
}

func witnessOf(ts *testscript.TestScript) *witness { return ts.Value("witness").(*witness) }

// search looks for the secrets noted, and for the private members of every key that
// lies in the folder, in all files but the key files themselves. Compressed files
// are looked into.
func (w *witness) search(dir string) (found []string, searched int, err error) {
	needles := map[string]string{}
	w.mu.Lock()
	for secret, kind := range w.seen {
		for _, part := range forms(kind, secret) {
			needles[part] = kind
		}
	}
	w.mu.Unlock()
	type file struct {
		path string
		data []byte
	}
	var files []file
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && path == filepath.Join(dir, secretFolder) {
			return cmpErr(err, fs.SkipDir)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			if os.Chmod(path, 0o600) != nil {
				return err
			}
			if data, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		if keys, err := smart.ParseKeys(data); err == nil {
			for _, k := range keys {
				for _, member := range privateMembers(k) {
					needles[member] = "private key"
				}
			}
			return nil
		}
		files = append(files, file{path, data})
		return nil
	})
	for _, f := range files {
		searched++
		plain := unpack(f.data)
		for needle, kind := range needles {
			if bytes.Contains(f.data, []byte(needle)) || bytes.Contains(plain, []byte(needle)) {
				name, _ := filepath.Rel(dir, f.path)
				found = append(found, fmt.Sprintf("%s holds (part of) a %s", name, kind))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found), searched, err
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// forms are the shapes and pieces in which a secret may have got somewhere.
func forms(kind, secret string) []string {
	const piece = 16
	whole := []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), url.QueryEscape(secret)}
	if kind == "assertion" {
		parts := strings.Split(secret, ".")
		secret = parts[len(parts)-1] // the signature; header and claims of an expired one are no secret
	}
	if len(secret) > 2*piece {
		whole = append(whole, secret[:piece], secret[len(secret)-piece:])
	}
	return whole
}

// privateMembers are the secret numbers of a key as files and logs might hold them.
func privateMembers(k *smart.Key) []string {
	var out []string
	set, err := smart.Keys{k}.PrivateJWKS()
	if err != nil {
		return nil
	}
	var doc struct{ Keys []map[string]any }
	if json.Unmarshal(set, &doc) == nil {
		for _, name := range []string{"d", "p", "q", "dp", "dq", "qi"} {
			text, _ := doc.Keys[0][name].(string)
			if raw, err := base64.RawURLEncoding.DecodeString(text); err == nil && len(raw) > 0 {
				out = append(out, text, string(raw), hex.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw))
			}
		}
	}
	if pem, err := k.PrivatePEM(); err == nil {
		lines := strings.Split(strings.TrimSpace(string(pem)), "\n")
		out = append(out, lines[2:len(lines)-1]...) // the first line of data is the algorithm's
	}
	return out
}

// unpack is the content of a gzip or zstd file, nil of another.
func unpack(data []byte) []byte {
	var r io.Reader
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		zip, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil
		}
		r = zip
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil
		}
		defer z.Close()
		r = z
	default:
		return nil
	}
	plain, _ := io.ReadAll(r) // a file cut short is searched as far as it goes
	return plain
}

// TestI6TheSearchFindsWhatIsThere proves that the search after each script can fail.
func TestI6TheSearchFindsWhatIsThere(t *testing.T) {
	key, err := smart.GenerateKeyPair(smart.RS384, "")
	if err != nil {
		t.Fatal(err)
	}
	const token, assertion = "SyntheticTokenOf43CharactersWhichNobodyIssued", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.c3ludGhldGljIHNpZ25hdHVyZSBvZiBub3RoaW5nIGF0IGFsbA"
	var jwks struct{ Keys []map[string]any }
	if err := json.Unmarshal(must(smart.Keys{key}.PrivateJWKS()), &jwks); err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, "some text and "+token)
	_ = z.Close()
	for name, content := range map[string]string{
		"token in a log": `{"msg":"request","header":"Bearer ` + token + `"}`, "start of a token": "got " + token[:20] + "…",
		"token in base64": base64.StdEncoding.EncodeToString([]byte(token)), "token in gzip": zipped.String(),
		"assertion": "client_assertion=" + assertion, "end of an assertion": "…" + assertion[len(assertion)-20:],
		"member of a key": jwks.Keys[0]["dp"].(string), "line of a PEM": strings.Split(string(must(key.PrivatePEM())), "\n")[5],
		"client secret": "Basic failed for hunter2hunter2",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := &witness{}
			w.note("token", token)
			w.note("assertion", assertion)
			w.note("client secret", "hunter2hunter2")
			if err := smart.SaveKey(filepath.Join(dir, "key.pem"), key); err != nil {
				t.Fatal(err)
			}
			clean := filepath.Join(dir, "clean.log")
			if err := os.WriteFile(clean, []byte("kid "+key.ID()+" signs; nothing secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			found, searched, err := w.search(dir)
			if err != nil || searched != 1 || len(found) != 0 {
				t.Fatalf("clean folder: searched %d, found %v, %v", searched, found, err)
			}
			if err := os.WriteFile(filepath.Join(dir, "leak"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if found, _, err := w.search(dir); err != nil || len(found) != 1 || !strings.HasPrefix(found[0], "leak holds") {
				t.Errorf("found %v, %v; want the leak", found, err)
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
