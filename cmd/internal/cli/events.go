package cli

import (
	"context"
	"log/slog"
	"time"

	"github.com/flue-fhir/flue/pipeline"
)

// progressEvery is how often running totals become a line of a log.
const progressEvery = 10 * time.Second

// jsonEvents writes each event as one JSON object.
type jsonEvents struct {
	out  slog.Handler
	log  *slog.Logger
	last time.Time // of the last line of progress
}

func (w *jsonEvents) handler() slog.Handler { return w.out }
func (w *jsonEvents) close()                {}

func (w *jsonEvents) observe(e pipeline.Event) {
	if !due(&w.last, e) {
		return
	}
	attrs := []slog.Attr{slog.String("kind", e.Kind), slog.String("run", e.Run), slog.String("job", e.Job), slog.String("state", string(e.State))}
	if e.Type != "" {
		attrs = append(attrs, slog.String("type", e.Type))
	}
	if e.Code != "" {
		attrs = append(attrs, slog.String("code", e.Code))
	}
	for _, total := range totals(e.Progress) {
		if total.Value.Int64() != 0 {
			attrs = append(attrs, total)
		}
	}
	w.log.LogAttrs(context.Background(), levelOf(e), textOf(e), attrs...)
}

func totals(p pipeline.Progress) []slog.Attr {
	return []slog.Attr{
		slog.Int64("filesDone", p.FilesDone), slog.Int64("files", p.Files), slog.Int64("resources", p.Resources),
		slog.Int64("bytesRead", p.BytesRead), slog.Int64("typesDone", int64(p.TypesDone)),
		slog.Int64("attachments", p.Attachments), slog.Int64("tokens", p.Tokens), slog.Int64("retries", p.Retries),
	}
}

// textEvents writes each event as a line of text.
type textEvents struct {
	out  slog.Handler
	log  *slog.Logger
	last time.Time
}

func (w *textEvents) handler() slog.Handler { return w.out }
func (w *textEvents) close()                {}

func (w *textEvents) observe(e pipeline.Event) {
	if !due(&w.last, e) {
		return
	}
	var attrs []slog.Attr
	if e.Type != "" {
		attrs = append(attrs, slog.String("type", e.Type))
	}
	if p := e.Progress; e.Kind == "progress" || e.Kind == "type" || p.Files > 0 && e.Kind == "state" {
		attrs = append(attrs, slog.Int64("files", p.FilesDone), slog.Int64("of", p.Files), slog.Int64("resources", p.Resources), slog.String("read", size(p.BytesRead)))
		if p.Attachments > 0 {
			attrs = append(attrs, slog.Int64("attachments", p.Attachments))
		}
	}
	w.log.LogAttrs(context.Background(), levelOf(e), textOf(e), attrs...)
}

// due reports whether an event makes a line. Totals and files come often: of
// those one in a while does.
func due(last *time.Time, e pipeline.Event) bool {
	if e.Kind != "progress" && e.Kind != "file" {
		return true
	}
	if e.Progress.FilesDone == 0 && e.Progress.BytesRead == 0 || e.Time.Sub(*last) < progressEvery {
		return false
	}
	*last = e.Time
	return true
}

func levelOf(e pipeline.Event) slog.Level {
	if e.Kind == "warning" {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

func textOf(e pipeline.Event) string {
	switch e.Kind {
	case "state":
		return stateText(e.State)
	case "poll":
		if e.Text == "" {
			return "the server is exporting"
		}
		return "the server is exporting: " + e.Text
	case "file", "progress":
		return "progress"
	case "type":
		return "type converted"
	case "attachments":
		return "fetching attachments"
	case "retry":
		return "retrying: " + e.Text
	case "resume":
		if e.Text == "" {
			return "an earlier run is taken up again"
		}
	}
	return e.Text
}

// stateText says for people what a run does in a state.
func stateText(s pipeline.State) string {
	switch s {
	case pipeline.Planned:
		return "planned"
	case pipeline.Authorized:
		return "authorized"
	case pipeline.KickedOff:
		return "export accepted by the server"
	case pipeline.Exporting:
		return "waiting for the server"
	case pipeline.Landing:
		return "fetching files"
	case pipeline.Converting:
		return "converting"
	case pipeline.Publishing:
		return "publishing"
	case pipeline.Published:
		return "published"
	case pipeline.Failed:
		return "failed"
	case pipeline.Cancelled:
		return "cancelled"
	case pipeline.Abandoned:
		return "abandoned"
	}
	return string(s)
}
