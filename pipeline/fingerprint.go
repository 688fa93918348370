package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/flue-fhir/flue/pipeline/config"
)

// requestFingerprint binds the watermarks to what was asked for (I2): server,
// level, group, patients, filters, elements and whatever else changes which
// resources come, but not the types, which have a watermark each, and not the
// time. Which attachments are wanted belongs to it: a chain has those of all its
// resources. Another client may see other resources, and where the job names no
// types, the scopes stand for them. The order of lists does not matter.
func requestFingerprint(server config.Server, j config.Job) string {
	e := j.Export
	var scopes []string
	if len(e.Types) == 0 {
		scopes = sorted(server.Auth.Scopes)
	}
	return digest(struct {
		Server, Mode, Level, Group                       string
		Patients, Filters, Elements, Associated, Include []string
		OrganizeOutputBy, OutputFormat                   string
		Extra                                            map[string]string
		Since, Until                                     time.Time
		Attachments                                      *wanted  `json:",omitempty"`
		Client                                           string   `json:",omitempty"`
		Scopes                                           []string `json:",omitempty"`
	}{
		server.URL, e.Mode, e.Level, e.Group,
		sorted(e.Patients), sorted(e.TypeFilters), sorted(e.Elements), sorted(e.IncludeAssociatedData), sorted(e.Include),
		e.OrganizeOutputBy, e.OutputFormat,
		e.Extra,
		e.Since.Time.UTC(), e.Until.UTC(),
		wantedOf(j.Attachments),
		server.Auth.ClientID, scopes,
	})
}

// wanted says which attachments a job fetches.
type wanted struct {
	Types, MIME []string
	MaxSize     int64
}

func wantedOf(a *config.Attachments) *wanted {
	if a == nil {
		return nil
	}
	return &wanted{sorted(a.Types), sorted(a.MIME), a.MaxSize}
}

// planFingerprint tells whether a failed run may be taken up again: the same
// request, sinks and destination, resting on the same snapshot and the same
// word of a person about the watermark.
func planFingerprint(request string, j config.Job, latest string, override time.Time) string {
	e := j.Export
	return digest(struct {
		Request     string
		Types       []string
		SinceLast   bool
		Lenient     bool `json:",omitempty"`
		Post        bool `json:",omitempty"`
		Sinks       []config.Sink
		Destination config.Destination
		Latest      string
		Override    time.Time
	}{request, sorted(e.Types), e.Since.Last, e.Lenient, e.Post, j.Sinks, j.Destination, latest, override.UTC()})
}

// request is the fingerprint of what the job asks for: of a conversion, the files
// as they are now, and the formats.
func (r *Runner) request() string {
	if r.Job.Export.Mode == modeFiles {
		return digest(struct {
			Inputs []string
			Sinks  []config.Sink
		}{states(r.Inputs), r.Job.Sinks})
	}
	return requestFingerprint(r.Server, r.Job)
}

func digest(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode fingerprint: %v", err)) // plain values only
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}
