package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/flue-fhir/flue/pipeline/attachment"
	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/sinks"
)

// document is a line of a DocumentReference with attachments of these URLs.
func document(id, updated string, urls ...string) string {
	var content []string
	for _, url := range urls {
		content = append(content, fmt.Sprintf(`{"attachment":{"contentType":"text/plain","url":%q}}`, url))
	}
	return fmt.Sprintf(`{"resourceType":"DocumentReference","id":%q,"meta":{"lastUpdated":"2025-01-01T00:00:%sZ"},"content":[%s]}`, id, updated, strings.Join(content, ","))
}

// documents makes a server of n documents in two files, each with a Binary, and a
// job that fetches them. Every fifth has the content of the one before it.
func documents(t *testing.T, n int) (*exportServer, *world) {
	s := newExportServer(t)
	s.binaries = map[string]string{}
	files := []exportFile{{typ: "DocumentReference", name: "d0.ndjson"}, {typ: "DocumentReference", name: "d1.ndjson"}}
	for i := range n {
		id := fmt.Sprintf("b%d", i)
		s.binaries[id] = fmt.Sprintf("content %d", i-i%5/4)
		f := &files[i*2/n]
		f.lines = append(f.lines, document(fmt.Sprintf("d%d", i), "00", "Binary/"+id))
	}
	s.output = files
	w := newWorld(t, s)
	w.Job.Export.Types = []string{"DocumentReference"}
	w.Job.Attachments = &config.Attachments{Types: []string{"DiagnosticReport", "DocumentReference"}, MaxSize: 1 << 20, Parallel: 3, OnUnavailable: "stop"}
	return s, w
}

