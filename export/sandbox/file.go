package sandbox

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// file answers a request for an export's file.
func (s *Server) file(w http.ResponseWriter, r *http.Request, rt *route) {
	if !allowed(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	j, f, ok := s.findFile(rt)
	if s.OpenFiles {
		// A store of signed links knows nothing of tokens, and refuses to guess
		// which of two credentials is meant.
		q := r.URL.Query()
		if r.Header.Get("Authorization") != "" {
			fail(w, http.StatusBadRequest, "security", "only one way to authorize a request is allowed")
			return
		}
		if !hmac.Equal([]byte(q.Get("signature")), []byte(s.sign(rt.id, rt.file, q.Get("expires")))) {
			fail(w, http.StatusForbidden, "forbidden", "the link's signature is wrong")
			return
		}
	}
	if !ok {
		fail(w, http.StatusNotFound, "not-found", "there is no such file")
		return
	}
	if resources := rt.typ == f.typ; !s.OpenFiles && resources && !rt.mayRead(f.typ) {
		forbid(w, f.typ)
		return
	}
	if s.FileExpiry > 0 {
		expires, err := strconv.ParseInt(r.URL.Query().Get("expires"), 10, 64)
		if err != nil || !s.now().Before(time.UnixMilli(expires)) {
			fail(w, http.StatusGone, "expired", "the link has expired")
			return
		}
	}
	if accept := r.Header.Get("Accept"); !accepts(accept) {
		fail(w, http.StatusNotAcceptable, "not-supported", "the file is "+typeNDJSON)
		return
	}
	if err := s.send(w, r, j, f); err != nil {
		s.log().Debug("a file was not sent to its end", "export", rt.id, "error", err)
	}
}

// findFile finds a file by its route. On a server of signed links the export's
// client is who has the link.
func (s *Server) findFile(rt *route) (*job, *outFile, bool) {
	client := rt.client()
	if s.OpenFiles {
		s.jobs.mu.Lock()
		if j := s.jobs.byID[rt.id]; j != nil {
			client = j.client
		}
		s.jobs.mu.Unlock()
	}
	j, ok := s.job(rt.id, client)
	if !ok || !s.over(j) {
		return nil, nil, false
	}
	f := j.files[rt.file]
	return j, f, f != nil
}

// accepts reports whether an Accept header lets NDJSON through.
func accepts(header string) bool {
	if header == "" {
		return true
	}
	for part := range strings.SplitSeq(header, ",") {
		kind, _, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err == nil && slices.Contains([]string{typeNDJSON, "application/ndjson", "application/x-ndjson", "ndjson", "application/*", "*/*"}, kind) {
			return true
		}
	}
	return false
}

// acceptsGzip reports whether the client takes the gzip coding.
func acceptsGzip(r *http.Request) bool {
	for _, line := range r.Header.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(line, ",") {
			coding, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
			if strings.EqualFold(strings.TrimSpace(coding), "gzip") && strings.ReplaceAll(weight, " ", "") != "q=0" {
				return true
			}
		}
	}
	return false
}

// send writes the file, or the range that is asked for, in the coding that the
// client accepts. Bytes go from the file to the connection without a copy.
func (s *Server) send(w http.ResponseWriter, r *http.Request, j *job, f *outFile) error {
	path, offset, length, tag := f.piece.Path, f.piece.Offset, f.piece.Length, `"`+f.tag+`"`
	head := w.Header()
	head.Set("Content-Type", typeNDJSON)
	if !s.NoGzip {
		head.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			zipped, err := s.zip(r.Context(), j, f)
			if err != nil {
				fail(w, http.StatusInternalServerError, "exception", "the file cannot be compressed")
				return err
			}
			path, offset, length, tag = zipped.path, 0, zipped.size, `"`+f.tag+`-gzip"`
			head.Set("Content-Encoding", "gzip")
		}
	}
	file, err := os.Open(path)
	if err != nil {
		head.Del("Content-Encoding")
		fail(w, http.StatusInternalServerError, "exception", "the file cannot be read")
		return err
	}
	defer file.Close()
	head.Set("ETag", tag)
	status, from, n := http.StatusOK, int64(0), length
	if s.NoRange {
		head.Set("Accept-Ranges", "none")
	} else {
		head.Set("Accept-Ranges", "bytes")
		part, err := parseRange(r, tag, length)
		if err != nil {
			head.Del("Content-Encoding")
			head.Set("Content-Range", fmt.Sprintf("bytes */%d", length))
			fail(w, http.StatusRequestedRangeNotSatisfiable, "value", err.Error())
			return nil
		}
		if part != nil {
			status, from, n = http.StatusPartialContent, part.from, part.length
			head.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+n-1, length))
		}
	}
	head.Set("Content-Length", strconv.FormatInt(n, 10))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	if _, err := file.Seek(offset+from, io.SeekStart); err != nil {
		return err
	}
	if s.Bandwidth > 0 {
		return s.trickle(w, r, file, n)
	}
	// Of the answer's own type, so that it can take the bytes by sendfile.
	_, err = io.CopyN(w, file, n)
	if r.Context().Err() != nil {
		return nil // the client went away
	}
	return err
}

// trickle copies at most Bandwidth bytes a second.
func (s *Server) trickle(w io.Writer, r *http.Request, file io.Reader, n int64) error {
	const steps = 20 // a second
	step := max(s.Bandwidth/steps, 1)
	for n > 0 {
		some := min(step, n)
		if _, err := io.CopyN(w, file, some); err != nil {
			return nil // the client went away
		}
		if rw, ok := w.(http.ResponseWriter); ok {
			_ = http.NewResponseController(rw).Flush()
		}
		if n -= some; n > 0 && !pause(r.Context(), time.Second/steps) {
			return nil
		}
	}
	return nil
}

type byteRange struct{ from, length int64 }

// parseRange reads Range and If-Range (RFC 9110, 14.2 and 13.1.5). Nil is the
// whole file: no range, several, one that is not understood, or an If-Range
// that is not the strong tag.
func parseRange(r *http.Request, tag string, length int64) (*byteRange, error) {
	spec, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	if condition := r.Header.Get("If-Range"); !ok || condition != "" && condition != tag || strings.Contains(spec, ",") {
		return nil, nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return nil, nil
	}
	if first == "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < 0 {
			return nil, nil
		}
		if n = min(n, length); n == 0 {
			return nil, errNoRange
		}
		return &byteRange{length - n, n}, nil
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil || from < 0 {
		return nil, nil
	}
	to := length - 1
	if last != "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < from {
			return nil, nil
		}
		to = min(to, n)
	}
	if from >= length {
		return nil, errNoRange
	}
	return &byteRange{from, to - from + 1}, nil
}

var errNoRange = errors.New("the range is beyond the file")
