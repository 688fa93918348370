package spool

import (
	"encoding/json"
	"slices"
	"strings"
)

// The R4 value sets of OperationOutcome.issue, and the codes that R5 added.
// Source: https://hl7.org/fhir/R4/valueset-issue-type.html
const (
	issueSeverities = " fatal error warning information success "
	issueCodes      = " invalid structure required value invariant security login unknown expired forbidden" +
		" suppressed processing not-supported duplicate multiple-matches not-found deleted too-long code-invalid" +
		" extension too-costly business-rule conflict transient lock-error no-store exception timeout incomplete" +
		" throttled informational success limited-filter "
)

// issueCounts counts the issues of outcomes. Nothing that a server may write
// freely is kept (I7).
type issueCounts map[Issue]int64

// add counts the issues of an OperationOutcome that the walker found valid.
func (c issueCounts) add(line []byte) {
	var outcome struct {
		Issue []struct {
			Severity json.RawMessage `json:"severity"`
			Code     json.RawMessage `json:"code"`
		} `json:"issue"`
	}
	if err := json.Unmarshal(line, &outcome); err != nil || len(outcome.Issue) == 0 {
		c[Issue{Severity: "unknown", Code: "unknown"}]++
		return
	}
	for _, issue := range outcome.Issue {
		c[Issue{Severity: member(issueSeverities, issue.Severity), Code: member(issueCodes, issue.Code)}]++
	}
}

// member is the JSON string if the set has it, otherwise "unknown".
func member(set string, raw json.RawMessage) string {
	var code string
	if json.Unmarshal(raw, &code) != nil || code == "" || strings.Contains(code, " ") || !strings.Contains(set, " "+code+" ") {
		return "unknown"
	}
	return code
}

// list returns the counts, sorted.
func (c issueCounts) list() []Issue {
	var issues []Issue
	for issue, n := range c {
		issue.Count = n
		issues = append(issues, issue)
	}
	slices.SortFunc(issues, func(a, b Issue) int {
		if n := strings.Compare(a.Severity, b.Severity); n != 0 {
			return n
		}
		return strings.Compare(a.Code, b.Code)
	})
	return issues
}

// isBlockHeader reports whether a Parameters resource heads a block of a file
// that is organized by a resource (P30): it has a parameter "header".
func isBlockHeader(line []byte) bool {
	var parameters struct {
		Parameter []struct {
			Name string `json:"name"`
		} `json:"parameter"`
	}
	if json.Unmarshal(line, &parameters) != nil {
		return false
	}
	for _, p := range parameters.Parameter {
		if p.Name == "header" {
			return true
		}
	}
	return false
}
