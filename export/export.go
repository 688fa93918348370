// Package export is a client for FHIR Bulk Data Access: it kicks an export
// off, polls its status, reads its manifest, opens its files and deletes it.
//
// It knows HTTP and the protocol, and nothing of tokens, disks or formats: the
// http.Client that it is given adds and renews the token (and only for the
// allowed origins, I6), and whoever opens a file decides where the bytes go.
// No error of this package holds a query string, a token or a resource (I6,
// I7).
//
// Source: https://hl7.org/fhir/uv/bulkdata/export.html (STU2, STU3; shapes of
// STU4 are read when a server sends them).
package export

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// Client talks to the bulk data endpoints of one FHIR server. Its methods may
// be called by several goroutines at once.
type Client struct {
	// Base is the service base URL, without a trailing slash.
	Base *url.URL
	// HTTP sends authenticated requests. Its transport adds the token for the
	// server's own and the allowed origins only. It must not retry by itself.
	HTTP *http.Client
	// Bare sends requests without a token (P32, requiresAccessToken false).
	Bare *http.Client
	// AllowHTTP permits plain http for hosts other than loopback (P10).
	AllowHTTP bool
	// Fresh sends kick-offs: like HTTP, but over a transport that neither keeps
	// connections nor repeats anything by itself (P23); see OneShot. nil means
	// HTTP, with a request that net/http cannot repeat.
	Fresh *http.Client
	// Limits bounds the waiting between polls.
	Limits PollLimits
	// Retries bounds the attempts of requests that may be repeated; 0 means 5.
	Retries int
	// Idle is how long an answer may stand still; 0 means 5 min. A kick-off has
	// its own bound.
	Idle time.Duration
	// Log receives debug and warning lines; nil discards.
	Log *slog.Logger
	// OnRetry is told of each repeated request; may be nil.
	OnRetry func(reason string)
}

// PollLimits clamp the time between two polls (P24, F20).
type PollLimits struct {
	Min time.Duration // 0 means 1 s
	Max time.Duration // 0 means 5 min; a longer Retry-After is cut to it
}

// Level is what an export covers.
type Level string

// The levels of an export (P17).
const (
	System  Level = "system"
	Patient Level = "patient"
	Group   Level = "group"
)

// Request is an export request (P17 to P20). Zero values are not sent.
type Request struct {
	Level                 Level
	Group                 string // id, for Level Group
	Types                 []string
	Since                 time.Time
	Until                 time.Time
	Elements              []string
	TypeFilters           []string // each as "Type?query", unencoded
	Patients              []string // references "Patient/x": makes it a POST
	OutputFormat          string
	IncludeAssociatedData []string
	OrganizeOutputBy      string
	AllowPartialManifests bool
	Extra                 url.Values
	Post                  bool // POST with a Parameters body
	Repeat                bool // repeat _type and _elements instead of joining them
	Lenient               bool // Prefer: handling=lenient (P21)
}

// Kickoff is the answer to an accepted export request.
type Kickoff struct {
	// StatusURL is the absolute Content-Location. It is a secret at rest (I6).
	StatusURL string
	// Date is the server's Date header, or the local time when it has none (P28).
	Date time.Time
	// Ignored are texts of outcome issues that say what the server ignored (P21,
	// F18) or cannot do, without query strings.
	Ignored  []string
	Warnings []string
}

// Progress is one answer of a running export.
type Progress struct {
	Text    string  // X-Progress as sent, cut to 200 bytes, control characters removed
	Percent float64 // read from Text; negative when it has none
	Wait    time.Duration
	Polls   int
	Partial *Manifest // STU3 partial manifest, when the server sent one
}

// Manifest is a completed export, linked manifests (link next) included (P29).
type Manifest struct {
	TransactionTime     time.Time
	Request             string // without its query values: names only
	RequiresAccessToken bool
	OutputOrganizedBy   string
	Output              []File
	Unlisted            bool   // a manifest had no output list at all: nobody knows what it left out
	Error               []File // error[] and STU4 outcome[]
	Deleted             []File
	Extension           json.RawMessage
	Pages               []Page   // what each linked manifest listed, in their order
	Warnings            []string // duplicates fetched once (F27), …

	asked string // the request as the server repeats it; may hold what no log may (I7)
}

// Page counts the files that one of several linked manifests listed.
type Page struct {
	Output, Error, Deleted int
}

// File is one file of a manifest.
type File struct {
	Type    string // "" when the server names none (F29)
	URL     string // absolute; may be signed: a secret (F44)
	Count   int64  // -1 when the server does not say
	Size    int64  // bytes (STU4 fileSize); -1 when the server does not say
	Ordinal int    // place in its list of the manifest: the file's identity (links change)
	Token   bool   // requiresAccessToken: send it, or never (P32)
	// ContinuesIn is the URL of the file where this one's last block goes on
	// (P30); "" when there is none.
	ContinuesIn string
}

// Body is an opened file.
type Body struct {
	io.ReadCloser // bytes as sent, from Offset on
	// Encoding is "" or "gzip": by the first bytes of the whole body and not by the
	// header (F36).
	Encoding string
	// MediaType is the Content-Type without parameters, "" when Offset is not 0.
	MediaType string
	Offset    int64 // where the bytes start: what was asked for, or 0 when the server cannot resume
	Length    int64 // of the whole body as sent; -1 when unknown
	// Endless says that nothing but the end of the connection ends the body: no
	// length, no chunks, no HTTP/2. A cut is not to be told from its end (F33).
	Endless bool
	// Validator is to be kept with the bytes and given to Open with an offset: a
	// strong ETag or Last-Modified, and the codings it belongs to. "" when the server
	// cannot resume.
	Validator string
}
