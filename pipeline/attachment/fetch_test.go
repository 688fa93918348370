package attachment

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/sinks"
)

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func binary(content string) string {
	return `{"data":"` + base64.StdEncoding.EncodeToString([]byte(content)) + `","contentType":"text/plain","resourceType":"Binary"}`
}

// P34, F45: what comes of one attachment, by what the resource declares and what
// the server sends.
func TestP34Fetch(t *testing.T) {
	const hello = "hello"
	hash := "qvTGHdzF6KLavt4PO0gs2a6pQ00=" // SHA-1 of hello
	for _, test := range []struct {
		name        string
		page        *page
		contentType string
		size        int64
		hash        string
		mime        []string
		max         int64
		url         string // Binary/1 when empty
		foreign     bool   // the server's own may not be asked for

		status sinks.AttachmentStatus
		code   string
		typ    string // of the row
		want   string // content
		asked  int
	}{
		{name: "raw", page: &page{body: hello, mediaType: "text/plain"}, contentType: "text/plain; charset=utf-8", size: 5, hash: hash, status: sinks.Fetched, typ: "text/plain; charset=utf-8", want: hello, asked: 1},
		{name: "type from the server", page: &page{body: hello, mediaType: "text/plain"}, mime: []string{"text/*"}, status: sinks.Fetched, typ: "text/plain", want: hello, asked: 1},
		{name: "empty", page: &page{mediaType: "text/plain"}, contentType: "text/plain", status: sinks.Fetched, typ: "text/plain", asked: 1},
		{name: "gzip", page: &page{body: zipped(hello), encoding: "gzip", mediaType: "text/plain"}, contentType: "text/plain", size: 5, status: sinks.Fetched, typ: "text/plain", want: hello, asked: 1},
		{name: "Binary", page: &page{body: binary(hello), mediaType: "application/fhir+json"}, contentType: "text/plain", size: 5, hash: hash, status: sinks.Fetched, typ: "text/plain", want: hello, asked: 1},
		{name: "Binary as JSON, type in it", page: &page{body: binary(hello), mediaType: "application/json"}, mime: []string{"text/*"}, status: sinks.Fetched, typ: "text/plain", want: hello, asked: 1},
		{name: "FHIR document", page: &page{body: `{"resourceType":"Bundle"}`, mediaType: "application/fhir+json"}, contentType: "application/fhir+json", status: sinks.Fetched, typ: "application/fhir+json", want: `{"resourceType":"Bundle"}`, asked: 1},
		{name: "JSON of no type", page: &page{body: `[1]`, mediaType: "application/json"}, status: sinks.Fetched, typ: "application/json", want: `[1]`, asked: 1},
		{name: "broken twice", page: &page{body: hello, cut: 2}, contentType: "text/plain", size: 5, status: sinks.Fetched, typ: "text/plain", want: hello, asked: 3},
		{name: "broken for good", page: &page{body: hello, cut: 9}, contentType: "text/plain", status: sinks.Failed, code: "network", asked: 3},
		{name: "gzip cut", page: &page{body: zipped(hello)[:20], encoding: "gzip"}, contentType: "text/plain", status: sinks.Failed, code: "network", asked: 3},
		{name: "no end (F33)", page: &page{body: hello, endless: true}, contentType: "text/plain", status: sinks.Failed, code: "unproved", asked: 1},
		{name: "no end, but a size", page: &page{body: hello, endless: true}, contentType: "text/plain", size: 5, status: sinks.Fetched, typ: "text/plain", want: hello, asked: 1},
		{name: "no end, but a hash", page: &page{body: hello, endless: true}, contentType: "text/plain", hash: hash, status: sinks.Fetched, typ: "text/plain", want: hello, asked: 1},
		{name: "no end, but a Binary", page: &page{body: binary(hello), mediaType: "application/fhir+json", endless: true}, contentType: "text/plain", status: sinks.Fetched, typ: "text/plain", want: hello, asked: 1},
		{name: "no end of JSON (F33)", page: &page{body: `{"a":1,"b":[1,2`, mediaType: "application/json", endless: true}, contentType: "application/json", status: sinks.Failed, code: "unproved", asked: 1},
		{name: "no end of a resource (F33)", page: &page{body: `{"resourceType":"Bundle","entry":[`, mediaType: "application/fhir+json", endless: true}, status: sinks.Failed, code: "unproved", asked: 1},
		{name: "no end, but gzip", page: &page{body: zipped(hello), encoding: "gzip", endless: true}, contentType: "text/plain", status: sinks.Fetched, typ: "text/plain", want: hello, asked: 1},
		{name: "unknown encoding", page: &page{body: hello, encoding: "br"}, contentType: "text/plain", status: sinks.Failed, code: "protocol", asked: 1},
		{name: "outcome", page: &page{body: `{"resourceType":"OperationOutcome"}`, mediaType: "application/fhir+json"}, contentType: "text/plain", status: sinks.Failed, code: "binary", asked: 1},
		{name: "Binary without data", page: &page{body: `{"resourceType":"Binary"}`, mediaType: "application/fhir+json"}, status: sinks.Failed, code: "binary", asked: 1},
		{name: "Binary in XML", page: &page{body: "<Binary/>", mediaType: "application/fhir+xml"}, status: sinks.Failed, code: "binary", asked: 1},
		{name: "FHIR document in XML", page: &page{body: "<Bundle/>", mediaType: "application/fhir+xml"}, contentType: "application/fhir+xml", status: sinks.Fetched, typ: "application/fhir+xml", want: "<Bundle/>", asked: 1},
		{name: "login page", page: &page{body: "<html>", mediaType: "text/html"}, contentType: "application/pdf", status: sinks.Failed, code: "page", asked: 1},
		{name: "web page", page: &page{body: "<html>", mediaType: "text/html"}, contentType: "text/html", status: sinks.Fetched, typ: "text/html", want: "<html>", asked: 1},
		{name: "another size", page: &page{body: hello}, contentType: "text/plain", size: 6, status: sinks.Failed, code: "size-mismatch", asked: 2},
		{name: "another hash", page: &page{body: "jello"}, contentType: "text/plain", size: 5, hash: hash, status: sinks.Failed, code: "hash-mismatch", asked: 2},
		{name: "another hash in a Binary", page: &page{body: binary("jello"), mediaType: "application/fhir+json"}, contentType: "text/plain", hash: hash, status: sinks.Failed, code: "hash-mismatch", asked: 2},
		{name: "type not wanted", page: &page{body: hello}, contentType: "image/png", mime: []string{"text/*"}, status: sinks.Filtered, code: "mime"},
		{name: "type not wanted, by the server", page: &page{body: hello, mediaType: "image/png"}, mime: []string{"text/*"}, status: sinks.Filtered, code: "mime", asked: 1},
		{name: "type not wanted, in the Binary", page: &page{body: binary(hello), mediaType: "application/fhir+json"}, mime: []string{"image/*"}, status: sinks.Filtered, code: "mime", asked: 1},
		{name: "declared too large", page: &page{body: hello}, size: 11, max: 10, status: sinks.Filtered, code: "size"},
		{name: "too large", page: &page{body: strings.Repeat("x", 11), mediaType: "a/b"}, max: 10, status: sinks.Filtered, code: "size", asked: 1},
		{name: "just not too large", page: &page{body: strings.Repeat("x", 10), mediaType: "a/b"}, max: 10, status: sinks.Fetched, typ: "a/b", want: strings.Repeat("x", 10), asked: 1},
		{name: "too large in a Binary", page: &page{body: binary(strings.Repeat("x", 11)), mediaType: "application/fhir+json"}, max: 10, status: sinks.Filtered, code: "size", asked: 1},
		{name: "gzip bomb", page: &page{body: zipped(strings.Repeat("x", 1<<20)), encoding: "gzip", mediaType: "a/b"}, max: 1000, status: sinks.Filtered, code: "size", asked: 1},
		{name: "missing", status: sinks.Failed, code: "not-found", asked: 1},
		{name: "no URL to follow", url: "#contained", status: sinks.Failed, code: "url"},
		{name: "scope not granted", page: &page{body: hello}, foreign: true, status: sinks.Failed, code: "not-granted"},
		{name: "elsewhere without the scope", page: &page{body: hello, mediaType: "a/b"}, url: "https://x.example.org/a", foreign: true, status: sinks.Fetched, typ: "a/b", want: hello, asked: 1},
	} {
		url := test.url
		if url == "" {
			url = "Binary/1"
		}
		server := &fakeServer{pages: map[string]*page{}}
		if test.page != nil {
			server.pages[url] = test.page
		}
		p := newPlace(t)
		f := p.fetcher(server)
		f.MIME, f.Own = test.mime, !test.foreign
		if test.max > 0 {
			f.MaxSize = test.max
		}
		a := Found{Row: sinks.Attachment{ContentType: test.contentType, Size: test.size}, URL: url, Hash: test.hash}
		res, err := f.fetch(t.Context(), a)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		row := res.row
		if row.Status != test.status || row.Code != test.code || server.requests(url) != test.asked {
			t.Errorf("%s: %s %q after %d requests, want %s %q after %d", test.name, row.Status, row.Code, server.requests(url), test.status, test.code, test.asked)
			continue
		}
		if test.status != sinks.Fetched {
			if len(p.staged) > 0 || row.SHA256 != "" || row.Size != test.size {
				t.Errorf("%s: a content is staged, or the row tells of one: %+v", test.name, row)
			}
			continue
		}
		if row.ContentType != test.typ || row.Size != int64(len(test.want)) || row.SHA256 != sumOf(test.want) || p.staged["attachments/"+row.SHA256] != test.want {
			t.Errorf("%s: %+v", test.name, row)
		}
	}
}

