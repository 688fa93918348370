package export

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const ndjson = `{"resourceType":"Patient","id":"1"}` + "\n" + `{"resourceType":"Patient","id":"2"}` + "\n"

func zipped(s string) string {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, _ = io.WriteString(zw, s)
	_ = zw.Close()
	return b.String()
}

func file(u string) File { return File{Type: "Patient", URL: u, Count: -1, Size: -1, Token: true} }

func read(t *testing.T, b *Body) string {
	t.Helper()
	all, err := io.ReadAll(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	return string(all)
}

func TestP32TokenOnlyWhereItIsNeeded(t *testing.T) {
	for _, token := range []bool{true, false} {
		with, without := answers(reply(200, ndjson)), answers(reply(200, ndjson))
		c := clientOf(with)
		c.Bare = &http.Client{Transport: without}
		f := file(base + "/f")
		f.Token = token
		b, err := c.Open(t.Context(), f, 0, "")
		if err != nil {
			t.Fatal(err)
		}
		_ = read(t, b)
		if got := with.count() == 1 && without.count() == 0; got != token {
			t.Errorf("requiresAccessToken %v: %d with, %d without", token, with.count(), without.count())
		}
	}
}

func TestP33Request(t *testing.T) {
	f := answers(reply(200, ndjson, "Etag", `"v1"`))
	b, err := clientOf(f).Open(t.Context(), file(base+"/f"), 0, "")
	if err != nil {
		t.Fatal(err)
	}
	h := f.seen[0].Header
	if h.Get("Accept") != "application/fhir+ndjson" || h.Get("Accept-Encoding") != "gzip" || h.Get("Range") != "" || h.Get("If-Range") != "" {
		t.Errorf("headers %v", h)
	}
	if got := read(t, b); got != ndjson || b.Encoding != "" || b.Length != int64(len(ndjson)) || b.Validator != `//`+strconv.Itoa(len(ndjson))+`;"v1"` || b.Offset != 0 {
		t.Errorf("%q, %+v", got, b)
	}
}

func TestF36EncodingByFirstBytes(t *testing.T) {
	for _, tc := range []struct {
		name, body, header, want string
	}{
		{"gzip", zipped(ndjson), "gzip", "gzip"},
		{"x-gzip", zipped(ndjson), "x-gzip", "gzip"},
		{"gzip unasked", zipped(ndjson), "", "gzip"},
		{"gzip in name only", ndjson, "gzip", ""},
		{"plain", ndjson, "identity", ""},
		{"empty", "", "gzip", ""},
		{"one byte", "\x1f", "", ""},
		{"doubled", zipped(zipped(ndjson)), "gzip", "gzip"},
	} {
		f := answers(reply(200, tc.body, "Content-Encoding", tc.header))
		b, err := clientOf(f).Open(t.Context(), file(base+"/f"), 0, "")
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if got := read(t, b); got != tc.body || b.Encoding != tc.want {
			t.Errorf("%s: encoding %q, want %q; %d bytes, want %d", tc.name, b.Encoding, tc.want, len(got), len(tc.body))
		}
	}
	_, err := clientOf(answers(reply(200, ndjson, "Content-Encoding", "br"))).Open(t.Context(), file(base+"/f"), 0, "")
	if class(t, err) != "server" {
		t.Errorf("br: %v", err)
	}
}

func TestF35HTMLIsNoData(t *testing.T) {
	for name, a := range map[string]*answer{
		"login page":    reply(200, "\n <!DOCTYPE html><title>Smith</title>", "Content-Type", "application/fhir+ndjson"),
		"BOM":           reply(200, "\ufeff<html>"),
		"error as XML":  reply(200, "<Error><Code>AccessDenied"),
		"gzipped":       reply(200, zipped("<html>"), "Content-Encoding", "gzip"),
		"one tag sized": reply(200, "<a"),
	} {
		synctest.Test(t, func(t *testing.T) {
			f := answers(a)
			_, err := clientOf(f).Open(t.Context(), file(base+"/f"), 0, "")
			var hint interface{ Hint() string }
			if err == nil || strings.Contains(err.Error(), "Smith") || class(t, err) != "" || !errors.As(err, &hint) || hint.Hint() == "" {
				t.Errorf("%s: %v of class %q; want one that may pass, with a hint", name, err, class(t, err))
			}
			if f.count() != 5 {
				t.Errorf("%s: asked %d times, want 5: it may be a maintenance page", name, f.count())
			}
			b, err := clientOf(answers(a, a, reply(200, ndjson))).Open(t.Context(), file(base+"/f"), 0, "")
			if err != nil || read(t, b) != ndjson {
				t.Errorf("%s, and then the file: %v", name, err)
			}
		})
	}
	b, err := clientOf(answers(reply(200, ndjson, "Content-Type", "text/html"))).Open(t.Context(), file(base+"/f"), 0, "")
	if err != nil || read(t, b) != ndjson {
		t.Errorf("a wrong Content-Type over right data: %v", err)
	}
}

func TestF34Validators(t *testing.T) {
	now := time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	old := httpDate(now.Add(-time.Hour))
	for _, tc := range []struct {
		name   string
		header []string
		want   string
	}{
		{"strong", []string{"Etag", `"a"`}, `//9;"a"`},
		{"strong, gzip", []string{"Etag", `"a"`, "Content-Encoding", "gzip"}, `gzip//9;"a"`},
		{"weak", []string{"Etag", `W/"a"`, "Last-Modified", old, "Date", httpDate(now)}, ""},
		{"unquoted", []string{"Etag", `a`}, ""},
		{"date", []string{"Last-Modified", old, "Date", httpDate(now)}, "//9;" + old},
		{"date too young", []string{"Last-Modified", httpDate(now), "Date", httpDate(now)}, ""},
		{"date alone", []string{"Last-Modified", old}, ""},
		{"no ranges", []string{"Etag", `"a"`, "Accept-Ranges", "none"}, ""},
		{"none", nil, ""},
	} {
		if got := validatorOf(reply(200, "", tc.header...).header, "", 9).String(); got != tc.want || parseValidator(got).String() != got {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	zip := reply(200, "", "Etag", `"a"`, "Content-Encoding", "gzip").header
	if got := validatorOf(zip, "gzip", -1).String(); got != "" {
		t.Errorf("compressed as it is sent: %q", got)
	}
	if got := validatorOf(reply(200, "", "Etag", `"a"`).header, "", -1).String(); got != `"a"` || parseValidator(got).String() != got {
		t.Errorf("unknown length: %q", got)
	}
}

// TestF34ResumeEveryByte cuts a file at each byte and goes on, against a server
// that knows ranges.
func TestF34ResumeEveryByte(t *testing.T) {
	etag, modified := `"v1"`, time.Now().Add(-time.Hour)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := ndjson
		if strings.Contains(r.URL.Path, "gzip") {
			body = zipped(ndjson)
			if !strings.Contains(r.URL.Path, "unasked") {
				w.Header().Set("Content-Encoding", "gzip")
			}
		}
		if !strings.Contains(r.URL.Path, "dated") {
			w.Header().Set("Etag", etag)
		}
		http.ServeContent(w, r, "f.ndjson", modified, strings.NewReader(body))
	}))
	defer s.Close()
	c := clientAt(s.URL, &http.Transport{})
	for path, whole := range map[string]string{"/f": ndjson, "/gzip": zipped(ndjson), "/gzip-unasked": zipped(ndjson), "/gzip-dated": zipped(ndjson), "/dated": ndjson} {
		first, err := c.Open(t.Context(), file(s.URL+path), 0, "")
		if err != nil {
			t.Fatal(err)
		}
		_ = read(t, first)
		if first.Validator == "" {
			t.Fatalf("%s: no validator", path)
		}
		for n := int64(1); n <= int64(len(whole)); n++ {
			b, err := c.Open(t.Context(), file(s.URL+path), n, first.Validator)
			if err != nil {
				t.Fatal(err)
			}
			if got := whole[:b.Offset] + read(t, b); got != whole || b.Offset != n || b.Length != int64(len(whole)) ||
				b.Validator != first.Validator || b.Encoding != first.Encoding {
				t.Fatalf("%s from %d: %+v", path, n, b)
			}
		}
	}
	// The file changed: from the start, whatever was asked for.
	etag = `"v2"`
	b, err := c.Open(t.Context(), file(s.URL+"/f"), 5, `"v1"`)
	if err != nil || b.Offset != 0 || read(t, b) != ndjson || !strings.HasSuffix(b.Validator, `;"v2"`) {
		t.Errorf("changed file: %v %+v", err, b)
	}
	// Without a validator nothing is resumed.
	if b, err = c.Open(t.Context(), file(s.URL+"/f"), 5, ""); err != nil || b.Offset != 0 || read(t, b) != ndjson {
		t.Errorf("no validator: %v %+v", err, b)
	}
}

