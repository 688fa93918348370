package pipeline

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// exportServer is a FHIR server that exports what it is given. Its switches are
// set before it is used, or under mu.
type exportServer struct {
	*httptest.Server

	mu      sync.Mutex
	output  []exportFile
	errors  []exportFile
	deleted []exportFile
	version string // FHIR version; "" means 4.0.1
	page    bool   // a web page stands in the place of the CapabilityStatement
	polls   int    // answers 202 before an export is done
	tx      time.Time
	says    string         // request that the manifests repeat, below the server; "": a bare one
	fresh   bool           // links change at every manifest
	shuffle bool           // and so does the order of the files
	rename  bool           // and the paths, but not their order
	expire  map[int]int    // ordinal: answers 410 so many times
	cut     map[string]int // file name: break the body so many times, after half of it
	refuse  []int          // statuses that the next kick-offs answer
	words   string         // and the body of these answers
	drop    int            // kick-offs whose answer is lost on the way
	lose    int            // exports that are lost when asked for their status
	block   chan struct{}  // files wait for it
	see     func(r *http.Request)
	bad     int    // statuses 500 that the next file requests answer
	last    string // file that is sent when all others have been asked for
	// organized is the type that the manifest says the files are organized by.
	organized string
	// accept is the body of the kick-off's 202; unlisted leaves out the list of output.
	accept   string
	unlisted bool
	// binaries are contents by id, as text/plain; binaryDown answers 503 for them.
	binaries   map[string]string
	binaryDown bool
	openFiles  bool // the manifest asks for no token

	// partial is how many files the manifest has that each answer 202 brings, the
	// last one from then on; nil for none. Those behind output are withdrawn, which
	// the complete manifest has not. reorder lists them from the end, and hold goes on
	// answering 202 while fewer files were asked for.
	partial   []int
	withdrawn []exportFile
	reorder   bool
	hold      int

	kickoffs  int // accepted
	asked     []url.Values
	manifests int
	known     map[int]int // exports that run, by number: polls so far
	deletes   int
	opened    map[string]int // file requests by name
	bytes     int64
	stray     []string // requests that no client should make

	line sync.Mutex // guards open; a handler that has mu may change it
	open map[net.Conn]bool
}

type exportFile struct {
	typ    string
	name   string
	lines  []string
	count  int // -1: not told; 0: counted
	gzip   bool
	noETag bool
	// continues is the name of the file where the last block goes on.
	continues string
	// endless ends the body with the connection and by nothing else.
	endless bool
}

