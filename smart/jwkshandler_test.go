package smart

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"testing"
	"time"
)

func TestP2JWKSHandler(t *testing.T) {
	set := Keys{ecKey()}
	var fail error
	h := &JWKSHandler{Keys: func() (JWKS, error) { return set.JWKS(), fail }, MaxAge: time.Hour}
	serve := func(method, ifNoneMatch string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/jwks.json", nil)
		r.Header.Set("If-None-Match", ifNoneMatch)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	w := serve("GET", "")
	var got JWKS
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Keys) != 1 || got.Keys[0] != ecKey().PublicJWK() {
		t.Errorf("got %s, %v", w.Body, err)
	}
	tag := w.Header().Get("ETag")
	if w.Code != 200 || w.Header().Get("Cache-Control") != "public, max-age=3600" || w.Header().Get("Content-Type") != "application/json" || len(tag) < 10 {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	for _, match := range []string{tag, `"x", W/` + tag, "*"} {
		if w := serve("GET", match); w.Code != 304 || w.Body.Len() != 0 || w.Header().Get("ETag") != tag {
			t.Errorf("If-None-Match %s: got %d with %d bytes", match, w.Code, w.Body.Len())
		}
	}
	if w := serve("HEAD", ""); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("ETag") != tag {
		t.Errorf("HEAD: got %d with %d bytes", w.Code, w.Body.Len())
	}
	set = append(set, rsaKey()) // rotated
	if w := serve("GET", tag); w.Code != 200 || w.Header().Get("ETag") == tag {
		t.Errorf("after a rotation: got %d, ETag %s", w.Code, w.Header().Get("ETag"))
	}
	if w := serve("POST", ""); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: got %d", w.Code)
	}
	fail = errors.New("disk on fire")
	if w := serve("GET", ""); w.Code != 503 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("no set: got %d, %s", w.Code, w.Header())
	}
}
