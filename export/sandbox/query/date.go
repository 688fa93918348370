package query

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/flue-fhir/flue/export/sandbox/fhirpath"
)

// period is the time that a date stands for: from start up to, and without,
// end. A zero start or end is open.
type period struct{ start, end time.Time }

// prefixes of ordered parameters; "eq" is what no prefix means.
var prefixes = []string{"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"}

func cutPrefix(value string) (prefix, rest string) {
	if len(value) > 2 && slices.Contains(prefixes, value[:2]) {
		return value[:2], value[2:]
	}
	return "eq", value
}

// parsePeriod reads a FHIR date, dateTime or instant with any precision; one
// without an offset is UTC.
func parsePeriod(s string) (period, bool) {
	for _, form := range []struct {
		layout string
		end    func(time.Time) time.Time
	}{
		{"2006", func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
		{"2006-01", func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
		{"2006-01-02", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
		{"2006-01-02T15:04", func(t time.Time) time.Time { return t.Add(time.Minute) }},
		{"2006-01-02T15:04Z07:00", func(t time.Time) time.Time { return t.Add(time.Minute) }},
		{"2006-01-02T15:04:05Z07:00", func(t time.Time) time.Time { return t.Add(precision(s)) }},
		{"2006-01-02T15:04:05", func(t time.Time) time.Time { return t.Add(precision(s)) }},
	} {
		if t, err := time.Parse(form.layout, s); err == nil {
			return period{t.UTC(), form.end(t).UTC()}, true
		}
	}
	return period{}, false
}

// precision is the unit of the last digit of the seconds.
func precision(s string) time.Duration {
	unit := time.Second
	_, fraction, ok := strings.Cut(s, ".")
	for i := 0; ok && i < len(fraction) && fraction[i] >= '0' && fraction[i] <= '9' && unit > 1; i++ {
		unit /= 10
	}
	return unit
}

// dateCondition is a date parameter: one of its values must hold.
type dateCondition []dateValue

type dateValue struct {
	prefix string
	period
}

func parseDates(values []string) (dateCondition, error) {
	var out dateCondition
	for _, v := range values {
		prefix, rest := cutPrefix(unescape(v))
		p, ok := parsePeriod(rest)
		if !ok {
			return nil, errors.New("a value is not a date")
		}
		out = append(out, dateValue{prefix, p})
	}
	return out, nil
}

func (c dateCondition) any(p period) bool {
	return slices.ContainsFunc(c, func(v dateValue) bool { return v.holds(p) })
}

// match tests a date, a dateTime, an instant, a Period, or the events of a
// Timing.
func (c dateCondition) match(v fhirpath.Value) bool {
	switch v := v.JSON.(type) {
	case string:
		p, ok := parsePeriod(v)
		return ok && c.any(p)
	case map[string]any:
		if events, ok := v["event"].([]any); ok {
			return slices.ContainsFunc(events, func(e any) bool { return c.match(fhirpath.Value{JSON: e}) })
		}
		start, hasStart := v["start"].(string)
		end, hasEnd := v["end"].(string)
		if !hasStart && !hasEnd {
			return false
		}
		var whole period
		if hasStart {
			p, ok := parsePeriod(start)
			if !ok {
				return false
			}
			whole.start = p.start
		}
		if hasEnd {
			p, ok := parsePeriod(end)
			if !ok {
				return false
			}
			whole.end = p.end
		}
		return c.any(whole)
	}
	return false
}

// holds applies the prefix to the resource's period, as R4's search page
// defines them.
func (v dateValue) holds(p period) bool {
	startsBefore := func(t time.Time) bool { return p.start.IsZero() || p.start.Before(t) }
	endsAfter := func(t time.Time) bool { return p.end.IsZero() || p.end.After(t) }
	contained := !startsBefore(v.start) && !endsAfter(v.end)
	switch v.prefix {
	case "eq":
		return contained
	case "ne":
		return !contained
	case "gt":
		return endsAfter(v.end)
	case "lt":
		return startsBefore(v.start)
	case "ge":
		return endsAfter(v.end) || contained
	case "le":
		return startsBefore(v.start) || contained
	case "sa":
		return !startsBefore(v.end)
	case "eb":
		return !endsAfter(v.start)
	default: // ap: they overlap
		return startsBefore(v.end) && endsAfter(v.start)
	}
}
