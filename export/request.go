package export

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// RequestError is a Request that cannot be sent.
type RequestError struct {
	Reason string
}

func (e *RequestError) Error() string { return "export request: " + e.Reason }

// Class says which exit code the error leads to.
func (e *RequestError) Class() string { return "usage" }

func (r Request) check() error {
	switch {
	case r.Level != System && r.Level != Patient && r.Level != Group:
		return &RequestError{"the level is none of system, patient and group"}
	case r.Level == Group && r.Group == "":
		return &RequestError{"a group export needs the group's id"}
	case r.Level == System && len(r.Patients) > 0:
		return &RequestError{"a system export cannot be restricted to patients"}
	}
	return nil
}

// param is one parameter of the request, in the forms that GET and POST give it
// (P19, P20).
type param struct {
	name  string
	value string
	// list is the value of a parameter that GET joins with commas: the commas
	// between the items are sent as such, those within an item encoded.
	list []string
	kind kind
}

type kind uint8

const (
	text kind = iota
	code
	instant
	truth
	reference
)

func (r Request) params() []param {
	var ps []param
	add := func(k kind, name, value string) {
		if value != "" {
			ps = append(ps, param{name: name, value: value, kind: k})
		}
	}
	list := func(name string, items []string) {
		switch {
		case len(items) == 0:
		case r.Repeat:
			for _, i := range items {
				add(text, name, i)
			}
		default:
			ps = append(ps, param{name: name, list: items})
		}
	}
	add(text, "_outputFormat", r.OutputFormat)
	add(instant, "_since", stamp(r.Since))
	add(instant, "_until", stamp(r.Until))
	list("_type", r.Types)
	list("_elements", r.Elements)
	for _, f := range r.TypeFilters {
		add(text, "_typeFilter", f) // always repeated: a joined list breaks values with a comma (F19)
	}
	for _, v := range r.IncludeAssociatedData {
		add(code, "includeAssociatedData", v)
	}
	add(text, "organizeOutputBy", r.OrganizeOutputBy)
	if r.AllowPartialManifests {
		add(truth, "allowPartialManifests", "true")
	}
	for _, p := range r.Patients {
		if !strings.Contains(p, "/") {
			p = "Patient/" + p
		}
		add(reference, "patient", p)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Extra)) {
		for _, v := range r.Extra[name] {
			ps = append(ps, param{name: name, value: v})
		}
	}
	return ps
}

// Parameters are the request's parameters by name for logs and manifests, the
// values of one joined with commas. Those that name patients are left out (I7).
func (r Request) Parameters() map[string]string {
	all := map[string]string{}
	for _, p := range r.params() {
		if p.kind == reference || p.name == "patient" {
			continue
		}
		value := p.value
		if p.list != nil {
			value = strings.Join(p.list, ",")
		}
		if old, ok := all[p.name]; ok {
			value = old + "," + value
		}
		all[p.name] = value
	}
	return all
}

// stamp is the instant in UTC with milliseconds, cut and not rounded: no '+' to
// be lost on the way, and never later than t.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000Z")
}

// query is the GET form.
func (r Request) query() string {
	var b strings.Builder
	for _, p := range r.params() {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(escape(p.name) + "=")
		if p.list == nil {
			b.WriteString(escape(p.value))
			continue
		}
		for i, item := range p.list {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(escape(item))
		}
	}
	return b.String()
}

// escape percent-encodes once, '+' as %2B and a space as %20 (P19).
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// body is the POST form: a Parameters resource (P18).
func (r Request) body() ([]byte, error) {
	out := fhir.Parameters{}
	for _, p := range r.params() {
		v := fhir.ParametersParameter{Name: p.name}
		switch {
		case p.list != nil:
			s := strings.Join(p.list, ",")
			v.ValueString = &s
		case p.kind == code:
			v.ValueCode = &p.value
		case p.kind == instant:
			v.ValueInstant = &p.value
		case p.kind == truth:
			yes := true
			v.ValueBoolean = &yes
		case p.kind == reference:
			v.ValueReference = &fhir.Reference{Reference: &p.value}
		default:
			v.ValueString = &p.value
		}
		out.Parameter = append(out.Parameter, v)
	}
	return json.Marshal(out)
}

// words are what a server's outcome may name of the request: parameters and the
// search parameters of filters, never values.
func (r Request) words() []string {
	var ws []string
	for _, p := range r.params() {
		ws = append(ws, p.name)
	}
	for _, f := range r.TypeFilters {
		_, q, _ := strings.Cut(f, "?")
		for pair := range strings.SplitSeq(q, "&") {
			name, _, _ := strings.Cut(pair, "=")
			name, _, _ = strings.Cut(name, ":")
			ws = append(ws, name)
		}
	}
	return ws
}