// contents are those of the latest snapshot, by resource and path, from the index
// and the files beside it; those that were not fetched have their status and code.
func (w *world) contents(t *testing.T) map[string]string {
	t.Helper()
	latest := filepath.Join(w.Dir, "out", w.Job.Name, "latest")
	index, err := os.Open(filepath.Join(latest, sinks.AttachmentIndex))
	if err != nil {
		t.Fatal(err)
	}
	defer index.Close()
	got, named := map[string]string{}, map[string]bool{"index.ndjson": true}
	err = sinks.EachAttachment(index, func(a sinks.Attachment) error {
		key := a.Type + "/" + a.ID + " " + a.Path
		if _, twice := got[key]; twice {
			t.Errorf("%s is in the index twice", key)
		}
		if a.Status != sinks.Fetched {
			got[key] = string(a.Status) + " " + a.Code
			return nil
		}
		named[a.SHA256] = true
		data, err := os.ReadFile(filepath.Join(latest, sinks.AttachmentFolder, a.SHA256))
		sum := sha256.Sum256(data)
		if err != nil || int64(len(data)) != a.Size || hex.EncodeToString(sum[:]) != a.SHA256 {
			t.Errorf("%s: content of %d bytes, the index says %d: %v", key, len(data), a.Size, err)
		}
		got[key] = string(data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(filepath.Join(latest, sinks.AttachmentFolder))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !named[f.Name()] {
			t.Errorf("%s is not in the index", f.Name())
		}
	}
	return got
}

// truth is what contents should give of the documents.
func (s *exportServer) truth() map[string]string {
	want := map[string]string{}
	for id, content := range s.binaries {
		want["DocumentReference/d"+strings.TrimPrefix(id, "b")+" content[0].attachment"] = content
	}
	return want
}

// P34, I3: the attachments of what is published lie in the snapshot, each content
// once, and what was filtered or failed is counted (F45).
func TestP34Attachments(t *testing.T) {
	var token []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token = append(token, r.Header.Get("Authorization"))
		fmt.Fprint(w, "from elsewhere")
	}))
	defer elsewhere.Close()
	s, w := documents(t, 10)
	s.output = append(s.output,
		exportFile{typ: "DocumentReference", name: "more.ndjson", lines: []string{
			document("m1", "01", elsewhere.URL+"/x?sig=s3cr3t", "Binary/b0", "Binary/missing", "urn:uuid:1"),
			`{"resourceType":"DocumentReference","id":"m2","content":[{"attachment":{"contentType":"image/png","url":"Binary/b1"}},{"attachment":{"contentType":"text/plain","url":"Binary/b1","size":99}},{"attachment":{"contentType":"text/plain","data":"aGk="}}]}`,
			document("m3", "00", "Binary/old"), // superseded: its attachments are not published either
			document("m3", "05", "Binary/b2"),
		}},
		exportFile{typ: "DiagnosticReport", name: "r.ndjson", lines: []string{
			`{"resourceType":"DiagnosticReport","id":"r1","presentedForm":[{"contentType":"text/plain; charset=utf-8","url":"` + w.URL + `/Binary/b3"}]}`,
		}})
	w.Job.Export.Types = nil
	w.Job.Attachments.MIME = []string{"text/*"}
	sum := w.run(t, Options{})
	want := s.truth()
	for key, content := range map[string]string{
		"m1 content[0].attachment": "from elsewhere", "m1 content[1].attachment": s.binaries["b0"],
		"m1 content[2].attachment": "failed not-found", "m1 content[3].attachment": "failed url",
		"m2 content[0].attachment": "filtered mime", "m2 content[1].attachment": "failed size-mismatch",
		"m3 content[0].attachment": s.binaries["b2"],
	} {
		want["DocumentReference/"+key] = content
	}
	want["DiagnosticReport/r1 presentedForm[0]"] = s.binaries["b3"]
	if d := cmp.Diff(want, w.contents(t)); d != "" {
		t.Errorf("contents (-want +got):\n%s", d)
	}
	a := sum.Manifest.Attachments
	wantSum := &sinks.Attachments{
		Types: w.Job.Attachments.Types, MIME: []string{"text/*"}, MaxSize: 1 << 20,
		Found: 18, Fetched: 14, Filtered: 1, Failed: 3, Contents: 9, Bytes: 8*9 + 14,
		Reasons: []sinks.AttachmentReason{{Status: sinks.Failed, Code: "not-found", Count: 1}, {Status: sinks.Failed, Code: "size-mismatch", Count: 1}, {Status: sinks.Failed, Code: "url", Count: 1}, {Status: sinks.Filtered, Code: "mime", Count: 1}},
	}
	if d := cmp.Diff(wantSum, a); d != "" {
		t.Errorf("manifest (-want +got):\n%s", d)
	}
	warned := false
	for _, warning := range sum.Manifest.Warnings {
		warned = warned || warning.Code == "attachments-failed" && warning.Count == 3 && strings.HasSuffix(warning.Text, "not-found 1, size-mismatch 1, url 1")
	}
	if !warned {
		t.Errorf("no warning: %+v", sum.Manifest.Warnings)
	}
	// F45: the resources are published as they are.
	lines := s.want()
	lines = append(lines[:0:0], lines...)
	for i, line := range lines {
		if strings.Contains(line, "Binary/old") {
			lines = append(lines[:i], lines[i+1:]...)
			break
		}
	}
	if d := cmp.Diff(lines, w.lines(t, "ndjson"), cmpopts.SortSlices(func(a, b string) bool { return a < b })); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
	if s.opened["Binary/old"] != 0 || s.opened["Binary/missing"] != 1 || len(s.stray) > 0 || len(token) != 1 {
		t.Errorf("requests %v, stray %v, elsewhere %d", s.opened, s.stray, len(token))
	}
	log, err := os.ReadFile(filepath.Join(sum.Location, logName))
	if err != nil || !strings.Contains(string(log), `"attachments":14`) {
		t.Errorf("the export log does not count the attachments: %v", err)
	}
	// I6: a signed URL is nowhere but in its resource.
	for _, file := range []string{"manifest.json", sinks.AttachmentIndex, logName} {
		if text, err := os.ReadFile(filepath.Join(sum.Location, file)); err != nil || strings.Contains(string(text), "s3cr3t") {
			t.Errorf("%s holds a signature (%v)", file, err)
		}
	}
	w.clean(t)
}

// P32, P34: where the manifest asks for no token, none goes with a URL that is not the
// FHIR server's, also by the process that takes the run up and has not seen the
// manifest; with the server's own it goes all the same.
func TestP32TokenOfAttachmentsByTheManifest(t *testing.T) {
	for _, open := range []bool{true, false} {
		var mu sync.Mutex
		got := map[string]string{}
		elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			got["elsewhere"] = r.Header.Get("Authorization")
			fmt.Fprint(w, "x")
		}))
		s, w := documents(t, 2)
		s.mu.Lock() // the requests come from another process
		s.see = func(r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/fhir/Binary/") {
				mu.Lock()
				got["own"] = r.Header.Get("Authorization")
				mu.Unlock()
			}
		}
		s.mu.Unlock()
		s.openFiles = open
		s.output[0].lines = append(s.output[0].lines, document("m1", "00", elsewhere.URL+"/x"))
		t.Setenv("FLUE_TEST_CRASH_STEP", "landed")
		if said, killed := w.process(t, 0); !killed {
			t.Fatalf("not killed: %s", said)
		}
		t.Setenv("FLUE_TEST_CRASH_STEP", "")
		w.run(t, Options{})
		elsewhere.Close()
		// The world's transport puts the token on whatever it is given.
		if got["own"] == "" || (got["elsewhere"] == "") != open {
			t.Errorf("files are open: %v: the token went to %v", open, got)
		}
	}
}

