// Package query is the part of FHIR search that the sandbox answers: which
// resources of a type match the parameters of a search or of a bulk export's
// _typeFilter. Parse a Query and ask it with Match.
//
// It knows the parameter types token, date, string, reference, number, quantity
// and uri, prefixes, the modifiers :missing, :not, :exact, :contains and a
// resource type, several values (or) and repeated parameters (and). Chains,
// composites and everything else are refused with an *Error whose Unsupported
// is set: no part of a query is ever dropped silently.
//
// Source: https://hl7.org/fhir/R4/search.html
package query

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/flue-fhir/flue/export/sandbox/fhirpath"
	"github.com/flue-fhir/flue/export/sandbox/store"
	"github.com/flue-fhir/flue/internal/definition"
)

// Bounds of a query.
const (
	maxParameters = 100
	maxValues     = 10_000
)

// Error says why a parameter cannot be used.
type Error struct {
	// Parameter is its code without modifier and value.
	Parameter string
	Reason    string
	// Unsupported says that the parameter may be right but is not known here, so
	// that a lenient server may leave it out.
	Unsupported bool
}

func (e *Error) Error() string { return "search parameter " + e.Parameter + ": " + e.Reason }

// Query is a parsed search: all of its conditions must hold. It is immutable.
type Query struct {
	Type string
	// IDs are the alternatives of each _id parameter.
	IDs [][]string
	// Patients are the parameters that name patients only.
	Patients []Patients

	updated    []dateCondition
	conditions []condition
	roots      []string // members that the conditions begin at
}

// Patients is a reference parameter all of whose values are patients.
type Patients struct {
	Code  string
	IDs   []string
	Paths *fhirpath.Path
}

// condition is one parameter over the values of its path.
type condition struct {
	path    *fhirpath.Path
	matches func(fhirpath.Value) bool
	negated bool
	missing *bool
}

// Parse reads the search parameters of a type. Parameters of the result
// (_count, _include, …) are not search parameters: the caller takes them out.
func Parse(typ string, parameters url.Values) (*Query, error) {
	if definition.Type(typ) == nil {
		return nil, &Error{Parameter: "", Reason: "the resource type is unknown"}
	}
	q := &Query{Type: typ}
	names := make([]string, 0, len(parameters))
	count := 0
	for name, values := range parameters {
		names = append(names, name)
		count += len(values)
	}
	if count > maxParameters {
		return nil, &Error{Parameter: "", Reason: "there are too many parameters"}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range parameters[name] {
			if err := q.add(name, value); err != nil {
				return nil, err
			}
		}
	}
	return q, nil
}

// ParseTypeFilter reads one value of _typeFilter: "Type?query", its query
// encoded as in a URL.
func ParseTypeFilter(filter string) (*Query, error) {
	typ, rest, ok := strings.Cut(filter, "?")
	if !ok || rest == "" {
		return nil, &Error{Parameter: "_typeFilter", Reason: "it is not of the form Type?query"}
	}
	if definition.Type(typ) == nil {
		return nil, &Error{Parameter: "_typeFilter", Reason: "the resource type is unknown"}
	}
	parameters, err := url.ParseQuery(rest)
	if err != nil {
		return nil, &Error{Parameter: "_typeFilter", Reason: "its query cannot be parsed"}
	}
	return Parse(typ, parameters)
}

// add parses one parameter.
func (q *Query) add(name, value string) error {
	code, modifier, _ := strings.Cut(name, ":")
	fail := func(reason string) error { return &Error{Parameter: printable(code), Reason: reason} }
	unsupported := func(reason string) error {
		return &Error{Parameter: printable(code), Reason: reason, Unsupported: true}
	}
	if strings.Contains(code, ".") {
		return unsupported("chained parameters are not supported")
	}
	values := split(value)
	if len(values) > maxValues {
		return fail("it has too many values")
	}
	if slices.Contains(values, "") {
		return fail("it has an empty value")
	}
	if modifier == "" {
		switch code {
		case "_id":
			q.IDs = append(q.IDs, unescapeAll(values))
			return nil
		case "_lastUpdated":
			c, err := parseDates(values)
			if err != nil {
				return fail(err.Error())
			}
			q.updated = append(q.updated, c)
			return nil
		}
	}
	p, ok := definition.Search(q.Type, code)
	if !ok {
		return unsupported("R4 has no such parameter for the type")
	}
	path, err := fhirpath.Compile(q.Type, p.Expression)
	if err != nil {
		return unsupported(err.Error())
	}
	if modifier == "missing" {
		if value != "true" && value != "false" {
			return fail("the modifier :missing takes true or false")
		}
		missing := value == "true"
		q.condition(condition{path: path, missing: &missing})
		return nil
	}
	if p.Kind == "reference" && (modifier == "" || modifier == "Patient") {
		if ids, ok := patientIDs(p, modifier, values); ok {
			q.Patients = append(q.Patients, Patients{Code: code, IDs: ids, Paths: path})
			return nil
		}
	}
	c := condition{path: path}
	if c.matches, c.negated, err = matcher(p, modifier, values); err != nil {
		e := &Error{Parameter: printable(code), Reason: err.Error()}
		_, e.Unsupported = err.(unsupportedError)
		return e
	}
	q.condition(c)
	return nil
}

