package pipeline

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
)

// logName is the log of a bulk export in its snapshot, in the format of the
// SMART bulk-data-client: one JSON object a line with exportId, timestamp,
// eventId and eventDetail. See docs/exportlog.md for what is left out of it (I6,
// I7).
const logName = "log.ndjson"

// logEntry is a line of it.
type logEntry struct {
	ExportID  string         `json:"exportId"`
	Timestamp time.Time      `json:"timestamp"`
	EventID   string         `json:"eventId"`
	Detail    map[string]any `json:"eventDetail"`
}

func (x *execution) entry(event string, detail map[string]any) ([]byte, error) {
	return json.Marshal(logEntry{ExportID: x.id, Timestamp: x.r.now().Truncate(time.Millisecond), EventID: event, Detail: detail})
}

// log keeps an event in the spool until the snapshot is published: later tries
// of the run go on with the same log. It may be called by several goroutines at
// once. A log that cannot be written does not fail the run.
func (x *execution) log(event string, detail map[string]any) {
	line, err := x.entry(event, detail)
	if err == nil {
		err = x.spool.Log(line)
	}
	if err != nil {
		x.warn("log-incomplete", "events are missing in "+logName+": they could not be written", 1)
	}
}

func (x *execution) logKickoff(r export.Request, k *export.Kickoff, err error) {
	detail := map[string]any{
		"exportUrl":    exportURL(x.r.Server.URL, r),
		"softwareName": textOrNull(x.plan.Software), "softwareVersion": nil, "softwareReleaseDate": nil,
		"fhirVersion":       textOrNull(x.plan.FHIRVersion),
		"requestParameters": r.Parameters(),
		"errorCode":         nil, "errorBody": nil,
		"responseHeaders": map[string]string{},
	}
	if err != nil {
		e := logError(err)
		detail["errorCode"], detail["errorBody"] = e["code"], e["message"]
	} else if !k.Date.IsZero() {
		detail["responseHeaders"] = map[string]string{"date": k.Date.UTC().Format(time.RFC1123)}
	}
	x.log("kickoff", detail)
}

func exportURL(base string, r export.Request) string {
	base = bareURL(base)
	switch r.Level {
	case export.Patient:
		base += "/Patient"
	case export.Group:
		base += "/Group/" + url.PathEscape(r.Group)
	}
	return base + "/$export"
}

// logProgress logs the share that the server says is done, not its words (I7).
func (x *execution) logProgress(p export.Progress) {
	var share any
	if p.Percent >= 0 {
		share = fmt.Sprintf("%g%%", p.Percent)
	}
	var wait any
	if p.Wait > 0 {
		wait = fmt.Sprintf("%.0f", p.Wait.Seconds())
	}
	x.log("status_progress", map[string]any{"body": nil, "xProgress": share, "retryAfter": wait})
}

func (x *execution) logManifest(m *export.Manifest) {
	when := m.TransactionTime.UTC().Format(time.RFC3339Nano)
	x.log("status_complete", map[string]any{"transactionTime": when})
	var output, deleted, failed int
	for _, p := range m.Pages {
		x.log("status_page_complete", map[string]any{
			"transactionTime": when, "outputFileCount": p.Output, "deletedFileCount": p.Deleted, "errorFileCount": p.Error,
		})
		output, deleted, failed = output+p.Output, deleted+p.Deleted, failed+p.Error
	}
	x.log("manifest_complete", map[string]any{
		"transactionTime": when, "totalOutputFileCount": output, "totalDeletedFileCount": deleted, "totalErrorFileCount": failed,
		"totalManifests": len(m.Pages),
	})
}

func (s *bulkSource) logLanded(t ledger.Task, i *spool.Info) {
	f, _, ok := s.links.get(t.Key)
	link := t.Path // of a file whose links were renewed and forgotten
	if ok {
		link = bareURL(f.URL)
	}
	s.x.log("download_complete", map[string]any{"fileId": t.Key, "fileUrl": link, "resourceCount": resources(i), "fileSize": i.Bytes})
}

// logFound logs a part that an earlier try of the run landed, if that try was
// killed before it could.
func (s *bulkSource) logFound(t ledger.Task, i *spool.Info) {
	if !s.logged()[t.Key] {
		s.logLanded(t, i)
	}
}

// loggedParts are the parts whose landing an earlier try of the run logged.
func (x *execution) loggedParts() map[string]bool {
	found := map[string]bool{}
	err := x.spool.EachLogged(func(line []byte) error {
		var e struct {
			EventID string `json:"eventId"`
			Detail  struct {
				FileID string `json:"fileId"`
			} `json:"eventDetail"`
		}
		if err := json.Unmarshal(line, &e); err == nil && e.EventID == "download_complete" {
			found[e.Detail.FileID] = true
		}
		return nil
	})
	if err != nil {
		x.warn("log-incomplete", "events may stand twice in "+logName+": what was logged could not be read", 1)
	}
	return found
}

func resources(i *spool.Info) int64 { return i.Lines - i.Outcomes - i.Headers - i.Quarantined }

// logError describes an error by its own text, which holds nothing of the
// server's answer but codes.
func logError(err error) map[string]any {
	var code any
	var refused *export.RefusedError
	var expired *export.ExpiredError
	var answered *export.AmbiguousError
	var lost *export.LostError
	switch {
	case errors.As(err, &refused):
		code = refused.Status
	case errors.As(err, &expired):
		code = expired.Status
	case errors.As(err, &lost):
		code = lost.Status
	case errors.As(err, &answered) && answered.Status > 0:
		code = answered.Status
	}
	return map[string]any{"body": nil, "code": code, "message": err.Error(), "responseHeaders": nil}
}

// writeLog writes what was logged of the run, and the event that ends it.
func (x *execution) writeLog(w io.Writer, b *board) (rows int64, err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	write := func(line []byte) error {
		rows++
		_, _ = out.Write(line) // bufio keeps the error
		return out.WriteByte('\n')
	}
	if err := x.spool.EachLogged(write); err != nil {
		return rows, err
	}
	var files, lines, bytes int64
	for _, p := range b.every(kindOutput, kindError, kindDeleted) {
		i := p.Info()
		files, lines, bytes = files+1, lines+resources(i), bytes+i.Bytes
	}
	var fetched int64
	if x.attachments != nil {
		fetched = x.attachments.Fetched
	}
	last, err := x.entry("export_complete", map[string]any{
		"files": files, "resources": lines, "bytes": bytes, "attachments": fetched,
		"duration": x.r.now().Sub(x.run.Started).Milliseconds(),
	})
	if err != nil {
		return rows, err
	}
	if err := write(last); err != nil {
		return rows, err
	}
	return rows, out.Flush()
}

// bareURL is the URL without user, query and fragment: those may be secrets
// (I6, F44).
func bareURL(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return ""
	}
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return bare.String()
}

func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
