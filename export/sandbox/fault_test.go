package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/flue-fhir/flue/smart/authserver"
)

// fetch gets a URL on a connection of its own, and returns what came of the
// body before an error.
func fetch(t *testing.T, target string) (*http.Response, []byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(kickOffHeader) && strings.Contains(target, "$export"); i += 2 {
		req.Header.Set(kickOffHeader[i], kickOffHeader[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

// settled returns the request log when it has n entries: an entry is written
// when its answer is, which the client may be quicker to read.
func settled(s *Server, n int) []Request {
	for range 1000 {
		if log := s.Requests(); len(log) >= n {
			return log
		}
		time.Sleep(time.Millisecond)
	}
	return s.Requests()
}

func TestFaults(t *testing.T) {
	s := &Server{}
	c := serve(t, s)
	file := c.wait(c.kickOff("/$export?_type=Encounter")).Output[0].URL
	whole := c.get(file).body
	one := func(f Fault) {
		if err := s.rules.Set(FaultRule{Pattern: PatternFile, Fault: f}); err != nil {
			t.Fatal(err)
		}
	}
	one(Fault{Kind: FaultStatus, Status: 503, Header: http.Header{"Retry-After": {"7"}}, Body: "busy"})
	resp, body, err := fetch(t, file)
	if err != nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "7" || string(body) != "busy" {
		t.Errorf("status: %v %s %v", resp, body, err)
	}
	one(Fault{Kind: FaultReset})
	if _, _, err := fetch(t, file); err == nil {
		t.Error("reset: an answer came")
	}
	one(Fault{Kind: FaultTruncate, At: 1000})
	if _, body, err := fetch(t, file); !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(body, whole[:1000]) {
		t.Errorf("truncate: %d bytes, %v", len(body), err)
	}
	one(Fault{Kind: FaultShort, At: 1000})
	if resp, body, err := fetch(t, file); err != nil || resp.ContentLength >= 0 || !bytes.Equal(body, whole[:1000]) {
		t.Errorf("short: %d bytes, %v", len(body), err)
	}
	one(Fault{Kind: FaultCorrupt, At: 1000})
	_, body, err = fetch(t, file)
	if err != nil || len(body) != len(whole) || body[1000] != whole[1000]^0xff || !bytes.Equal(body[:1000], whole[:1000]) || !bytes.Equal(body[1001:], whole[1001:]) {
		t.Errorf("corrupt: %d bytes, %v", len(body), err)
	}
	one(Fault{Kind: FaultContentType, Header: http.Header{"Content-Type": {"text/html"}}})
	if resp, body, err := fetch(t, file); err != nil || resp.Header.Get("Content-Type") != "text/html" || !bytes.Equal(body, whole) {
		t.Errorf("content type: %v, %v", resp.Header, err)
	}
	for _, f := range []Fault{{Kind: FaultStall, At: 1000, Delay: 20 * time.Millisecond}, {Kind: FaultDelay, Delay: 20 * time.Millisecond}} {
		one(f)
		begun := time.Now()
		if _, body, err := fetch(t, file); err != nil || !bytes.Equal(body, whole) || time.Since(begun) < f.Delay {
			t.Errorf("%s: %d bytes, %v", f.Kind, len(body), err)
		}
	}
	if _, body, err := fetch(t, file); err != nil || !bytes.Equal(body, whole) {
		t.Errorf("after all faults: %v", err)
	}
	kinds := map[string]int{}
	const fetches = 9
	for _, r := range settled(s, c.made+fetches) {
		kinds[r.Fault]++
	}
	if kinds[FaultCorrupt] != 1 || kinds[FaultReset] != 1 {
		t.Errorf("faults in the request log: %v", kinds)
	}
}

// TestF16DroppedKickOff: the export has begun, and nobody was told.
func TestF16DroppedKickOff(t *testing.T) {
	s := &Server{Fault: func(r *http.Request) *Fault {
		if Pattern(r) == PatternKickOff {
			return &Fault{Kind: FaultDrop}
		}
		return nil
	}}
	c := serve(t, s)
	if _, _, err := fetch(t, c.base+"/$export"); err == nil {
		t.Fatal("an answer came")
	}
	log := settled(s, 1)
	if len(log) != 1 || log[0].Pattern != PatternKickOff || log[0].Status != 0 || log[0].Export == "" {
		t.Fatalf("request log: %+v", log)
	}
	if a := c.get("/_export/" + log[0].Export); a.StatusCode != http.StatusAccepted && a.StatusCode != http.StatusOK {
		t.Errorf("the export that nobody knows: status %d", a.StatusCode)
	}
}

func TestFaultRules(t *testing.T) {
	s := &Server{Admin: true}
	c := serve(t, s)
	origin := strings.TrimSuffix(c.base, "/fhir")
	rules := `[{"path":"metadata","skip":1,"times":2,"fault":{"kind":"status","status":500}},{"path":"search","times":-1,"fault":{"kind":"status","status":429}}]`
	if a := c.do(http.MethodPost, origin+"/_sandbox/faults", rules); a.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s", a.StatusCode, a.body)
	}
	if a := c.do(http.MethodPost, origin+"/_sandbox/faults", `[{"fault":{"kind":"nonsense"}}]`); a.StatusCode != http.StatusBadRequest {
		t.Errorf("an unknown kind: status %d", a.StatusCode)
	}
	var got []int
	for range 4 {
		got = append(got, c.get("/metadata").StatusCode)
	}
	got = append(got, c.get("/Patient").StatusCode, c.get("/Patient").StatusCode)
	for i, want := range []int{200, 500, 500, 200, 429, 429} {
		if got[i] != want {
			t.Errorf("request %d: status %d, want %d", i, got[i], want)
		}
	}
}

func TestAdmin(t *testing.T) {
	auth := &authserver.Server{}
	s := &Server{Admin: true, Auth: auth}
	c := serve(t, s)
	c.token = register(t, c, auth, "app", "system/*.rs")
	origin := strings.TrimSuffix(c.base, "/fhir")
	location := c.kickOff("/$export?_type=Patient")
	c.wait(location)
	if a := c.do(http.MethodPost, origin+"/_sandbox/expire", ""); string(a.body) != `{"exports":1}` {
		t.Errorf("expire: %s", a.body)
	}
	if a := c.get(location); a.StatusCode != http.StatusNotFound {
		t.Errorf("an expired export: status %d", a.StatusCode)
	}
	c.do(http.MethodPost, origin+"/_sandbox/revoke", "")
	if a := c.get("/Patient"); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a revoked token: status %d", a.StatusCode)
	}
	for target, want := range map[string]int{
		"touch": 400, "touch?ref=Patient/nobody": 404, "delete?ref=nonsense": 400, "touch?type=Patient&count=0": 400, "put": 400, "faults": 400, "nonsense": 404,
	} {
		if a := c.do(http.MethodPost, origin+"/_sandbox/"+target, "nonsense"); a.StatusCode != want {
			t.Errorf("%s: status %d, want %d", target, a.StatusCode, want)
		}
	}
	var log struct {
		Counts   map[string]int64
		Requests []Request
	}
	if err := json.Unmarshal(c.get(origin+"/_sandbox/requests").body, &log); err != nil || log.Counts[PatternKickOff] != 1 || len(log.Requests) == 0 {
		t.Errorf("requests: %v %v", err, log.Counts)
	}
	closed := serve(t, &Server{})
	if a := closed.do(http.MethodPost, strings.TrimSuffix(closed.base, "/fhir")+"/_sandbox/revoke", ""); a.StatusCode != http.StatusNotFound {
		t.Errorf("admin on a server without: status %d", a.StatusCode)
	}
}

func TestRequestLog(t *testing.T) {
	var out bytes.Buffer
	s := &Server{RequestLog: &out}
	c := serve(t, s)
	location := c.kickOff("/$export?_type=Patient&_since=2024-01-01T00:00:00Z")
	m := c.wait(location)
	c.lines(m.Output)
	c.do(http.MethodDelete, location, "")
	c.get("/Patient?name=Smith")
	settled(s, c.made)
	want := []string{PatternKickOff, PatternStatus, PatternFile, PatternDelete, PatternSearch}
	var got []string
	id := location[strings.LastIndex(location, "/")+1:]
	for _, line := range splitLines(out.Bytes()) {
		var r Request
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 || got[len(got)-1] != r.Pattern {
			got = append(got, r.Pattern)
		}
		if r.Pattern != PatternSearch && r.Export != id {
			t.Errorf("%s: export %q, want %q", r.Pattern, r.Export, id)
		}
		if r.Pattern == PatternFile && (r.Status != 200 || r.Bytes < 1000 || r.Type != "Patient") {
			t.Errorf("file: %s", line)
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("patterns %v, want %v", got, want)
	}
	if strings.Contains(out.String(), "Smith") || strings.Contains(out.String(), "2024") {
		t.Error("the request log has a query")
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	s := &Server{Data: openData(t, populationDir(t))}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, listener) }()
	c := &client{t: t, base: "http://" + listener.Addr().String() + "/fhir"}
	if a := c.get("/metadata"); a.StatusCode != http.StatusOK {
		t.Errorf("status %d", a.StatusCode)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		t.Error("the listener is still open")
	}
}

func TestBandwidth(t *testing.T) {
	c := serve(t, &Server{Bandwidth: 1 << 20})
	f := c.wait(c.kickOff("/$export?_type=Encounter")).Output[0].URL
	begun := time.Now()
	a := c.get(f)
	least := time.Duration(len(a.body)) * time.Second / (1 << 20) / 2
	if took := time.Since(begun); took < least || !bytes.Equal(a.body, c.get(f).body) {
		t.Errorf("%d bytes took %v", len(a.body), took)
	}
}

func TestOutcomeCodesAreKnown(t *testing.T) {
	for _, code := range []string{"value", "required", "structure", "not-supported", "not-found", "deleted", "expired", "throttled", "exception", "forbidden", "login", "security", "too-long", "informational"} {
		body, err := json.Marshal(outcome(issue{"warning", code, "x"}))
		if err != nil || !bytes.Contains(body, []byte(`"code":"`+code+`"`)) || !bytes.Contains(body, []byte(`"severity":"warning"`)) {
			t.Errorf("%s: %s", code, body)
		}
	}
}