func (q *Query) condition(c condition) {
	q.conditions = append(q.conditions, c)
	q.roots = append(q.roots, c.path.Roots()...)
}

// unsupportedError marks what may be right but is not known here.
type unsupportedError string

func (e unsupportedError) Error() string { return string(e) }

// matcher returns the test that a value must pass.
func matcher(p definition.SearchParam, modifier string, values []string) (match func(fhirpath.Value) bool, negated bool, err error) {
	switch {
	case modifier == "":
	case p.Kind == "string" && (modifier == "exact" || modifier == "contains"):
	case p.Kind == "token" && modifier == "not":
	case p.Kind == "reference" && definition.Type(modifier) != nil:
	default:
		return nil, false, unsupportedError("the modifier is not supported")
	}
	switch p.Kind {
	case "token":
		match, err = matchToken(values)
		return match, modifier == "not", err
	case "date":
		c, err := parseDates(values)
		return c.match, false, err
	case "string":
		return matchString(values, modifier), false, nil
	case "reference":
		match, err = matchReference(values, modifier)
		return match, false, err
	case "number", "quantity":
		match, err = matchNumber(values)
		return match, false, err
	case "uri":
		return matchURI(values), false, nil
	}
	return nil, false, unsupportedError("parameters of type " + p.Kind + " are not supported")
}

// Indexed reports whether the query needs no more of a resource than its id,
// its lastUpdated and its references to patients.
func (q *Query) Indexed() bool { return len(q.conditions) == 0 }

// MatchUpdated tests a lastUpdated, in microseconds since 1970.
func (q *Query) MatchUpdated(micros int64) bool {
	at := time.UnixMicro(micros).UTC()
	for _, c := range q.updated {
		if !c.any(period{at, at.Add(time.Microsecond)}) {
			return false
		}
	}
	return true
}

// MatchID tests an id.
func (q *Query) MatchID(id string) bool {
	for _, alternatives := range q.IDs {
		if !slices.Contains(alternatives, id) {
			return false
		}
	}
	return true
}

// MatchLine tests what neither MatchUpdated, MatchID nor Patients cover. A line
// that is not JSON matches only a query that asks for nothing more.
func (q *Query) MatchLine(line []byte) bool {
	if len(q.conditions) == 0 {
		return true
	}
	resource, ok := Decode(line, q.roots)
	if !ok {
		return false
	}
	for i := range q.conditions {
		if !q.conditions[i].holds(resource) {
			return false
		}
	}
	return true
}

// Decode decodes the members of a line's object that have these names, as
// fhirpath wants them: numbers keep their text.
func Decode(line []byte, names []string) (resource map[string]any, ok bool) {
	resource = make(map[string]any, len(names))
	ok = true
	err := store.Members(line, func(name, value []byte, _, _ int) bool {
		if !slices.Contains(names, string(name)) {
			return true
		}
		dec := json.NewDecoder(bytes.NewReader(value))
		dec.UseNumber()
		var v any
		ok = dec.Decode(&v) == nil
		resource[string(name)] = v
		return ok
	})
	return resource, ok && err == nil
}

func (c *condition) holds(resource map[string]any) bool {
	values := c.path.Values(resource)
	if c.missing != nil {
		return *c.missing == (len(values) == 0)
	}
	return slices.ContainsFunc(values, c.matches) != c.negated
}

// split cuts a parameter's value at its commas; `\,` is none. The parts keep
// their escapes.
func split(value string) []string {
	var out []string
	start := 0
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\\':
			i++
		case ',':
			out = append(out, value[start:i])
			start = i + 1
		}
	}
	return append(out, value[start:])
}

// cut splits at the first `|` that is not escaped.
func cut(value string) (before, after string, found bool) {
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\\':
			i++
		case '|':
			return value[:i], value[i+1:], true
		}
	}
	return value, "", false
}

// unescape removes the escapes `\,` `\|` `\$` and `\\`.
func unescape(value string) string {
	if !strings.Contains(value, `\`) {
		return value
	}
	var out strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] == '\\' && i+1 < len(value) && strings.IndexByte(`,|$\`, value[i+1]) >= 0 {
			i++
		}
		out.WriteByte(value[i])
	}
	return out.String()
}

func unescapeAll(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = unescape(v)
	}
	return out
}

// printable keeps a client's text from breaking an outcome.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' {
			return -1
		}
		return r
	}, s[:min(len(s), 40)])
}
