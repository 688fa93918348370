package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Manifest is the answer to a status request of a complete export (EX2,
// response: complete status).
type Manifest struct {
	TransactionTime     string         `json:"transactionTime"`
	Request             string         `json:"request"`
	RequiresAccessToken bool           `json:"requiresAccessToken"`
	Output              []ManifestFile `json:"output"`
	Deleted             []ManifestFile `json:"deleted,omitempty"`
	Error               []ManifestFile `json:"error"`
	Link                []ManifestLink `json:"link,omitempty"`
}

// ManifestFile is a file of a manifest.
type ManifestFile struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Count int    `json:"count"`
}

// ManifestLink leads to the next page of a manifest.
type ManifestLink struct {
	Relation string `json:"relation"`
	URL      string `json:"url"`
}

func gone(w http.ResponseWriter) {
	fail(w, http.StatusNotFound, "not-found", "there is no such export")
}

// status answers a poll.
func (s *Server) status(w http.ResponseWriter, r *http.Request, rt *route) {
	if !allowed(w, r, http.MethodGet) {
		return
	}
	j, ok := s.job(rt.id, rt.client())
	if !ok {
		gone(w)
		return
	}
	now := s.now()
	if !j.mayPoll(now, s.MinPoll) {
		w.Header().Set("Retry-After", seconds(s.MinPoll))
		fail(w, http.StatusTooManyRequests, "throttled", "the status is asked for too often")
		return
	}
	if !s.over(j) {
		w.Header().Set("X-Progress", j.progress(now, s.ExportDuration))
		w.Header().Set("Retry-After", seconds(orElse(s.RetryAfter, oneSecond)))
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if j.failed != nil {
		fail(w, http.StatusInternalServerError, "exception", "the export failed")
		return
	}
	page, err := strconv.Atoi(orElse(r.URL.Query().Get("page"), "1"))
	pages := j.pages(s.ManifestPage)
	if err != nil || page < 1 || page > pages {
		fail(w, http.StatusNotFound, "not-found", "the manifest has no such page")
		return
	}
	if s.JobExpiry > 0 {
		w.Header().Set("Expires", j.completedAt(now).Add(s.JobExpiry).UTC().Format(http.TimeFormat))
	} else {
		j.completedAt(now)
	}
	m := s.manifest(r, j, page, pages)
	if s.EditManifest != nil {
		s.EditManifest(m)
	}
	answer(w, http.StatusOK, "application/json", m)
}

// mayPoll notes a poll and reports whether it comes late enough.
func (j *job) mayPoll(now time.Time, least time.Duration) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	late := j.lastPoll.IsZero() || now.Sub(j.lastPoll) >= least
	j.lastPoll = now
	return late
}

func (j *job) completedAt(now time.Time) time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.complete.IsZero() {
		j.complete = now
	}
	return j.complete
}

// progress is what has been written, or the time that has passed, whichever is
// less.
func (j *job) progress(now time.Time, duration time.Duration) string {
	percent := 99
	if n := len(j.asked.types); n > 0 {
		percent = min(percent, int(j.done.Load())*100/n)
	}
	if duration > 0 {
		percent = min(percent, int(now.Sub(j.begun)*100/duration))
	}
	return fmt.Sprintf("%d%% complete", max(percent, 0))
}

// pages is how many pages the manifest has.
func (j *job) pages(size int) int {
	if size <= 0 || len(j.output) == 0 {
		return 1
	}
	return (len(j.output) + size - 1) / size
}

// manifest makes one page of the manifest. What was deleted and what went wrong
// stands on the last one.
func (s *Server) manifest(r *http.Request, j *job, page, pages int) *Manifest {
	m := &Manifest{
		TransactionTime: j.at.UTC().Format("2006-01-02T15:04:05.000Z"), Request: j.request, RequiresAccessToken: s.Auth != nil && !s.OpenFiles,
		Output: []ManifestFile{}, Error: []ManifestFile{},
	}
	expiry := ""
	if s.FileExpiry > 0 {
		expiry = strconv.FormatInt(s.now().Add(s.FileExpiry).UnixMilli(), 10)
	}
	list := func(files []*outFile) []ManifestFile {
		out := []ManifestFile{}
		for _, f := range files {
			out = append(out, ManifestFile{f.typ, s.fileURL(r, j, f, expiry), f.piece.Lines})
		}
		return out
	}
	output := j.output
	if s.ManifestPage > 0 {
		output = output[min((page-1)*s.ManifestPage, len(output)):min(page*s.ManifestPage, len(output))]
	}
	m.Output = list(output)
	if page < pages {
		m.Link = []ManifestLink{{"next", s.base(r) + "/_export/" + j.id + "?page=" + strconv.Itoa(page+1)}}
		return m
	}
	m.Error = list(j.errors)
	if len(j.deleted) > 0 {
		m.Deleted = list(j.deleted)
	}
	return m
}

func (s *Server) fileURL(r *http.Request, j *job, f *outFile, expiry string) string {
	url := s.base(r) + "/_export/" + j.id + "/" + f.name
	switch {
	case s.OpenFiles:
		return url + "?expires=" + expiry + "&signature=" + s.sign(j.id, f.name, expiry)
	case expiry != "":
		return url + "?expires=" + expiry
	}
	return url
}

// sign makes the signature of a link that needs no token.
func (s *Server) sign(id, name, expiry string) string {
	mac := hmac.New(sha256.New, s.secret)
	fmt.Fprintf(mac, "%s\x00%s\x00%s", id, name, expiry)
	return hex.EncodeToString(mac.Sum(nil))
}

// deleteJob answers a DELETE of the status URL.
func (s *Server) deleteJob(w http.ResponseWriter, r *http.Request, rt *route) {
	j, ok := s.job(rt.id, rt.client())
	if !ok {
		gone(w)
		return
	}
	if err := s.drop(j); err != nil {
		s.log().Error("an export's files remain", "export", j.id, "error", err)
	}
	answer(w, http.StatusAccepted, typeFHIR, outcome(issue{"information", "informational", "the export is deleted"}))
}
