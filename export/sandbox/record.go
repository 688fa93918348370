package sandbox

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"
)

// Request is what is recorded of one request. It holds no query, no token and
// no id of a resource.
type Request struct {
	Time    time.Time `json:"time"`
	Method  string    `json:"method"`
	Pattern string    `json:"path"`
	Type    string    `json:"type,omitempty"`   // of a search, read or file
	Export  string    `json:"export,omitempty"` // id of the export
	File    string    `json:"file,omitempty"`   // name of the export's file
	Status  int       `json:"status"`           // 0: the answer was not sent
	Bytes   int64     `json:"bytes"`            // of the body
	Range   bool      `json:"range,omitempty"`  // a part of the body was asked for
	Fault   string    `json:"fault,omitempty"`  // kind of the injected fault
}

// keptRequests is how many requests are kept in memory, the latest.
const keptRequests = 100_000

// requestLog keeps the latest requests and counts all.
type requestLog struct {
	mu     sync.Mutex
	out    io.Writer
	kept   []Request // a ring once it is full
	next   int
	counts map[string]int64
}

func (l *requestLog) add(r Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = map[string]int64{}
	}
	l.counts[r.Pattern]++
	if len(l.kept) < keptRequests {
		l.kept = append(l.kept, r)
	} else {
		l.kept[l.next] = r
		l.next = (l.next + 1) % keptRequests
	}
	if l.out == nil {
		return
	}
	if line, err := json.Marshal(r); err == nil {
		_, _ = l.out.Write(append(line, '\n')) // a log that cannot be written stops no request
	}
}

// Requests returns the latest requests, oldest first.
func (s *Server) Requests() []Request {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	out := make([]Request, 0, len(s.record.kept))
	out = append(out, s.record.kept[s.record.next:]...)
	return append(out, s.record.kept[:s.record.next]...)
}

// Counts returns how many requests there were, by pattern.
func (s *Server) Counts() map[string]int64 {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	return maps.Clone(s.record.counts)
}

func (s *Server) entry(begun time.Time, r *http.Request, rt *route, rec *recorder) Request {
	out := Request{Time: begun.UTC(), Method: r.Method, Pattern: rt.pattern, Type: rt.typ, Status: rec.status, Bytes: rec.bytes, Fault: rec.fault, Range: r.Header.Get("Range") != ""}
	switch rt.pattern {
	case PatternStatus, PatternDelete, PatternFile:
		out.Export, out.File = rt.id, rt.file
	case PatternKickOff:
		out.Export = rt.export
	}
	return out
}

// recorder notes what is answered. It passes ReadFrom on, so that files leave
// by sendfile.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	fault  string
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := io.Copy(r.ResponseWriter, src)
	r.bytes += n
	return n, err
}
