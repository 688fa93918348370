package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/flue-fhir/flue/export/sandbox/fhirpath"
	"github.com/flue-fhir/flue/export/sandbox/query"
	"github.com/flue-fhir/flue/internal/definition"
	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// The levels of an export.
const (
	levelSystem  = "system"
	levelPatient = "Patient"
	levelGroup   = "Group"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 16 << 20

// exportRequest is what a kick-off asked for, as far as it is granted.
type exportRequest struct {
	level    string
	group    string
	types    []string // nil means all
	since    time.Time
	until    time.Time
	elements elements
	filters  map[string][]*query.Query
	patients []string // ids; nil means all
	chosen   bool     // the parameter patient named them
	lenient  bool
	ignored  []string // what a lenient request asked for in vain, without values
}

// refused is a parameter that cannot be granted.
type refused struct {
	code string // of the value set issue-type
	text string
	// unknown says that a lenient request is served without it.
	unknown bool
}

func (e *refused) Error() string { return e.text }

func invalid(format string, args ...any) error {
	return &refused{code: "value", text: fmt.Sprintf(format, args...)}
}

func unsupported(format string, args ...any) error {
	return &refused{code: "not-supported", text: fmt.Sprintf(format, args...), unknown: true}
}

// readKickOff reads a kick-off's parameters from the URL or from the Parameters
// resource in its body.
func readKickOff(w http.ResponseWriter, r *http.Request, rt *route) (*exportRequest, error) {
	req := &exportRequest{level: rt.level, lenient: preference(r, "handling") == "lenient", filters: map[string][]*query.Query{}}
	if rt.level == levelGroup {
		req.group = rt.id
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("the URL's query cannot be parsed")
	}
	if r.Method == http.MethodPost {
		if len(values) > 0 {
			return nil, invalid("a kick-off by POST takes its parameters from the body alone")
		}
		if values, err = readParameters(w, r); err != nil {
			return nil, err
		}
	} else if values.Has("patient") {
		return nil, invalid("the parameter patient is only taken in a POST")
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		err := req.set(name, values[name])
		var no *refused
		if errors.As(err, &no) && no.unknown && req.lenient {
			req.ignored = append(req.ignored, no.text)
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return req, req.check()
}

// set takes one parameter with all of its values.
func (req *exportRequest) set(name string, values []string) error {
	single := func() (string, error) {
		if len(values) != 1 {
			return "", invalid("the parameter %s occurs more than once", name)
		}
		return values[0], nil
	}
	switch name {
	case "_outputFormat":
		format, err := single()
		if err != nil {
			return err
		}
		switch format {
		case typeNDJSON, "application/ndjson", "ndjson":
			return nil
		}
		return invalid("the only _outputFormat is " + typeNDJSON)
	case "_since", "_until":
		text, err := single()
		if err != nil {
			return err
		}
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return invalid("%s is not an instant with a time zone", name)
		}
		if name == "_since" {
			req.since = at
		} else {
			req.until = at
		}
		return nil
	case "_type":
		return req.setTypes(values)
	case "_elements":
		var err error
		req.elements, err = parseElements(values)
		return err
	case "_typeFilter":
		return req.setFilters(values)
	case "patient":
		return req.setPatients(values)
	case "allowPartialManifests":
		if text, err := single(); err != nil || text == "false" {
			return err
		}
	}
	return unsupported("the parameter %s is not supported", clean(name))
}

func (req *exportRequest) setTypes(values []string) error {
	req.types = []string{}
	for _, v := range values {
		for typ := range strings.SplitSeq(v, ",") {
			if definition.Type(typ) == nil {
				return invalid("_type names something that is no R4 resource type: %s", clean(typ))
			}
			if !slices.Contains(req.types, typ) {
				req.types = append(req.types, typ)
			}
		}
	}
	return nil
}

// nextFilter is where another filter begins in a value that lists several.
var nextFilter = regexp.MustCompile(`,[A-Z][A-Za-z]+\?`)

func (req *exportRequest) setFilters(values []string) error {
	for _, v := range values {
		for v != "" {
			one := v
			if at := nextFilter.FindStringIndex(v); at != nil {
				one, v = v[:at[0]], v[at[0]+1:]
			} else {
				v = ""
			}
			q, err := query.ParseTypeFilter(one)
			if err != nil {
				var e *query.Error
				return &refused{code: "value", text: "_typeFilter: " + err.Error(), unknown: errors.As(err, &e) && e.Unsupported}
			}
			req.filters[q.Type] = append(req.filters[q.Type], q)
		}
	}
	return nil
}

func (req *exportRequest) setPatients(values []string) error {
	req.patients, req.chosen = []string{}, true
	for _, v := range values {
		typ, id := fhirpath.SplitReference(v)
		if id == "" || typ != "Patient" {
			return invalid("patient is not a reference of the form Patient/id")
		}
		req.patients = append(req.patients, id)
	}
	return nil
}

// check looks at parameters that depend on each other.
func (req *exportRequest) check() error {
	if req.level == levelSystem && req.patients != nil {
		return invalid("the parameter patient is not part of a system level export")
	}
	if !req.until.IsZero() && !req.since.IsZero() && !req.until.After(req.since) {
		return invalid("_until is not after _since")
	}
	if req.types == nil {
		return nil
	}
	for typ := range req.filters {
		if !slices.Contains(req.types, typ) {
			return invalid("_typeFilter is about %s, which _type does not ask for", typ)
		}
	}
	return nil
}

// readParameters flattens a Parameters resource to names and texts.
func readParameters(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != typeFHIR && kind != "application/json" {
		return nil, errContentType
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, &refused{code: "too-long", text: "the body cannot be read"}
	}
	var head struct{ ResourceType string }
	var in fhir.Parameters
	if err := json.Unmarshal(body, &head); err != nil || head.ResourceType != "Parameters" {
		return nil, &refused{code: "structure", text: "the body is not a Parameters resource"}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, &refused{code: "structure", text: "the body is not a Parameters resource"}
	}
	out := url.Values{}
	for i := range in.Parameter {
		p := &in.Parameter[i]
		text, ok := parameterText(p)
		if !ok {
			return nil, invalid("the parameter %s has not the type that it is defined with", clean(p.Name))
		}
		out.Add(p.Name, text)
	}
	return out, nil
}

var errContentType = &refused{code: "not-supported", text: "the body's content type is not " + typeFHIR}

// parameterText returns the value of a parameter in the type that the export
// operation defines for it.
func parameterText(p *fhir.ParametersParameter) (string, bool) {
	first := func(options ...*string) (string, bool) {
		for _, o := range options {
			if o != nil {
				return *o, true
			}
		}
		return "", false
	}
	switch p.Name {
	case "_since", "_until":
		return first(p.ValueInstant)
	case "patient":
		if p.ValueReference == nil {
			return "", false
		}
		return first(p.ValueReference.Reference)
	case "allowPartialManifests":
		if p.ValueBoolean == nil {
			return "", false
		}
		return fmt.Sprint(*p.ValueBoolean), true
	}
	return first(p.ValueString, p.ValueCode, p.ValueUri, p.ValueCanonical)
}

// preference returns the value of a preference in the Prefer headers (RFC
// 7240); one without a value has its own name.
func preference(r *http.Request, name string) string {
	for _, line := range r.Header.Values("Prefer") {
		for part := range strings.SplitSeq(line, ",") {
			token, _, _ := strings.Cut(part, ";")
			key, value, ok := strings.Cut(strings.TrimSpace(token), "=")
			if !strings.EqualFold(strings.TrimSpace(key), name) {
				continue
			}
			if !ok {
				return name
			}
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// clean keeps a client's text from breaking an outcome.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' {
			return -1
		}
		return r
	}, s[:min(len(s), 60)])
}