// A chain has the attachments of all its resources: a job that begins to fetch
// them, or others, begins a new chain. A delta has those of what changed.
func TestI2AttachmentsBeginAChain(t *testing.T) {
	s, w := documents(t, 4)
	want := w.Job.Attachments
	w.Job.Attachments = nil
	if m := w.run(t, Options{}).Manifest; m.Attachments != nil || s.opened["Binary/b0"] != 0 {
		t.Errorf("attachments were fetched unasked: %+v", m.Attachments)
	}
	w.Job.Attachments = want
	if m := w.run(t, Options{}).Manifest; m.Kind != sinks.Full || m.Attachments.Fetched != 4 {
		t.Errorf("%s with %+v", m.Kind, m.Attachments)
	}
	s.output = []exportFile{{typ: "DocumentReference", name: "d.ndjson", lines: []string{document("d9", "00", "Binary/b3")}}}
	if m := w.run(t, Options{}).Manifest; m.Kind != sinks.Delta || m.Attachments.Found != 1 || m.Attachments.Fetched != 1 || s.opened["Binary/b0"] != 1 {
		t.Errorf("%s with %+v", m.Kind, m.Attachments)
	}
	w.Job.Attachments.MaxSize++
	if m := w.run(t, Options{}).Manifest; m.Kind != sinks.Full {
		t.Errorf("with another size: %s", m.Kind)
	}
}

// P34: a search has attachments like an export.
func TestP34AttachmentsOfASearch(t *testing.T) {
	s := newSearchServer(t, 3, 0)
	next := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch id, isBinary := strings.CutPrefix(r.URL.Path, "/fhir/Binary/"); {
		case isBinary:
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprint(w, "of "+id)
		case r.URL.Path == "/fhir/DocumentReference":
			var entries []string
			for _, id := range strings.Split(r.URL.Query().Get("patient"), ",") {
				id = strings.TrimPrefix(id, "Patient/")
				entries = append(entries, `{"resource":`+document(id, "00", "Binary/"+id)+`,"search":{"mode":"match"}}`)
			}
			w.Header().Set("Content-Type", "application/fhir+json")
			fmt.Fprintf(w, `{"resourceType":"Bundle","type":"searchset","link":[{"relation":"self","url":%q}],"entry":[%s]}`, s.URL+r.URL.String(), strings.Join(entries, ","))
		default:
			next.ServeHTTP(w, r)
		}
	})
	w := &world{Dir: tempDir(t), URL: s.URL + "/fhir", Job: newWorldJob(), server: &s.mu}
	w.Job.Export = config.Export{Mode: "search", Types: []string{"Patient", "DocumentReference"}}
	w.Job.Attachments = &config.Attachments{Types: []string{"DocumentReference"}, MaxSize: 1 << 20}
	w.run(t, Options{})
	want := map[string]string{}
	for i := range 3 {
		want[fmt.Sprintf("DocumentReference/patient-%d content[0].attachment", i)] = fmt.Sprintf("of patient-%d", i)
	}
	if d := cmp.Diff(want, w.contents(t)); d != "" {
		t.Errorf("contents (-want +got):\n%s", d)
	}
}

// F45: a FHIR server that is down fails the run, which is taken up again and
// fetches what is missing; or it is recorded where the job says so.
func TestF45ServerDownWhileAttachmentsCome(t *testing.T) {
	s, w := documents(t, 40)
	s.binaryDown = true
	err := w.fails(t, Options{})
	var down *attachment.DownError
	if !errors.As(err, &down) || classOf(err) != "" || hintOf(err) == "" || w.latest(t) != nil {
		t.Fatalf("%v, class %q", err, classOf(err))
	}
	s.binaryDown = false
	if sum := w.run(t, Options{}); !sum.Resumed || s.kickoffs != 1 {
		t.Errorf("resumed: %v, %d kick-offs", sum.Resumed, s.kickoffs)
	}
	if d := cmp.Diff(s.truth(), w.contents(t)); d != "" {
		t.Errorf("contents (-want +got):\n%s", d)
	}
	w.clean(t)

	s, w = documents(t, 40)
	s.binaryDown = true
	w.Job.Attachments.OnUnavailable = "record"
	if a := w.run(t, Options{}).Manifest.Attachments; a.Failed != 40 || a.Contents != 0 {
		t.Errorf("%+v", a)
	}
	w.publishedAll(t, s)
}

