package export

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestP34AttachmentsAndTheToken(t *testing.T) {
	for _, tc := range []struct {
		ref       string
		token     bool
		url       string
		withToken bool
	}{
		{"Binary/x", false, base + "/Binary/x", true},
		{"Binary/x?a=b", true, base + "/Binary/x?a=b", true},
		{"https://store.example.net/a?sig=1", false, "https://store.example.net/a?sig=1", false},
		{"https://store.example.net/a", true, "https://store.example.net/a", true}, // its transport decides by the origin
		{base + "/Binary/x", false, base + "/Binary/x", true},                      // the server's own, by its full name
		{"https://EHR.example.org:443/fhir/Binary/x", false, "https://EHR.example.org:443/fhir/Binary/x", true},
		{"https://ehr.example.org/other/x", false, "https://ehr.example.org/other/x", false},
		{base + "x/Binary/x", false, base + "x/Binary/x", false},
		{base + "/../other/x", false, "https://ehr.example.org/other/x", false},
		{"http://ehr.example.org/fhir/Binary/x", false, base + "/Binary/x", true}, // over https (F32)
	} {
		body := "<html>is content here"
		with, without := answers(reply(200, body, "Content-Type", "text/html")), answers(reply(200, body, "Content-Type", "text/html"))
		c := clientOf(with)
		c.Bare = &http.Client{Transport: without}
		b, err := c.OpenAttachment(t.Context(), tc.ref, tc.token, "text/html")
		if err != nil {
			t.Errorf("%s: %v", tc.ref, err)
			continue
		}
		f := without
		if tc.withToken {
			f = with
		}
		if read(t, b) != body || b.MediaType != "text/html" || f.count() != 1 || with.count()+without.count() != 1 {
			t.Errorf("%s: %+v, %d with, %d without", tc.ref, b, with.count(), without.count())
			continue
		}
		r := f.seen[0]
		if r.URL.String() != tc.url || r.Header.Get("Accept") != "text/html, */*;q=0.1" || r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("%s: %s %v", tc.ref, r.URL, r.Header)
		}
	}
	b, err := clientOf(answers(reply(200, zipped("x")))).OpenAttachment(t.Context(), "Binary/x", true, "application/gzip")
	if err != nil || b.Encoding != "" || read(t, b) != zipped("x") {
		t.Errorf("content that is gzip: %v %+v", err, b)
	}
	for _, ref := range []string{"", "file:///etc/passwd", "http://elsewhere.example.org/a", "data:text/plain,x", "https://169.254.169.254/"} {
		f := answers(reply(200, ""))
		if _, err := clientOf(f).OpenAttachment(t.Context(), ref, true, ""); class(t, err) != "server" || f.count() != 0 {
			t.Errorf("%q: %v", ref, err)
		}
	}
}

// F45: why an attachment could not be opened is a code, and whether it may pass; a
// 404 is not asked for again.
func TestF45AttachmentCodes(t *testing.T) {
	for _, tc := range []struct {
		answer  *answer
		token   bool
		code    string
		passing bool
		asked   int
	}{
		{reply(401, ""), true, "unauthorized", true, 1},
		{reply(403, ""), true, "forbidden", false, 1},
		{reply(404, ""), true, "not-found", false, 1},
		{reply(410, ""), true, "gone", false, 1},
		{reply(400, ""), false, "refused", false, 1},
		{reply(406, ""), true, "refused", false, 1},
		{reply(429, "", "Retry-After", "0"), true, "throttled", true, 2},
		{reply(503, ""), true, "server-error", true, 2},
		{reply(302, "", "Location", "http://plain.example.org/?sig=s3cr3t"), true, "url", false, 1},
		{failure(io.ErrUnexpectedEOF), true, "network", true, 2},
		{reply(200, "x", "Content-Encoding", "gzip"), true, "", false, 1},
	} {
		f := answers(tc.answer)
		c := clientOf(f)
		c.Retries, c.Limits = 2, PollLimits{Min: time.Millisecond, Max: time.Millisecond}
		b, err := c.OpenAttachment(t.Context(), "Binary/x?sig=s3cr3t", tc.token, "text/plain")
		if tc.code == "" {
			if err != nil || b.Encoding != "gzip" {
				t.Errorf("%v", err)
			}
			continue
		}
		var ae *AttachmentError
		if !errors.As(err, &ae) || ae.Code != tc.code || ae.Passing != tc.passing || f.count() != tc.asked || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v after %d requests, %+v", tc.code, err, f.count(), ae)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var ae *AttachmentError
	if _, err := clientOf(answers(reply(200, "x"))).OpenAttachment(ctx, "Binary/x", true, ""); errors.As(err, &ae) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestAttachmentOrigin(t *testing.T) {
	c := clientOf(answers(reply(200, "")))
	for ref, want := range map[string]struct {
		origin string
		own    bool
	}{
		"Binary/x": {"https://ehr.example.org", true}, base + "/Binary/x": {"https://ehr.example.org", true},
		"https://Store.example.net:8443/a?sig=1": {"https://store.example.net:8443", false},
		"#contained":                             {"", false},
		"urn:uuid:1":                             {"", false}, "data:text/plain,x": {"", false}, "": {"", false},
	} {
		if origin, own := c.AttachmentOrigin(ref); origin != want.origin || own != want.own {
			t.Errorf("%q: %q, %v", ref, origin, own)
		}
	}
}
