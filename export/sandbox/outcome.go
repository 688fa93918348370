package sandbox

import (
	"encoding/json"
	"net/http"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

const (
	typeFHIR   = "application/fhir+json"
	typeNDJSON = "application/fhir+ndjson"
)

// issue is one issue of an OperationOutcome.
type issue struct {
	severity string // fatal, error, warning or information
	code     string // of the value set issue-type
	text     string
}

// outcome makes the OperationOutcome of the issues.
func outcome(issues ...issue) fhir.OperationOutcome {
	var out fhir.OperationOutcome
	for _, i := range issues {
		var next fhir.OperationOutcomeIssue
		// The codes are constants of this package, which a test reads back.
		_ = json.Unmarshal([]byte(`"`+i.severity+`"`), &next.Severity)
		_ = json.Unmarshal([]byte(`"`+i.code+`"`), &next.Code)
		text := i.text
		next.Diagnostics = &text
		next.Details = &fhir.CodeableConcept{Text: &text}
		out.Issue = append(out.Issue, next)
	}
	return out
}

// fail answers with an OperationOutcome of one error.
func fail(w http.ResponseWriter, status int, code, text string) {
	answer(w, status, typeFHIR, outcome(issue{"error", code, text}))
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, contentType string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "the answer cannot be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client went away
}