// A content that was spoilt on its way is asked for again, once.
func TestSpoiltContent(t *testing.T) {
	server := &fakeServer{pages: map[string]*page{"Binary/1": {body: "jello"}}}
	p := newPlace(t)
	f := p.fetcher(server)
	f.Wait = func(context.Context, int) error {
		server.pages["Binary/1"].body = "hello"
		return nil
	}
	res, err := f.fetch(t.Context(), Found{Row: sinks.Attachment{ContentType: "text/plain"}, URL: "Binary/1", Hash: "qvTGHdzF6KLavt4PO0gs2a6pQ00="})
	if err != nil || res.row.SHA256 != sumOf("hello") || server.requests("Binary/1") != 2 || len(p.staged) != 1 {
		t.Errorf("%+v, %v after %d requests, %v", res.row, err, server.requests("Binary/1"), p.staged)
	}
}

// A disk that is full stops the run; it is no fault of the attachment.
func TestFullDiskIsNoFaultOfTheAttachment(t *testing.T) {
	server := &fakeServer{}
	list := attachments(server, 1)
	p := newPlace(t)
	p.full = true
	if _, err := p.fetcher(server).fetch(t.Context(), list[0]); !errors.Is(err, errDiskFull) {
		t.Errorf("%v", err)
	}
}

// Nothing is left of what is on its way, whatever came of it.
func TestScratchIsRemoved(t *testing.T) {
	server := &fakeServer{pages: map[string]*page{"Binary/1": {body: binary("x"), mediaType: "application/fhir+json"}, "Binary/2": {body: "x", cut: 9}}}
	p := newPlace(t)
	f := p.fetcher(server)
	for _, url := range []string{"Binary/1", "Binary/2", "Binary/3"} {
		if _, err := f.fetch(t.Context(), Found{URL: url}); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(p.dir, "r")); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestCancelledFetch(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	server := &fakeServer{pages: map[string]*page{"Binary/1": {body: "x", cut: 9}}}
	if _, err := newPlace(t).fetcher(server).fetch(ctx, Found{URL: "Binary/1"}); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}
