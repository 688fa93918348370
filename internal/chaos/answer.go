package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// answerStatus answers with a fault's status.
func answerStatus(w http.ResponseWriter, f *fault) {
	now := time.Now().UTC()
	switch f.RetryAfter {
	case "":
	case "date":
		w.Header().Set("Retry-After", now.Add(time.Second).Format(http.TimeFormat))
	case "past":
		w.Header().Set("Retry-After", now.Add(-time.Hour).Format(http.TimeFormat))
	case "epoch-ms":
		w.Header().Set("Retry-After", strconv.FormatInt(now.Add(time.Second).UnixMilli(), 10))
	default:
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	switch f.How {
	case "html":
		writePage(w, f.Status)
	case "outcome":
		w.Header().Set("Content-Type", "application/fhir+json")
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"transient","diagnostics":"a fault that was asked for"}]}`)
	default:
		w.WriteHeader(f.Status)
	}
}

// writePage answers with a web page.
func writePage(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "<!doctype html>\n<html><body>Please stand by.</body></html>\n")
}

// reset ends the connection with an RST.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the end is orderly, which also fails the client
	}
	_ = conn.Close()
}

// redirect sends the client to another origin for the file.
func (in *injector) redirect(w http.ResponseWriter, r *http.Request, f *fault) {
	in.mu.Lock()
	name := strconv.Itoa(len(in.tickets) + 1)
	in.tickets[name] = ticket{r.URL, r.Header.Get("Authorization")}
	in.mu.Unlock()
	http.Redirect(w, r, in.site.otherOrigin+"/away/"+name, f.Status)
}

// away is the other origin: it has the files, and is owed no token (F42).
func (in *injector) away(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		in.site.violate("F42: Authorization went along to another origin")
	}
	if r.Header.Get("Referer") != "" {
		in.site.violate("F44: Referer went along to another origin")
	}
	var name string
	_, _ = fmt.Sscanf(r.URL.Path, "/away/%s", &name)
	in.mu.Lock()
	t, ok := in.tickets[name]
	in.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	back := r.Clone(r.Context())
	back.URL, back.Host, back.RequestURI = t.url, in.site.host, t.url.RequestURI()
	back.Header.Set("Authorization", t.authorization)
	in.serve(w, back, onFile)
}

// discard returns a writer whose answer nobody gets.
func discard() http.ResponseWriter { return &discarded{header: http.Header{}} }

type discarded struct{ header http.Header }

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(p []byte) (int, error) { return len(p), nil }
func (d *discarded) WriteHeader(int)             {}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
