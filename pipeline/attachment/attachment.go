// Package attachment fetches the contents that attachments point at (P34).
//
// Find reads the attachments out of a resource, a Fetcher brings one content into
// the snapshot, checked and under the name of its SHA-256, and Run does so for
// many, in order: what it has done is kept in notes, so that a process that takes
// a run up again goes on behind them (I5).
//
// Bodies go through a scratch file and never through memory, and no list of
// attachments is held (I8). An attachment that fails is a row with a code, never a
// reason to drop its resource (F45). No error and no code holds a URL, an id or
// content (I6, I7).
package attachment

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/flue-fhir/flue/sinks"
)

// Types are the resource types whose attachments are found.
func Types() []string { return []string{"DiagnosticReport", "DocumentReference"} }

// Found is an attachment of a resource that has a URL.
type Found struct {
	// Row says where it is, with the content type and the size that the resource
	// declares.
	Row  sinks.Attachment
	URL  string // as written; may be signed: a secret (F44)
	Hash string // as written: base64 of a SHA-1
}

// element is the members of an Attachment that matter. Members of another kind
// than they should be count as missing: the resource is published as it is.
type element struct {
	ContentType string
	URL         string
	Size        json.RawMessage
	Hash        string
}

// Find returns the attachments with a URL of a resource, which is a line that was
// checked when it landed. Those with inline data alone have nothing to fetch.
func Find(typ string, line []byte) ([]Found, error) {
	var r struct {
		ID      string
		Content []struct{ Attachment element }
		Form    []element `json:"presentedForm"`
	}
	var kind *json.UnmarshalTypeError
	if err := json.Unmarshal(line, &r); err != nil && !errors.As(err, &kind) {
		return nil, errors.New("find attachments: the line is no JSON") // what it is may not be told (I7)
	}
	var found []Found
	add := func(path string, e element) {
		if e.URL == "" {
			return
		}
		found = append(found, Found{
			Row: sinks.Attachment{Type: typ, ID: r.ID, Path: path, ContentType: e.ContentType, Size: sizeOf(e.Size)},
			URL: e.URL, Hash: e.Hash,
		})
	}
	switch typ {
	case "DocumentReference":
		for i, c := range r.Content {
			add(fmt.Sprintf("content[%d].attachment", i), c.Attachment)
		}
	case "DiagnosticReport":
		for i, e := range r.Form {
			add(fmt.Sprintf("presentedForm[%d]", i), e)
		}
	}
	return found, nil
}

// sizeOf reads Attachment.size: a number, or the text of one as R5 has it. 0 means
// that there is none.
func sizeOf(raw json.RawMessage) int64 {
	n, err := strconv.ParseInt(string(bytes.Trim(raw, `"`)), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
