package export

import (
	"net/url"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
)

// Deletion is a resource that the server says was deleted.
type Deletion struct {
	Type string
	ID   string
}

// ParseDeleted reads one line of a deleted file: a transaction Bundle whose entries
// are DELETE requests for Type/id, relative or absolute (P31). It is strict, since
// whoever reads the result removes data: a line with any other method, a
// conditional delete, a duplicate member or a URL that names no resource is an
// error, and nothing of it counts (F46). No error holds content of the line.
func ParseDeleted(line []byte) ([]Deletion, error) {
	var bundle struct {
		ResourceType string `json:"resourceType"`
		Type         string `json:"type"`
		Entry        []struct {
			Request struct {
				Method string `json:"method"`
				URL    string `json:"url"`
			} `json:"request"`
		} `json:"entry"`
	}
	bad := func(reason string) ([]Deletion, error) {
		return nil, &ProtocolError{Op: "deleted file", Reason: reason}
	}
	if err := jsonv2.Unmarshal(line, &bundle); err != nil {
		return bad("a line is not a Bundle in JSON")
	}
	if bundle.ResourceType != "Bundle" || bundle.Type != "transaction" {
		return bad("a line is not a transaction Bundle")
	}
	out := make([]Deletion, 0, len(bundle.Entry))
	for _, e := range bundle.Entry {
		if e.Request.Method != "DELETE" {
			return bad("an entry is not a DELETE")
		}
		d, ok := deletion(e.Request.URL)
		if !ok {
			return bad("an entry does not name one resource as Type/id")
		}
		out = append(out, d)
	}
	return out, nil
}

func deletion(ref string) (d Deletion, ok bool) {
	u, err := url.Parse(ref)
	if err != nil || u.Opaque != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil {
		return d, false
	}
	segments := strings.Split(u.Path, "/")
	n := len(segments)
	switch {
	case u.Scheme == "" && u.Host == "" && n != 2:
		return d, false
	case u.Scheme != "" && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || n < 3):
		return d, false
	case u.Scheme == "" && u.Host != "":
		return d, false
	}
	d = Deletion{Type: segments[n-2], ID: segments[n-1]}
	name, ok := typeName(d.Type)
	return d, ok && name != "" && d.Type[0] >= 'A' && d.Type[0] <= 'Z' && logicalID(d.ID)
}

// logicalID takes FHIR's ids, and the longer ones of some vendors.
func logicalID(id string) bool {
	if id == "" || len(id) > 256 || id == "." || id == ".." {
		return false
	}
	for _, r := range id {
		if (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("-._~", r) {
			return false
		}
	}
	return true
}
