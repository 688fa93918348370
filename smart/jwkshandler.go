package smart

import (
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// JWKSHandler serves the public key set for registration by URL (P2), with
// Cache-Control and ETag. It answers GET and HEAD on whatever path it is mounted.
type JWKSHandler struct {
	// Keys returns the set to serve, called for every request: with a [KeyFile] a
	// rotated key appears by itself.
	//
	//	func() (smart.JWKS, error) {
	//		keys, err := file.Keys()
	//		return keys.Published(time.Now()).JWKS(), err
	//	}
	Keys func() (JWKS, error)
	// MaxAge is how long servers may keep the set; 0 means 5 min. A rotation waits
	// at least that long.
	MaxAge time.Duration
	// Log is told why the set could not be had; nil discards.
	Log *slog.Logger
}

// defaultMaxAge is that of a served key set.
const defaultMaxAge = 5 * time.Minute

// ServeHTTP implements [http.Handler].
func (h *JWKSHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET is served here", http.StatusMethodNotAllowed)
		return
	}
	set, err := h.Keys()
	var body []byte
	if err == nil {
		if set.Keys == nil {
			set.Keys = []JWK{}
		}
		body, err = json.Marshal(set)
	}
	if err != nil {
		if h.Log != nil {
			h.Log.ErrorContext(r.Context(), "key set unavailable", "error", err)
		}
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "the key set is not available", http.StatusServiceUnavailable)
		return
	}
	maxAge := h.MaxAge
	if maxAge <= 0 {
		maxAge = defaultMaxAge
	}
	sum := sha256.Sum256(body)
	tag := `"` + b64bytes(sum[:16]) + `"`
	head := w.Header()
	head.Set("Content-Type", "application/json") // what servers ask for
	head.Set("Cache-Control", "public, max-age="+strconv.FormatInt(int64(maxAge/time.Second), 10))
	head.Set("ETag", tag)
	head.Set("X-Content-Type-Options", "nosniff")
	if noneMatch(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	head.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client went away
	}
}

// noneMatch reports whether If-None-Match names the tag (weak comparison).
func noneMatch(header, tag string) bool {
	for one := range strings.SplitSeq(header, ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == tag || one == "*" {
			return true
		}
	}
	return false
}