func newExportServer(t testing.TB) *exportServer {
	s := &exportServer{
		tx: time.Date(2025, 5, 1, 12, 0, 0, 0, time.UTC), known: map[int]int{}, opened: map[string]int{},
		expire: map[int]int{}, cut: map[string]int{}, open: map[net.Conn]bool{},
	}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		s.line.Lock()
		defer s.line.Unlock()
		switch state {
		case http.StateNew:
			s.open[c] = true
		case http.StateHijacked, http.StateClosed:
			delete(s.open, c)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// quiet waits until the server has answered, or lost, every request of a process
// that died; until then the counts may grow. The clients of the test's own
// process must have no connection open.
func (s *exportServer) quiet(t *testing.T) {
	t.Helper()
	// Connections are accepted in their order: with this one, all of the process are.
	last, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted := func() bool {
		s.line.Lock()
		defer s.line.Unlock()
		for c := range s.open {
			if c.RemoteAddr().String() == last.LocalAddr().String() {
				return true
			}
		}
		return false
	}
	// What the process sent is read and served before its connection is closed.
	closed := func() bool {
		s.line.Lock()
		defer s.line.Unlock()
		return len(s.open) == 0
	}
	deadline := time.Now().Add(time.Minute)
	for _, done := range []func() bool{accepted, closed} {
		for !done() {
			if time.Now().After(deadline) {
				t.Fatal("the server does not become quiet")
			}
			time.Sleep(time.Millisecond)
		}
		_ = last.Close()
	}
	s.mu.Lock() // what the handlers wrote is seen
	defer s.mu.Unlock()
}

func (s *exportServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	block, see := s.block, s.see
	s.mu.Unlock()
	if see != nil {
		see(r)
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if block != nil && parts[0] == "files" {
		select {
		case <-block:
		case <-r.Context().Done():
			return
		}
	}
	s.waitForOthers(r, parts[len(parts)-1])
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.URL.Path == "/fhir/metadata":
		if s.page {
			fmt.Fprint(w, "<html>We will be back soon.</html>")
			return
		}
		version := s.version
		if version == "" {
			version = "4.0.1"
		}
		fmt.Fprintf(w, `{"resourceType":"CapabilityStatement","fhirVersion":%q,"software":{"name":"fake"}}`, version)
	case strings.HasPrefix(r.URL.Path, "/fhir/") && strings.HasSuffix(r.URL.Path, "$export"):
		s.kickOff(w, r)
	case parts[0] == "status" && r.Method == http.MethodGet:
		s.status(w, parts[1])
	case parts[0] == "status" && r.Method == http.MethodDelete:
		n, _ := strconv.Atoi(parts[1])
		delete(s.known, n)
		s.deletes++
		w.WriteHeader(http.StatusAccepted)
	case strings.HasPrefix(r.URL.Path, "/fhir/Binary/"):
		s.binary(w, r, parts[2])
	case parts[0] == "files":
		s.file(w, r, parts[len(parts)-1])
	default:
		s.stray = append(s.stray, r.Method+" "+r.URL.Path)
		w.WriteHeader(http.StatusNotFound)
	}
}

// waitForOthers holds the last file back.
func (s *exportServer) waitForOthers(r *http.Request, name string) {
	for r.Context().Err() == nil {
		s.mu.Lock()
		ready := s.last == "" || s.last != name || len(s.opened) == len(s.output)-1
		s.mu.Unlock()
		if ready {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *exportServer) binary(w http.ResponseWriter, r *http.Request, id string) {
	s.opened["Binary/"+id]++
	content, ok := s.binaries[id]
	switch {
	case s.binaryDown:
		w.WriteHeader(http.StatusServiceUnavailable)
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case !strings.HasPrefix(r.Header.Get("Accept"), "text/plain"):
		w.WriteHeader(http.StatusNotAcceptable)
	default:
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, content)
	}
}

func (s *exportServer) kickOff(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.URL.Query())
	if len(s.refuse) > 0 {
		status := s.refuse[0]
		s.refuse = s.refuse[1:]
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(status)
		fmt.Fprint(w, s.words)
		return
	}
	s.kickoffs++
	if s.drop > 0 {
		s.drop--
		panic(http.ErrAbortHandler)
	}
	s.known[s.kickoffs] = 0
	w.Header().Set("Content-Location", fmt.Sprintf("%s/status/%d?secret=s3cr3t", s.URL, s.kickoffs))
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprint(w, s.accept)
}

func (s *exportServer) status(w http.ResponseWriter, number string) {
	n, _ := strconv.Atoi(number)
	polls, ok := s.known[n]
	if !ok || s.lose > 0 {
		if s.lose > 0 {
			s.lose--
		}
		delete(s.known, n)
		w.WriteHeader(http.StatusNotFound)
		return
	}
	s.known[n]++
	status, output := http.StatusOK, s.output
	if polls < s.polls || len(s.opened) < s.hold {
		w.Header().Set("X-Progress", "50% done")
		if s.partial == nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		status, output = http.StatusAccepted, append(slices.Clone(s.output), s.withdrawn...)
		if s.reorder {
			slices.Reverse(output)
		}
		output = output[:s.partial[min(polls, len(s.partial)-1)]]
	}
	s.manifests++
	type entry struct {
		Type      string `json:"type,omitempty"`
		URL       string `json:"url"`
		Count     *int   `json:"count,omitempty"`
		Continues string `json:"continuesInFile,omitempty"`
	}
	link := func(name string) string {
		link := fmt.Sprintf("%s/files/%d/%s", s.URL, n, name)
		if s.rename {
			link = fmt.Sprintf("%s/files/%d/%d/%s", s.URL, n, s.manifests, name)
		}
		if s.fresh {
			link += fmt.Sprintf("?sig=%d", s.manifests)
		}
		return link
	}
	list := func(files []exportFile) []entry {
		out := []entry{}
		for _, f := range files {
			e := entry{Type: f.typ, URL: link(f.name)}
			if f.continues != "" {
				e.Continues = link(f.continues)
			}
			if f.count >= 0 {
				count := f.count
				if count == 0 {
					count = len(f.lines)
				}
				e.Count = &count
			}
			out = append(out, e)
		}
		if s.shuffle && s.manifests%2 == 0 && len(out) > 1 {
			for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
				out[i], out[j] = out[j], out[i]
			}
		}
		return out
	}
	w.Header().Set("Content-Type", "application/json")
	manifest := map[string]any{
		"outputOrganizedBy": s.organized,
		"transactionTime":   s.tx.Format(time.RFC3339), "request": s.URL + "/fhir/" + cmp.Or(s.says, "$export"), "requiresAccessToken": !s.openFiles,
		"output": list(output), "error": list(s.errors), "deleted": list(s.deleted),
	}
	if s.unlisted {
		delete(manifest, "output")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(manifest)
}

func (s *exportServer) file(w http.ResponseWriter, r *http.Request, name string) {
	s.opened[name]++
	if s.bad > 0 {
		s.bad--
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	for i, f := range slices.Concat(s.output, s.errors, s.deleted, s.withdrawn) {
		if f.name != name {
			continue
		}
		if s.expire[i] > 0 {
			s.expire[i]--
			w.WriteHeader(http.StatusGone)
			return
		}
		body := []byte(strings.Join(f.lines, "\n"))
		if len(f.lines) > 0 {
			body = append(body, '\n')
		}
		if f.gzip {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write(body)
			_ = z.Close()
			body = b.Bytes()
			w.Header().Set("Content-Encoding", "gzip")
		}
		if f.endless {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/fhir+ndjson\r\nConnection: close\r\n\r\n%s", body)
				_ = conn.Close()
			}
			return
		}
		w.Header().Set("Content-Type", "application/fhir+ndjson")
		if !f.noETag {
			w.Header().Set("ETag", `"`+f.name+`"`)
		}
		if s.cut[name] > 0 {
			s.cut[name]--
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write(body[:len(body)/2])
			s.bytes += int64(len(body) / 2)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		c := &countingWriter{ResponseWriter: w}
		http.ServeContent(c, r, "", time.Time{}, bytes.NewReader(body))
		s.bytes += c.n
		return
	}
	w.WriteHeader(http.StatusNotFound)
}

type countingWriter struct {
	http.ResponseWriter
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n += int64(n)
	return n, err
}

// resource is a line of a resource.
func resource(typ string, id int, version string) string {
	return fmt.Sprintf(`{"resourceType":%q,"id":"%s-%d","meta":{"lastUpdated":"2025-04-01T00:00:00Z"},"language":%q}`, typ, strings.ToLower(typ), id, version)
}

// population fills the server with so many files of so many lines of each type.
func (s *exportServer) population(files, lines int, types ...string) {
	for _, typ := range types {
		id := 0
		for i := range files {
			f := exportFile{typ: typ, name: fmt.Sprintf("%s.%d.ndjson", typ, i)}
			for range lines {
				f.lines = append(f.lines, resource(typ, id, "en"))
				id++
			}
			s.output = append(s.output, f)
		}
	}
}
