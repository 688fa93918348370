package sandbox

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flue-fhir/flue/export/sandbox/store"
)

// read answers GET [base]/Type/id. A Binary comes as the content that it holds,
// unless the client asks for FHIR (R4, binary).
func (s *Server) read(w http.ResponseWriter, r *http.Request, rt *route) {
	if !allowed(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	if !rt.mayRead(rt.typ) {
		forbid(w, rt.typ)
		return
	}
	raw := rt.typ == "Binary" && !asksForFHIR(r)
	if !raw && !acceptsFHIR(w, r) {
		return
	}
	view := s.Data.View()
	row, ok, err := view.Find(rt.typ, rt.id)
	if err != nil {
		s.failedRead(w, err)
		return
	}
	if !ok {
		deleted := func(d store.Deletion) bool { return d.Type == rt.typ && d.ID == rt.id }
		if slices.ContainsFunc(view.Deleted(time.Time{}), deleted) {
			fail(w, http.StatusGone, "deleted", "the resource is deleted")
			return
		}
		fail(w, http.StatusNotFound, "not-found", "there is no such resource")
		return
	}
	reader := view.Reader(rt.typ)
	defer reader.Close()
	line, err := reader.Line(row)
	if err != nil {
		s.failedRead(w, err)
		return
	}
	if meta, err := store.Member(line, "meta"); err == nil && meta != nil {
		if version, err := store.Member(meta, "versionId"); err == nil && version != nil {
			w.Header().Set("ETag", `W/"`+string(bytes.Trim(version, `"`))+`"`)
		}
	}
	w.Header().Set("Last-Modified", time.UnixMicro(row.Updated).UTC().Format(http.TimeFormat))
	contentType, body := typeFHIR, line
	if raw {
		var binary struct {
			ContentType string
			Data        string
		}
		if err := json.Unmarshal(line, &binary); err != nil {
			s.failedRead(w, err)
			return
		}
		if body, err = base64.StdEncoding.DecodeString(binary.Data); err != nil {
			s.failedRead(w, err)
			return
		}
		contentType = orElse(binary.ContentType, "application/octet-stream")
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client went away
	}
}

func (s *Server) failedRead(w http.ResponseWriter, err error) {
	s.log().Error("read failed", "error", err)
	fail(w, http.StatusInternalServerError, "exception", "the resource cannot be read")
}

// asksForFHIR reports whether the first type of the Accept header is FHIR's.
func asksForFHIR(r *http.Request) bool {
	first, _, _ := strings.Cut(r.Header.Get("Accept"), ",")
	kind, _, err := mime.ParseMediaType(first)
	return err == nil && kind == typeFHIR
}
