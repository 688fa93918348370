package search

import (
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/flue-fhir/flue/internal/definition"
)

// maxQuery bounds the patients that one query names, in bytes: many servers and
// what stands before them refuse URLs beyond 8 KiB.
const maxQuery = 6 << 10

// Partitions cuts the request into searches, in an order that is the same for the
// same request and ids. ids are the patients whose compartments are read, in the
// order in which Patients listed them: a restart must give the same ones, since the
// keys number their batches.
//
// Patients and types that belong to no patient's compartment (Organization,
// Practitioner, Medication …) are searched whole, unless the request names patients:
// then Patient is searched by their ids.
func (c *Client) Partitions(r Request, ids []string) iter.Seq[Partition] {
	return func(yield func(Partition) bool) {
		for _, typ := range r.Types {
			if !r.partitions(typ, ids, yield) {
				return
			}
		}
	}
}

func (r Request) partitions(typ string, ids []string, yield func(Partition) bool) bool {
	by, _ := r.Params(typ)
	filters := r.filters(typ)
	if len(by) == 0 {
		for i, f := range filters {
			key := typ
			if len(filters) > 1 {
				key = numbered(typ, i)
			}
			if !yield(Partition{Key: key, Type: typ, Query: typ + "?" + r.query(typ, f)}) {
				return false
			}
		}
		return true
	}
	n := 0
	for _, f := range filters {
		rest := r.query(typ, f)
		for _, param := range by {
			for batch := range r.batches(param, ids) {
				q := typ + "?" + param + "=" + batch
				if rest != "" {
					q += "&" + rest
				}
				if !yield(Partition{Key: numbered(typ, n), Type: typ, Query: q}) {
					return false
				}
				n++
			}
		}
	}
	return true
}

func numbered(typ string, n int) string { return fmt.Sprintf("%s/%05d", typ, n) }

// Params says by which search parameters the type's resources of a patient are
// found, none when the type is searched whole, and by which others of the
// compartment's they are not, because the server does not declare them, or nobody
// asked it (Supports is nil). A resource that belongs to a patient by one of those
// alone is not found: the run has to say so (I9).
//
// Source: https://hl7.org/fhir/R4/compartmentdefinition-patient.html
func (r Request) Params(typ string) (by, without []string) {
	if typ == "Patient" {
		if len(r.Patients) > 0 {
			return []string{"_id"}, nil
		}
		return nil, nil
	}
	codes := definition.Compartment(typ)
	if len(codes) == 0 {
		return nil, nil
	}
	first := codes[0]
	if slices.Contains(codes, "subject") {
		first = "subject"
	}
	// "patient" is what servers support most, and as good as the parameter that it
	// narrows to patients.
	if p, ok := definition.Search(typ, "patient"); ok {
		first = "patient"
		codes = slices.DeleteFunc(codes, func(code string) bool {
			s, _ := definition.Search(typ, code)
			return code != "patient" && path(s.Expression) == path(p.Expression)
		})
	}
	by = []string{first}
	for _, code := range codes {
		switch {
		case code == first:
		case r.Supports != nil && r.Supports(typ, code):
			by = append(by, code)
		default:
			without = append(without, code)
		}
	}
	return by, without
}

// path is the element that an expression selects, whatever it points at.
func path(expression string) string {
	p, _, _ := strings.Cut(expression, ".where(resolve()")
	return p
}

// filters are the conditions of the type; one empty one when there is none.
func (r Request) filters(typ string) []string {
	var out []string
	for _, f := range r.Filters {
		if t, q, ok := strings.Cut(f, "?"); ok && t == typ {
			out = append(out, q)
		}
	}
	if out == nil {
		return []string{""}
	}
	return out
}

// query is what the request says of the type beside its patients.
func (r Request) query(typ, filter string) string {
	var pairs []string
	for pair := range strings.SplitSeq(filter, "&") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			pairs = append(pairs, url.QueryEscape(name)+"="+escape(value))
		}
	}
	if !r.Since.IsZero() {
		pairs = append(pairs, "_lastUpdated=ge"+r.Since.UTC().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000Z"))
	}
	if e := r.elements(typ); len(e) > 0 {
		pairs = append(pairs, "_elements="+strings.Join(e, ","))
	}
	if typ == "Patient" {
		for _, i := range r.Include {
			pairs = append(pairs, "_include="+escape(i))
		}
	}
	return strings.Join(pairs, "&")
}

// elements are the asked elements of the type. id and meta are always among them:
// rows are told apart by the one and dated by the other.
func (r Request) elements(typ string) []string {
	var out []string
	for _, e := range r.Elements {
		if t, name, ok := strings.Cut(e, "."); ok && t == typ {
			e = name
		} else if ok {
			continue
		}
		if !slices.Contains(out, e) {
			out = append(out, url.QueryEscape(e))
		}
	}
	if len(out) == 0 {
		return nil
	}
	for _, e := range []string{"meta", "id"} {
		if !slices.Contains(out, e) {
			out = slices.Insert(out, 0, e)
		}
	}
	return out
}

// batches joins the patients' values for a parameter.
func (r Request) batches(param string, ids []string) iter.Seq[string] {
	if len(r.Patients) > 0 {
		ids = r.Patients
	}
	size := r.Batch
	if size <= 0 {
		size = 20
	}
	return func(yield func(string) bool) {
		var b strings.Builder
		n := 0
		for _, id := range ids {
			id = strings.TrimPrefix(id, "Patient/")
			v := escape(literal(id))
			if param != "patient" && param != "_id" {
				v = "Patient/" + v
			}
			if n == size || n > 0 && b.Len()+1+len(v) > maxQuery {
				if !yield(b.String()) {
					return
				}
				b.Reset()
				n = 0
			}
			if n > 0 {
				b.WriteByte(',')
			}
			b.WriteString(v)
			n++
		}
		if n > 0 {
			yield(b.String())
		}
	}
}

// literal escapes what FHIR gives a meaning within a parameter's value.
//
// Source: https://hl7.org/fhir/R4/search.html#escaping
func literal(id string) string {
	return strings.NewReplacer(`\`, `\\`, `,`, `\,`, `|`, `\|`, `$`, `\$`).Replace(id)
}

// escape percent-encodes once, but for the commas that part alternatives.
func escape(s string) string {
	s = strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	return strings.ReplaceAll(s, "%2C", ",")
}