// P34: without the scope for Binary the server is not asked in vain.
func TestAttachmentsWithoutTheScope(t *testing.T) {
	s, w := documents(t, 3)
	r := w.open(t)
	r.Auth = &authorizer{grant: Grant{NoBinary: true}}
	sum, err := r.Run(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.sync()
	a := sum.Manifest.Attachments
	if a.Failed != 3 || a.Reasons[0].Code != "not-granted" || s.opened["Binary/b0"] != 0 {
		t.Errorf("%+v, %v", a, s.opened)
	}
}

// I1, I5: a process that dies while attachments come is gone on with where it was:
// what it noted is not fetched again, each content is there once, and nothing else.
func TestI5KilledWhileAttachmentsCome(t *testing.T) {
	stride := 1
	if testing.Short() {
		stride = 7
	}
	last := 0
	{
		_, w := documents(t, 10)
		said, _ := w.process(t, 0)
		if _, err := fmt.Sscanf(said, "published after %d steps", &last); err != nil || last < 30 {
			t.Fatalf("the undisturbed process said %q", said)
		}
	}
	seen := map[string]int{}
	kill := func(at int, name string) (inside bool) {
		s, w := documents(t, 10)
		t.Setenv("FLUE_TEST_CRASH_STEP", name)
		said, killed := w.process(t, at)
		t.Setenv("FLUE_TEST_CRASH_STEP", "")
		if !killed {
			return true // the number of steps differs a little from run to run
		}
		step := strings.TrimPrefix(said, "died at ")
		seen[step]++
		s.quiet(t)
		w.whole(t, s, said)
		asked := 0
		for id := range s.binaries {
			asked += s.opened["Binary/"+id]
		}
		if asked == 0 && step != "selected" {
			return false // before the attachments
		}
		noted := w.noted(t)
		before := maps.Clone(s.opened)
		if said, killed := w.process(t, 0); killed || !strings.HasPrefix(said, "published") {
			t.Fatalf("%s: the next process said %q", step, said)
		}
		if step != "state published" { // what follows is a delta
			w.publishedAll(t, s)
			if d := cmp.Diff(s.truth(), w.contents(t)); d != "" {
				t.Errorf("%s: contents (-want +got):\n%s", step, d)
			}
			for id := range s.binaries {
				name := "Binary/" + id
				if n := s.opened[name] - before[name]; noted[id] && n > 0 || n > 1 {
					t.Errorf("%s: %s was fetched %d times after the process died, noted before: %v", step, name, n, noted[id])
				}
			}
		}
		w.clean(t)
		if t.Failed() {
			t.Fatalf("at step %d %s", at, name)
		}
		return true
	}
	for at := last; at > 0 && kill(at, ""); at -= stride {
	}
	// By its name and how often it was: by number a step may be missed.
	if seen["attachments fetched"] == 0 {
		kill(0, "attachments fetched")
	}
	if stride > 1 {
		return
	}
	for _, step := range []string{"attachment staged", "attachment noted"} {
		for n := 1; n <= 8 && seen[step] < 5; n++ {
			kill(0, fmt.Sprintf("%s#%d", step, n))
		}
	}
	if seen["attachment staged"] < 5 || seen["attachment noted"] < 5 || seen["attachments fetched"] == 0 {
		t.Errorf("steps: %v", seen)
	}
}

// noted are the ids of the contents that a process which died has noted.
func (w *world) noted(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.Dir, "spool", "*", "*.notes"))
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			_, rest, _ := strings.Cut(line, `"id":"d`)
			if id, _, ok := strings.Cut(rest, `"`); ok && strings.HasSuffix(line, "\n") {
				ids["b"+id] = true
			}
		}
	}
	return ids
}

// I5: contents that somebody removed from the staging are fetched again, by the try
// after the one that misses them.
func TestStagedAttachmentsThatVanish(t *testing.T) {
	s, w := documents(t, 10)
	t.Setenv("FLUE_TEST_CRASH_STEP", "attachments fetched")
	if said, killed := w.process(t, 0); !killed {
		t.Fatalf("not killed: %s", said)
	}
	t.Setenv("FLUE_TEST_CRASH_STEP", "")
	staged, err := filepath.Glob(filepath.Join(w.Dir, "out", w.Job.Name, ".staging-*", sinks.AttachmentFolder, "*"))
	if err != nil || len(staged) != 9 {
		t.Fatalf("%d files are staged, %v", len(staged), err)
	}
	if err := os.Remove(staged[0]); err != nil {
		t.Fatal(err)
	}
	if err := w.fails(t, Options{}); classOf(err) != "" {
		t.Fatalf("%v", err)
	}
	w.run(t, Options{})
	if d := cmp.Diff(s.truth(), w.contents(t)); d != "" {
		t.Errorf("contents (-want +got):\n%s", d)
	}
	w.clean(t)
}
