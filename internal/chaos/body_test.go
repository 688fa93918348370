package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// ask lets a fault strike the download of a body of 1,000 bytes.
func ask(t *testing.T, f fault, ctx context.Context, header ...string) (*http.Response, []byte, error) {
	t.Helper()
	body := bytes.Repeat([]byte("0123456789"), 100)
	s := &site{secrets: newSecrets()}
	f.On, f.Times = onFile, 1
	s.injector = newInjector(s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		for part := range 10 {
			if _, err := w.Write(body[part*100 : part*100+100]); err != nil {
				return
			}
		}
	}), []fault{f})
	l, err := listen(s.injector, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.stop(); err != nil {
			t.Error(err)
		}
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.addr+"/fhir/_export/1/Patient.000001.ndjson", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if len(s.injector.strikes()) != 1 && f.Kind != "corrupt gzip" {
		t.Errorf("%s: noted %d times, want once", f.Kind, len(s.injector.strikes()))
	}
	return resp, got, err
}

func TestSpoiledBodies(t *testing.T) {
	whole := bytes.Repeat([]byte("0123456789"), 100)
	for _, at := range []float64{0, 0.55, 0.9999} {
		n := min(int(at*1000), 999)
		if _, got, err := ask(t, fault{Kind: "truncated", At: at}, t.Context()); err == nil || !bytes.Equal(got, whole[:n]) {
			t.Errorf("truncated at %d: %d bytes, %v", n, len(got), err)
		}
		if resp, got, err := ask(t, fault{Kind: "cut short", At: at}, t.Context()); err != nil || resp.ContentLength != -1 || !bytes.Equal(got, whole[:n]) {
			t.Errorf("cut short at %d: %d bytes of %d, %v", n, len(got), resp.ContentLength, err)
		}
		if _, got, err := ask(t, fault{Kind: "corrupt gzip", At: at}, t.Context(), "Content-Encoding", "gzip"); err != nil || len(got) != 1000 || wrong(got, whole) != 1 {
			t.Errorf("corrupt at %d: %d bytes, %d wrong, %v", n, len(got), wrong(got, whole), err)
		}
	}
	if _, got, err := ask(t, fault{Kind: "corrupt gzip", At: 0.5}, t.Context()); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("a body that is not gzip was spoiled: %v", err)
	}
	if resp, got, err := ask(t, fault{Kind: "content type", How: "text/html"}, t.Context()); err != nil || resp.Header.Get("Content-Type") != "text/html" || !bytes.Equal(got, whole) {
		t.Errorf("content type: %v", err)
	}
	if _, got, err := ask(t, fault{Kind: "slow body", Delay: 20 * time.Millisecond}, t.Context()); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("slow body: %d bytes, %v", len(got), err)
	}
	for _, kind := range []string{"stall", "trickle"} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if _, got, err := ask(t, fault{Kind: kind, At: 0.5}, ctx); err == nil || len(got) < 500 || len(got) > 600 {
			t.Errorf("%s: %d bytes, %v; want it to stand still after 500", kind, len(got), err)
		}
		cancel()
	}
	if _, got, err := ask(t, fault{Kind: "HTML page"}, t.Context()); err != nil || !bytes.HasPrefix(got, []byte("<!doctype")) {
		t.Errorf("page: %q, %v", got, err)
	}
	if resp, _, err := ask(t, fault{Kind: "503", Status: 503, RetryAfter: "1"}, t.Context()); err != nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("503: %v", err)
	}
	if _, _, err := ask(t, fault{Kind: "reset"}, t.Context()); err == nil {
		t.Error("reset: it was answered")
	}
}

// wrong counts the bytes that differ.
func wrong(a, b []byte) (n int) {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}