// TestF34BadRangesStartOver has servers answer a range request wrongly: taking
// their bytes would mix two places or two files.
func TestF34BadRangesStartOver(t *testing.T) {
	size := strconv.Itoa(len(ndjson))
	tail := ndjson[5:]
	last := strconv.Itoa(len(ndjson) - 1)
	for name, a := range map[string]*answer{
		"206 of another place":    reply(206, ndjson[4:len(ndjson)-1], "Content-Range", "bytes 4-"+strconv.Itoa(len(ndjson)-2)+"/"+size),
		"206 without a range":     reply(206, tail),
		"206 of nonsense":         reply(206, tail, "Content-Range", "bytes 5-x/y"),
		"206 ends behind the end": reply(206, tail, "Content-Range", "bytes 5-99999/"+size),
		"206 of other length":     reply(206, tail+"x", "Content-Range", "bytes 5-"+last+"/"+size),
		"206 of another version":  reply(206, tail, "Content-Range", "bytes 5-"+last+"/"+size, "Etag", `"v2"`),
		"206 in another coding":   reply(206, tail, "Content-Range", "bytes 5-"+last+"/"+size, "Content-Encoding", "gzip"),
		"206 of another total":    reply(206, tail, "Content-Range", "bytes 5-"+last+"/99999"),
		"206 multipart":           reply(206, "--b", "Content-Type", "multipart/byteranges; boundary=b"),
		"416 of another size":     reply(416, "", "Content-Range", "bytes */3"),
		"416 without a size":      reply(416, ""),
		"416 of another version":  reply(416, "", "Content-Range", "bytes */5", "Etag", `"v2"`),
	} {
		f := answers(a, reply(200, ndjson))
		b, err := clientOf(f).Open(t.Context(), file(base+"/f"), 5, `//`+size+`;"v1"`)
		if err != nil || b.Offset != 0 || read(t, b) != ndjson || f.count() != 2 {
			t.Errorf("%s: %v %+v after %d requests", name, err, b, f.count())
			continue
		}
		if f.seen[0].Header.Get("Range") != "bytes=5-" || f.seen[0].Header.Get("If-Range") != `"v1"` || f.seen[1].Header.Get("Range") != "" {
			t.Errorf("%s: headers %v, %v", name, f.seen[0].Header, f.seen[1].Header)
		}
	}
	// 416 at the very end: everything was there before the connection broke.
	b, err := clientOf(answers(reply(416, "", "Content-Range", "bytes */5"))).Open(t.Context(), file(base+"/f"), 5, `gzip/gzip/5;"v1"`)
	if err != nil || b.Offset != 5 || b.Length != 5 || b.Encoding != "gzip" || read(t, b) != "" {
		t.Errorf("at the end: %v %+v", err, b)
	}
	// A total that the server does not know.
	b, err = clientOf(answers(reply(206, tail, "Content-Range", "bytes 5-"+last+"/*"))).Open(t.Context(), file(base+"/f"), 5, `"v1"`)
	if err != nil || b.Offset != 5 || b.Length != -1 || read(t, b) != tail {
		t.Errorf("unknown total: %v %+v", err, b)
	}
}

