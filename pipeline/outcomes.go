package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/sinks"
)

// outcomesOf sums the issues of all bodies by severity and code.
func outcomesOf(deliveries []delivery) []sinks.Outcome {
	type key struct{ severity, code string }
	sum := map[key]int64{}
	for _, d := range deliveries {
		for _, i := range d.info.Issues {
			sum[key{i.Severity, i.Code}] += i.Count
		}
	}
	list := make([]sinks.Outcome, 0, len(sum))
	for k, n := range sum {
		list = append(list, sinks.Outcome{Severity: k.severity, Code: k.code, Count: n})
	}
	slices.SortFunc(list, func(a, b sinks.Outcome) int {
		return strings.Compare(a.Severity+" "+a.Code, b.Severity+" "+b.Code)
	})
	return list
}

// failing names the issues that say that something is missing, with their codes, for
// people: "2 error/exception, 1 fatal/security". Codes are those of FHIR, so that it
// holds nothing that a server may write freely (I7).
func failing(outcomes []sinks.Outcome) string {
	var list []string
	for _, o := range outcomes {
		if missing(o.Severity) {
			list = append(list, fmt.Sprintf("%d %s/%s", o.Count, o.Severity, o.Code))
		}
	}
	return strings.Join(list, ", ")
}

// missing reports whether an issue of the severity says that something is missing;
// one that is none that FHIR knows is taken for such a one.
func missing(severity string) bool {
	return severity == "error" || severity == "fatal" || severity == "unknown"
}
