// Package config reads jobs.yaml into typed values, strictly: an unknown or
// duplicated key, a wrong type, an unknown resource type, a bad cron expression
// or URL is refused with file, line, column, an excerpt and a hint.
//
// The package is pure: it is given the file's bytes and a function that looks
// up the environment, and opens nothing. Secrets stay references ("env:NAME",
// "file:PATH") until the command line resolves them.
package config

import "time"

// File is a whole jobs.yaml.
type File struct {
	Version  int               // 1
	StateDir string            // default: the XDG state folder; resolved by the command line when empty
	SpoolDir string            // default: StateDir/spool
	Servers  map[string]Server //
	Jobs     map[string]Job    //
	Order    []string          // job names in the file's order
}

// Server is a FHIR server and how to speak with it.
type Server struct {
	Name      string
	URL       string // service base URL, no trailing slash
	AllowHTTP bool   // plain http for a host other than loopback (P10)
	Auth      Auth
	Headers   map[string]string // extra headers on FHIR requests; values may be secret references
	Origins   []string          // further origins that may get the token (P15)
	TLS       TLS
	Limits    Limits
}

// AuthType names a way to authenticate.
type AuthType string

// The ways to authenticate.
const (
	SMART        AuthType = "smart"         // Backend Services: signed assertion
	ClientSecret AuthType = "client_secret" // client credentials with a secret, Basic or post
	Bearer       AuthType = "bearer"        // a static token
	None         AuthType = "none"          // an open server
)

// Auth is how a client authenticates.
type Auth struct {
	Type      AuthType
	ClientID  string
	Key       string // secret reference or inline PEM, JWK or JWKS; empty: generated once below StateDir
	KeyID     string // kid to sign with; empty: that of the key, or its RFC 7638 thumbprint
	Algorithm string // auto, RS384, ES384, …
	JKU       string
	TokenURL  string        // empty: discovered (P4)
	Secret    string        // secret reference, for ClientSecret
	Post      bool          // send the client secret in the body instead of Basic
	Token     string        // secret reference, for Bearer
	Scopes    []string      // empty: derived from the job (P11)
	Lifetime  time.Duration // of an assertion; 0 means 4 min (F1), at most 5
}

// TLS are the settings of connections to a server.
type TLS struct {
	CA         string // path of a PEM bundle trusted beside the system's
	ClientCert string // path
	ClientKey  string // path
}

// Limits bound what flue asks of a server.
type Limits struct {
	Downloads int           // parallel downloads or searches; 0 means 4
	PollMin   time.Duration // 0 means 1 s
	PollMax   time.Duration // 0 means 5 min
	Retries   int           // 0 means 5
	Stall     time.Duration // how long an answer may stand still; 0 means 2 min for files, 5 for others
}

// Job is one thing to do.
type Job struct {
	Name        string
	Server      string
	Schedule    string // five-field cron expression; empty: only by hand
	Timezone    string // IANA name; empty: the machine's
	Export      Export
	Attachments *Attachments // nil: they are not fetched
	Sinks       []Sink
	Destination Destination
	Policies    Policies
	Retention   Retention
}

// Export says what a job asks for.
type Export struct {
	Mode                  string // bulk | search; a conversion makes itself a job with files
	Level                 string // system | patient | group
	Group                 string
	Types                 []string
	Since                 Since
	Newcomers             string // full | ignore; "" means full
	Until                 time.Time
	Elements              []string
	TypeFilters           []string
	Patients              []string // ids
	IncludeAssociatedData []string
	OrganizeOutputBy      string
	AllowPartialManifests bool
	OutputFormat          string
	Extra                 map[string]string
	Post, Repeat, Lenient bool
	Count                 int      // page size of searches
	Include               []string // _include of searches
}

// Since is from when on changes are asked for.
type Since struct {
	Last bool      // since the last snapshot's watermark (I2)
	Time time.Time // a fixed instant; zero and not Last: everything
}

// Attachments says which contents are fetched that resources point at (P34).
type Attachments struct {
	Types         []string // of resources
	MIME          []string // content types, also as text/*; empty: all
	MaxSize       int64    // bytes of one content
	Parallel      int      // 0 means Limits.Downloads
	OnUnavailable string   // stop | record
}

// Sink is one output format of a job.
type Sink struct {
	Type        string // ndjson | parquet
	Compression string // ndjson: none | gzip | zstd; parquet: zstd | snappy | none
	Level       int    // compression level; 0 means the sink's default
	TargetSize  int64  // bytes of one file; 0 means 256 MiB
	RowGroup    int64  // parquet: input bytes of one row group; 0 means 128 MiB
	MaxColumns  int    // parquet: leaves a type; 0 means 5,000
	MaxDepth    int    // parquet: nesting; 0 means 16
	Unmapped    string // parquet: keep | fail
	Drift       string // parquet: widen | fail
	Sort        string // parquet: delivery | patient
}

// Destination is where snapshots go.
type Destination struct {
	Path     string // a local folder
	FileMode uint32 // 0 means 0600
	DirMode  uint32 // 0 means 0700
	Group    string // group name or id; empty: the process's
}

// Retention says which snapshots stay. Each of its limits keeps what it wants to
// keep, and with a snapshot the chain that it is on; the zero value keeps all.
type Retention struct {
	Keep     int // so many of the newest snapshots; 0: no limit of this kind
	KeepDays int // those published within so many days; 0: no limit of this kind
}

// Policies say what a job does when something is not as it should be.
type Policies struct {
	FullEvery        time.Duration // 0 means 7 days; how old a chain may grow
	Overlap          time.Duration // taken off the watermark; 0 means 10 min (P28)
	ResumeWithin     time.Duration // 0 means 20 h
	DetachedWithin   time.Duration // the same for exports left at the server; 0 means 30 days (F24)
	MaxDuration      time.Duration // of one run; 0 means none
	MissingScope     string        // fail | skip (F4)
	AmbiguousKickoff string        // repeat | stop (F16)
	OnExportLost     string        // restart | fail (F22)
	OnServerErrors   string        // fail | warn: error-severity outcomes
	OnCountMismatch  string        // fail | warn (F37)
	AllowEmpty       bool          // a full run with no resources is published (F26)
	FHIRVersions     string        // R4 | any: any only without Parquet
	MaxLine          int64         // bytes of one line; 0 means 64 MiB (F39)
	MaxBadLines      Allowance     // quarantined lines that a run survives (F40)
	Memory           int64         // bytes for buffers of a run; 0 means 256 MiB (I8)
	MinFreeDisk      int64         // bytes that must stay free; 0 means 256 MiB
}