func TestP35F8F43Expired(t *testing.T) {
	for _, tc := range []struct {
		status int
		token  bool
		sent   int
		class  string // "-" means no ExpiredError
	}{
		{403, true, 1, "auth"},
		{403, false, 1, "server"},
		{401, true, 1, "auth"},
		{404, true, 3, "server"}, // F43: just after completion
		{410, true, 1, "server"},
		{400, false, 1, "server"},
		{400, true, 1, "-"},
		{500, true, 5, "-"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := answers(reply(tc.status, ""))
			x := file(base + "/f?sig=secret")
			x.Token = tc.token
			_, err := clientOf(f).Open(t.Context(), x, 0, "")
			var expired *ExpiredError
			if errors.As(err, &expired) != (tc.class != "-") || f.count() != tc.sent || tc.class != "-" && class(t, err) != tc.class {
				t.Errorf("%d, token %v: %v after %d requests, class %q", tc.status, tc.token, err, f.count(), class(t, err))
			}
			if strings.Contains(err.Error(), "secret") || tc.class == "auth" && expired.Hint() == "" {
				t.Errorf("F44: %v", err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		f := answers(reply(404, ""), reply(404, ""), reply(200, ndjson))
		b, err := clientOf(f).Open(t.Context(), file(base+"/f"), 0, "")
		if err != nil || read(t, b) != ndjson {
			t.Errorf("a file that comes late: %v", err)
		}
	})
}

// A token that is refused while a file is resumed: the same bytes of the same file are asked for
// again with another one, and no more than that.
func TestF8ResumedWithAnotherToken(t *testing.T) {
	tail := ndjson[5:]
	size := strconv.Itoa(len(ndjson))
	f := answers(reply(401, ""), reply(206, tail, "Content-Range", "bytes 5-"+strconv.Itoa(len(ndjson)-1)+"/"+size, "Etag", `"v1"`))
	x := file(base + "/f")
	x.Token = true
	b, err := clientOf(renewing{base: f}).Open(t.Context(), x, 5, `"v1"`)
	if err != nil || b.Offset != 5 || read(t, b) != tail {
		t.Fatalf("%v, %+v", err, b)
	}
	if f.count() != 2 {
		t.Fatalf("%d requests, want 2", f.count())
	}
	for i, r := range f.seen {
		if r.URL.String() != base+"/f" || r.Header.Get("Range") != "bytes=5-" || r.Header.Get("If-Range") != `"v1"` {
			t.Errorf("request %d: %s %v", i, r.URL, r.Header)
		}
	}
	// Refused again, it is a fault of the token and not of the file.
	if _, err := clientOf(renewing{base: answers(reply(401, ""))}).Open(t.Context(), x, 5, `"v1"`); class(t, err) != "auth" {
		t.Errorf("refused twice: %v", err)
	}
}

func TestOpenIsRepeatedWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := answers(reply(503, "", "Retry-After", "3"), failure(io.ErrUnexpectedEOF), reply(429, ""), reply(200, ndjson))
		var reasons []string
		c := clientOf(f)
		c.OnRetry = func(r string) { reasons = append(reasons, r) }
		start := time.Now()
		b, err := c.Open(t.Context(), file(base+"/f"), 0, "")
		if err != nil || read(t, b) != ndjson || time.Since(start) < 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if got := strings.Join(reasons, ", "); got != "open file: 503, open file: connection, open file: 429" {
			t.Errorf("reasons %q", got)
		}
	})
}

