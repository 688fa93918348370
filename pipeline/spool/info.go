package spool

import "time"

// Info is what is known about a landed part. It holds no content of a line.
type Info struct {
	Key  string `json:"key"`            // as given to Land
	Type string `json:"type,omitempty"` // declared by the server; "" when it named none
	// Expect is the announced number of resources, -1 when there was none.
	Expect int64 `json:"expect"`

	// Lines counts the lines that are not blank:
	// Lines = the sum of Types' Lines + Outcomes + Headers + Quarantined (I3).
	Lines       int64       `json:"lines"`
	Types       []TypeInfo  `json:"types,omitempty"`       // sorted by type
	Outcomes    int64       `json:"outcomes,omitempty"`    // OperationOutcome lines (F41)
	Headers     int64       `json:"headers,omitempty"`     // Parameters lines that head a block (P30)
	Quarantined int64       `json:"quarantined,omitempty"` // lines that are not to be trusted (F40)
	Issues      []Issue     `json:"issues,omitempty"`      // of the outcomes, by severity and code
	Reasons     []Reason    `json:"reasons,omitempty"`     // of the quarantined lines
	Updated     UpdatedSpan `json:"updated,omitzero"`      // of all types
	Notes       []string    `json:"notes,omitempty"`       // as given to Landing.Note
	Short       bool        `json:"short,omitempty"`       // as given to Landing.Note

	Encoding string `json:"encoding,omitempty"` // as sent: "", "gzip" or "zstd"
	Layers   int    `json:"layers,omitempty"`   // of compression: 2 when it came doubled (F36)
	RawBytes int64  `json:"rawBytes"`           // as sent
	Bytes    int64  `json:"bytes"`              // decoded
	// SHA256 is of the decoded bytes, lower-case hex; "" for a borrowed body that
	// was not to be hashed.
	SHA256 string `json:"sha256,omitempty"`
	// Unproved says that nothing proves the body to be whole: neither a length nor
	// compression nor a count, nor how the server ended it (F33).
	Unproved bool `json:"unproved,omitempty"`
	// Plain says that the decoded bytes are nothing but lines that each end with
	// a line feed: no byte order mark, blank line, carriage return or missing
	// last line end (F38). Only such bytes are published as they are.
	Plain bool `json:"plain"`
}

// TypeInfo counts the resources of one type in a part.
type TypeInfo struct {
	Type      string      `json:"type"`
	Known     bool        `json:"known"` // an R4 resource type
	Lines     int64       `json:"lines"`
	WithoutID int64       `json:"withoutId,omitempty"`
	Subsetted int64       `json:"subsetted,omitempty"`
	Updated   UpdatedSpan `json:"updated,omitzero"`
}

// UpdatedSpan is the range of meta.lastUpdated; zero when no line had one.
type UpdatedSpan struct {
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
}

// Issue counts the issues of OperationOutcomes with a severity and a code of
// the R4 value sets; what is not in them reads "unknown".
type Issue struct {
	Severity string `json:"severity"`
	Code     string `json:"code"`
	Count    int64  `json:"count"`
}

// Reason counts the lines that were quarantined for one reason.
type Reason struct {
	Text  string `json:"text"`
	Count int64  `json:"count"`
}

// Of returns the counts of a type; zero counts when the part has none of it.
func (i *Info) Of(typ string) TypeInfo {
	for _, t := range i.Types {
		if t.Type == typ {
			return t
		}
	}
	return TypeInfo{Type: typ}
}
