package cli

import (
	"fmt"
	"strings"

	"github.com/flue-fhir/flue/sinks"
)

// writeQuality tells what the server said of the data, and what nobody knows of it.
func writeQuality(fact func(label, text string), m *sinks.Manifest) {
	if len(m.Request.Unchecked) > 0 {
		fact("unchecked", "whether the server heeded "+strings.Join(m.Request.Unchecked, ", ")+" cannot be seen in the data")
	}
	var outcomes []string
	for _, o := range m.Outcomes {
		outcomes = append(outcomes, fmt.Sprintf("%s %s/%s", number(o.Count), o.Severity, o.Code))
	}
	if len(outcomes) > 0 {
		fact("outcomes", strings.Join(outcomes, ", "))
	}
	switch d := m.Deletions; {
	case d == nil:
	case d.Known:
		fact("deletions", plural(d.Published, "resource")+" that the server deleted")
	default:
		fact("deletions", "the server listed none: unknown until the next full snapshot")
	}
}
