package main

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// The patterns of requests.
const (
	onToken    = "token"
	onSMART    = "smart-configuration"
	onMetadata = "metadata"
	onKickoff  = "kickoff"
	onStatus   = "status"
	onManifest = "manifest" // a complete status, edited
	onDelete   = "delete"
	onFile     = "file"
	onSearch   = "search"
	onDisk     = "disk"       // requests of any kind; the disk fills up
	killOn     = "event:"     // and an event of the run's log, or "visible"
	killAfter  = "after time" // since the process began
)

// patternOf says what a request is for.
func patternOf(r *http.Request) string {
	path := r.URL.Path
	rest := strings.TrimPrefix(path, "/fhir/")
	switch parts := strings.Split(rest, "/"); {
	case path == "/auth/token":
		return onToken
	case strings.HasSuffix(path, "smart-configuration"):
		return onSMART
	case rest == "metadata":
		return onMetadata
	case strings.HasSuffix(path, "$export"):
		return onKickoff
	case parts[0] == "_export" && len(parts) == 3:
		return onFile
	case parts[0] == "_export" && r.Method == http.MethodDelete:
		return onDelete
	case parts[0] == "_export":
		return onStatus
	}
	return onSearch
}

// strike is a fault that has struck, in a try of the run.
type strike struct {
	kind string
	try  int
}

// injector lets faults strike the requests to the sandbox.
type injector struct {
	site *site
	next http.Handler // the sandbox

	mu        sync.Mutex
	rules     []*rule
	struck    []strike
	downUntil time.Time
	manifests int              // how often a manifest went out: the links' generation
	expired   int              // links of generations up to it are refused
	bad       map[string]int64 // byte that stays corrupt, by file
	lie       *fault           // that stays in the manifest
	twice     *fault           // the same
	expires   bool             // links have a generation
	tickets   map[string]ticket
}

// rule is a fault with what is left of it.
type rule struct {
	fault
	skip, times int
}

// ticket is a file that is to be fetched from another origin.
type ticket struct {
	url           *url.URL
	authorization string
}

func newInjector(s *site, next http.Handler, faults []fault) *injector {
	in := &injector{site: s, next: next, bad: map[string]int64{}, tickets: map[string]ticket{}}
	in.arm(faults)
	return in
}

// arm replaces the faults.
func (in *injector) arm(faults []fault) {
	in.lift()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.rules, in.twice = nil, nil
	for _, f := range faults {
		in.expires = in.expires || f.Kind == "expired link"
		in.rules = append(in.rules, &rule{fault: f, skip: f.Skip, times: f.Times})
	}
}

// take returns the fault that strikes something that happens now, if one does.
func (in *injector) take(match func(fault) bool) *fault {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, r := range in.rules {
		if r.times == 0 || !match(r.fault) {
			continue
		}
		if r.skip > 0 {
			r.skip--
			continue
		}
		r.times--
		f := r.fault
		return &f
	}
	return nil
}

// giveBack undoes a take: the fault could not strike.
func (in *injector) giveBack(f *fault) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, r := range in.rules {
		if r.fault == *f {
			r.times++
			return
		}
	}
}

// note records that a fault has struck.
func (in *injector) note(kind string) {
	try := in.site.try()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.struck = append(in.struck, strike{kind, try})
}

// strikes returns what has struck so far.
func (in *injector) strikes() []strike {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]strike(nil), in.struck...)
}

// lift ends the faults that a job's policy is not to survive.
func (in *injector) lift() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.bad, in.lie = map[string]int64{}, nil
}

// ServeHTTP answers a request of flue.
func (in *injector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := patternOf(r)
	r = in.site.secrets.request(p, r)
	in.mu.Lock()
	down := time.Now().Before(in.downUntil)
	in.mu.Unlock()
	if down {
		reset(w)
		return
	}
	if p == onKickoff {
		in.site.kickoffs.arrived(r.Context(), in.site)
	}
	f := in.take(func(f fault) bool {
		return f.On == p || f.On == anyRequest || f.On == onDisk
	})
	if f == nil {
		in.serve(w, r, p)
		return
	}
	in.strike(w, r, p, f)
}

// strike lets a fault have its way with a request.
func (in *injector) strike(w http.ResponseWriter, r *http.Request, p string, f *fault) {
	switch f.Kind {
	case "kill -9":
		in.killDuring(w, r, p, f)
		return
	case "corrupt gzip", "truncated", "cut short", "stall", "trickle", "slow body", "content type":
		in.spoil(w, r, p, f)
		return
	case "corrupt line":
		if in.corrupt(r, f) {
			in.note(f.Kind)
		} else {
			in.giveBack(f)
		}
		in.serve(w, r, p)
		return
	case "disk full":
		if in.site.fillDisk(f.How) {
			in.note(f.Kind)
		}
		in.serve(w, r, p)
		return
	}
	in.note(f.Kind)
	switch f.Kind {
	case "401 revoked":
		in.site.auth.RevokeAll()
		in.serve(w, r, p)
	case "reset":
		reset(w)
	case "answer lost":
		in.serve(discard(), r, p)
		reset(w)
	case "HTML page":
		writePage(w, http.StatusOK)
	case "expired link":
		in.mu.Lock()
		in.expired = in.manifests
		in.mu.Unlock()
		answerStatus(w, f)
	case "redirect":
		in.redirect(w, r, f)
	case "clock skew":
		in.site.skew(f.Delay)
		in.serve(w, r, p)
	case "export lost":
		in.site.sandbox.ExpireExport("")
		in.serve(w, r, p)
	case "server down":
		in.mu.Lock()
		in.downUntil = time.Now().Add(f.Delay)
		in.mu.Unlock()
		reset(w)
	case "token endpoint down":
		if f.How == "reset" {
			reset(w)
			return
		}
		answerStatus(w, f)
	default:
		answerStatus(w, f)
	}
}

// serve answers a request as the sandbox does, but for what stays wrong.
func (in *injector) serve(w http.ResponseWriter, r *http.Request, p string) {
	switch p {
	case onStatus:
		in.serveStatus(w, r)
		return
	case onKickoff:
		in.site.kickoffs.serve(in.site, in.next, w, r)
		return
	case onToken:
		in.site.secrets.serveToken(in.next, w, r)
		return
	case onFile:
		in.mu.Lock()
		stale := r.URL.Query().Get(generation) != "" && atoi(r.URL.Query().Get(generation)) <= in.expired
		at, bad := in.bad[fileName(r)]
		in.mu.Unlock()
		if stale {
			answerStatus(w, &fault{Status: http.StatusGone})
			return
		}
		if bad {
			// Uncompressed, so that one byte is one line's.
			r.Header.Set("Accept-Encoding", "identity")
			in.next.ServeHTTP(&badLine{ResponseWriter: w, at: at}, r)
			return
		}
	}
	in.next.ServeHTTP(w, r)
}

func fileName(r *http.Request) string {
	return r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
}
