// Package search reads a server by paged searches where it has no bulk export:
// the patients by next links, then for every patient the compartment's types.
//
// Like package export it knows HTTP and FHIR, and nothing of tokens, disks or
// formats. A search is cut into Partitions, each of which is read from its first
// page to its last into one stream of NDJSON; a partition that breaks is read
// again from its start, and the duplicates are found by id (F50, F53).
//
// Source: https://hl7.org/fhir/R4/search.html
package search

import (
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// Client searches one FHIR server. Its methods may be called by several
// goroutines at once.
type Client struct {
	Base      *url.URL     // service base URL, without a trailing slash
	HTTP      *http.Client // authenticated; adds the token for allowed origins only
	AllowHTTP bool
	Count     int // _count of a page; 0 means 500; halved on 414 (F59)
	Retries   int // 0 means 5
	MaxPages  int // per partition; 0 means 1,000,000
	// MaxPage bounds the bytes of one page's Bundle; 0 means 256 MiB.
	MaxPage int64
	Idle    time.Duration // how long an answer may stand still; 0 means 5 min
	Log     *slog.Logger
	OnRetry func(reason string)

	smaller atomic.Int64 // _count after a 414, 0 before (F59)
}

// Request says what is searched.
type Request struct {
	Types    []string // resource types; those other than Patient go by the patient compartment
	Since    time.Time
	Elements []string
	// Filters are "Type?query" conditions, one or more a type; each makes its
	// own partitions.
	Filters []string
	// Patients restricts the search to these ids; empty means all.
	Patients []string
	Include  []string // _include values for Patient searches, as "Patient:organization"
	// Batch is how many patients one compartment search names; 0 means 20.
	Batch int
	// Supports says whether the server declares a search parameter for the type. nil
	// means that one parameter a type is used, and the rest of the compartment is not
	// searched by; see Params.
	Supports func(typ, param string) bool
}

// Partition is one search that is read from its first page to its last.
type Partition struct {
	Key  string // stable across restarts: "Patient", "Observation/00012"
	Type string // the type searched for
	// Query is the relative search URL. It may name patients: it is PHI (I7) and
	// never goes to a log.
	Query string
}
