package cli

import (
	"fmt"
	"strings"

	"github.com/flue-fhir/flue/sinks"
)

// writeLosses tells what Parquet holds otherwise than in a column of its own,
// where there is any. Nothing of it is lost.
func writeLosses(fact func(label, text string), types []sinks.TypeCount) {
	for _, l := range []struct {
		label, noun, text string
		count             func(sinks.Losses) int64
	}{
		{"unmapped", "value", "no column for %s, kept in __unmapped", func(l sinks.Losses) int64 { return l.Unmapped }},
		{"rounded", "decimal", "%s to six places in a numeric column, the text kept", func(l sinks.Losses) int64 { return l.Rounded }},
		{"overflow", "decimal", "%s too large for a numeric column, the text kept", func(l sinks.Losses) int64 { return l.Overflow }},
		{"contained", "resource", "%s kept as JSON text", func(l sinks.Losses) int64 { return l.Contained }},
	} {
		var sum int64
		var of []string
		for _, t := range types {
			if n := l.count(t.Losses); n > 0 {
				sum += n
				of = append(of, t.Type+" "+number(n))
			}
		}
		if sum == 0 {
			continue
		}
		fact(l.label, fmt.Sprintf(l.text, plural(sum, l.noun))+" ("+fewOf(of)+")")
	}
}

// fewOf joins names, the first few of many.
func fewOf(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more types", len(names)-most)
	}
	return strings.Join(names, ", ")
}