// TestF42RedirectToAnotherOrigin sends a download on to a file store, as vendors
// do, with a transport that adds the token by the URL.
func TestF42RedirectToAnotherOrigin(t *testing.T) {
	var got http.Header
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		_, _ = io.WriteString(w, ndjson)
	}))
	defer store.Close()
	ehr := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t" {
			w.WriteHeader(401)
			return
		}
		http.Redirect(w, r, store.URL+"/x", http.StatusTemporaryRedirect)
	}))
	defer ehr.Close()
	c := clientAt(ehr.URL, tokenFor{ehr.URL, &http.Transport{}})
	b, err := c.Open(t.Context(), file(ehr.URL+"/f?patient=secret"), 0, "")
	if err != nil || read(t, b) != ndjson {
		t.Fatal(err)
	}
	if got.Get("Authorization") != "" || got.Get("Referer") != "" || got.Get("Accept-Encoding") != "gzip" {
		t.Errorf("the store got %v", got)
	}
}

type tokenFor struct {
	origin string
	rt     http.RoundTripper
}

func (s tokenFor) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.String(), s.origin) {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer t")
	}
	return s.rt.RoundTrip(r)
}

// TestF33Truncation: a body that is shorter than announced fails, and is not
// taken for the end.
func TestF33Truncation(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(ndjson)+10))
		_, _ = io.WriteString(w, ndjson)
	}))
	defer s.Close()
	b, err := clientAt(s.URL, &http.Transport{}).Open(t.Context(), file(s.URL+"/f"), 0, "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(b)
	if string(got) != ndjson || !errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "http:") {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	_ = b.Close()
}

func TestOpenCancelled(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, ndjson)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	b, err := clientAt(s.URL, &http.Transport{}).Open(ctx, file(s.URL+"/f"), 0, "")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(b); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
	_ = b.Close()
	if _, err := clientAt(s.URL, &http.Transport{}).Open(ctx, file(s.URL+"/f"), 0, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("open after cancel: %v", err)
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-1/2", "bytes 5-4/*", "bytes */7", "bytes 1-2", " bytes 1-2/3 "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		start, end, total, ok := contentRange(s)
		if ok && (start < 0 || end < start || total < -1) {
			t.Errorf("%q: %d-%d/%d", s, start, end, total)
		}
	})
}
