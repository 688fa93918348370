package export

import (
	"net/http"
	"testing"
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
