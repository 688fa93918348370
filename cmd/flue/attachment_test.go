package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flue-fhir/flue/sinks"
)

const attachedJobs = `version: 1
state_dir: state
servers:
  sandbox:
    url: %s
    auth: {type: smart, client_id: flue-demo}
    limits: {poll_min: 50ms, downloads: 2}
jobs:
  nightly:
    server: sandbox
    export: {types: [DocumentReference], since: last}
    attachments: {parallel: 1, max_size: 1MB}
    sinks: [{type: ndjson, compression: none}]
    destination: {path: out}
`

// I1, I5: the process is killed again and again while attachments come; in the end
// each is there, and next to none was fetched twice.
func TestI5KillWhileAttachmentsCome(t *testing.T) {
	s := newSite(t, "bulk", "--export-duration", "100ms", "--latency", "15ms")
	s.write("jobs.yaml", fmt.Sprintf(attachedJobs, s.base))
	truth := s.truth()["DocumentReference"]
	const kills = 4
	for n := range kills {
		read := s.requests("read")
		fetching, over, killed := false, atomic.Bool{}, make(chan struct{})
		code, log := s.run(func(e event, p *os.Process) {
			if e.Kind == "attachments" && !fetching {
				fetching = true
				go func() { // once some more have come
					defer close(killed)
					for s.requests("read") < read+8 && !over.Load() {
						time.Sleep(5 * time.Millisecond)
					}
					_ = p.Kill()
				}()
			}
		})
		over.Store(true)
		if fetching {
			<-killed
		}
		if !fetching || code != -1 {
			t.Fatalf("kill %d: fetching %v, exit %d\n%s", n, fetching, code, log)
		}
		if v := s.visible(); len(v) > 0 {
			t.Fatalf("I1: visible before publication: %v", v)
		}
	}
	if code, log := s.run(nil); code != 0 {
		t.Fatalf("exit %d\n%s", code, log)
	}
	m := s.published()
	if a := m.Attachments; a.Found != int64(len(truth)) || a.Fetched != a.Found || a.Contents == 0 {
		t.Errorf("%+v of %d documents", a, len(truth))
	}
	if n := s.kickoffs(); n != 1 {
		t.Errorf("I4: %d kick-offs", n)
	}
	// A kill costs what was under way: one content, and what was staged but not noted.
	if n := s.requests("read"); n < len(truth) || n > len(truth)+2*kills {
		t.Errorf("%d contents were asked for, there are %d", n, len(truth))
	}
	s.complete()
	if out, err := s.command("verify", "out/nightly/latest").CombinedOutput(); err != nil || !strings.Contains(string(out), "ok      attachments") {
		t.Errorf("verify: %v\n%s", err, out)
	}
}

// F7, F8, F15, F33: whatever goes wrong once with an attachment, in the end it is
// there.
func TestAttachmentsThroughFaults(t *testing.T) {
	for name, fault := range map[string]string{
		"429":       `{"kind":"status","status":429,"header":{"Retry-After":["0"]}}`,
		"503":       `{"kind":"status","status":503}`,
		"reset":     `{"kind":"reset"}`,
		"truncated": `{"kind":"truncate","at":20}`,
		"short":     `{"kind":"short","at":20}`,
		"corrupt":   `{"kind":"corrupt","at":20}`,
		"revoked":   "",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "bulk", "--export-duration", "10ms", "--latency", "2ms")
			s.write("jobs.yaml", fmt.Sprintf(attachedJobs, s.base))
			if fault != "" {
				s.post("faults", `[{"path":"read","skip":3,"times":1,"fault":`+fault+`},{"path":"read","skip":20,"times":1,"fault":`+fault+`}]`)
			}
			code, log := s.run(func(e event, _ *os.Process) {
				if e.Kind == "attachments" && fault == "" {
					s.admin("revoke")
				}
			})
			if code != 0 {
				t.Fatalf("exit %d\n%s", code, log)
			}
			m := s.complete()
			truth := len(s.truth()["DocumentReference"])
			if a := m.Attachments; a.Found != int64(truth) || a.Fetched != a.Found {
				t.Errorf("%+v of %d documents", a, truth)
			}
			if n := s.requests("read"); fault != "" && n != truth+2 {
				t.Errorf("%d requests for %d contents and two faults", n, truth)
			}
			if fault == "" && m.Stats.Tokens < 2 {
				t.Errorf("%d tokens", m.Stats.Tokens)
			}
		})
	}
}

// requests counts the requests of a pattern that the sandbox answered.
func (s *site) requests(pattern string) (n int) {
	data, err := os.ReadFile(filepath.Join(s.dir, "requests.log"))
	if err != nil {
		return 0
	}
	return strings.Count(string(data), `"path":"`+pattern+`"`)
}

// put makes a resource one of the sandbox's.
func (s *site) put(resource string) { s.post("put", resource) }

// post asks the sandbox to do something with a body.
func (s *site) post(action, body string) {
	s.t.Helper()
	resp, err := http.Post(strings.TrimSuffix(s.base, "/fhir")+"/_sandbox/"+action, "application/json", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		s.t.Fatalf("%s: %s", action, resp.Status)
	}
}

// P15, P32, P34: the token goes to the FHIR server with a Binary, by a relative URL
// and by its full name, and to no other origin.
func TestP34TokenOfAttachments(t *testing.T) {
	var mu sync.Mutex
	headers := map[string]http.Header{}
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		headers[r.URL.Path] = r.Header.Clone()
		w.Header().Set("Content-Type", "text/plain")
		_, _ = fmt.Fprint(w, "content of "+r.URL.Path)
	}))
	defer foreign.Close()
	document := func(id, url string) string {
		return fmt.Sprintf(`{"resourceType":"DocumentReference","id":%q,"status":"current","content":[{"attachment":{"contentType":"text/plain","url":%q}}]}`, id, url)
	}
	s := newSite(t, "bulk", "--export-duration", "10ms")
	s.write("jobs.yaml", fmt.Sprintf(attachedJobs, s.base))
	s.put(`{"resourceType":"Binary","id":"b1","contentType":"text/plain","data":"aGVsbG8="}`)
	for id, url := range map[string]string{"relative": "Binary/b1", "absolute": s.base + "/Binary/b1", "foreign": foreign.URL + "/signed?sig=s3cr3t", "missing": "Binary/none"} {
		s.put(document(id, url))
	}
	code, log := s.run(nil)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, log)
	}
	mu.Lock()
	defer mu.Unlock()
	if h := headers["/signed"]; h == nil || h.Get("Authorization") != "" || h.Get("Referer") != "" {
		t.Errorf("I6: the other origin got %v", h)
	}
	got := map[string]sinks.Attachment{}
	f, err := os.Open(filepath.Join(s.dir, "out", "nightly", "latest", sinks.AttachmentIndex))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for rows := bufio.NewScanner(f); rows.Scan(); {
		var a sinks.Attachment
		if err := json.Unmarshal(rows.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		got[a.ID] = a
	}
	hello := sha256.Sum256([]byte("hello"))
	for id, want := range map[string]string{"relative": hex.EncodeToString(hello[:]), "absolute": hex.EncodeToString(hello[:])} {
		if got[id].SHA256 != want {
			t.Errorf("%s: %+v", id, got[id])
		}
	}
	if got["foreign"].Status != sinks.Fetched || got["missing"].Code != "not-found" {
		t.Errorf("%+v, %+v", got["foreign"], got["missing"])
	}
	if strings.Contains(log, "s3cr3t") {
		t.Error("I6: the log holds a signature")
	}
}
